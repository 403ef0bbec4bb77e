"""The one error of the reference decoder."""


class FormatError(Exception):
    """kind: "truncated", "unsupported" or "corrupt"; offset: where the field lies in the archive."""

    def __init__(self, kind: str, field: str, offset: int) -> None:
        super().__init__(f"{kind}: {field} at offset {offset}")
        self.kind, self.field, self.offset = kind, field, offset


def require(holds: bool, field: str, offset: int, kind: str = "corrupt") -> None:
    if not holds:
        raise FormatError(kind, field, offset)
