"""What commands write: one JSON object, or tables for people. Results go to stdout, everything else to stderr."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence


def write_json(fields: Mapping[str, object]) -> None:
    """One object, and nothing else, on stdout."""
    print(json.dumps(fields, indent=2, allow_nan=False))


def note(text: str) -> None:
    """A message beside the result."""
    print(f"mithril: {printable(text)}", file=sys.stderr)


def printable(text: str) -> str:
    """One line without control characters: names may come from a shared store, and terminals obey what they read."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def write_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table: drawn on a terminal, in aligned columns elsewhere. Columns whose name begins with > are numbers."""
    rows = [[printable(cell) for cell in row] for row in rows]
    names = [column.lstrip(">") for column in columns]
    right = [column.startswith(">") for column in columns]
    if sys.stdout.isatty():
        _draw(names, right, rows)
        return
    lines = [names, *rows]
    widths = [max(len(line[n]) for line in lines) for n in range(len(names))]
    for line in lines:
        cells = [
            cell.rjust(width) if is_right else cell.ljust(width)
            for cell, width, is_right in zip(line, widths, right, strict=True)
        ]
        print("  ".join(cells).rstrip())


def _draw(names: Sequence[str], right: Sequence[bool], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(header_style="bold")
    for name, is_right in zip(names, right, strict=True):
        table.add_column(name, justify="right" if is_right else "left", overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))  # as Text, brackets are no markup
    Console().print(table)


def write_fields(fields: Mapping[str, str]) -> None:
    """Name and value, a line each."""
    width = max(map(len, fields))
    for name, value in fields.items():
        print(f"{name:<{width}}  {printable(value)}")


@contextlib.contextmanager
def progress(title: str) -> Iterator[Callable[[int, int, int], None] | None]:
    """Shows (done, all, bytes) on a terminal's stderr while it lasts; None elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)

        def show(done: int, total: int, copied: int) -> None:
            bar.update(task, completed=done, total=total, description=f"{title}, {bytes_text(copied)}")

        yield show


def bytes_text(size: float) -> str:
    """12 B, 3.4 KiB, 5.6 GiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def seconds_text(seconds: float) -> str:
    """12.3 s, 4 min, 5.6 h, 7 d."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    for divisor, unit, limit in ((60, "min", 100), (3600, "h", 48)):
        if seconds / divisor < limit:
            return f"{seconds / divisor:.1f} {unit}"
    return f"{seconds / 86400:.0f} d"
