"""Examples of what `mithril dedup` removed: the removed and the kept text side by side, differences marked."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mithril.cli._dedup_differences import Piece, differences, marked
from mithril.cli._output import printable

if TYPE_CHECKING:
    from rich.text import Text

    from mithril.dedup._files_result import RemovedExample

__all__ = ["Example", "write_example"]


@dataclass(frozen=True)
class Example:
    """A removed document and the kept one that explains it: where they lie, and their texts in pieces."""

    removed: str
    kept: str
    similarity: float
    removed_text: list[Piece]
    kept_text: list[Piece]

    @classmethod
    def of(cls, example: "RemovedExample", *, fold: bool) -> "Example":
        """`fold`: differences of case and punctuation are not marked."""
        pieces = differences(example.removed_text, example.kept_text, fold=fold)
        return cls(example.removed, example.kept, example.similarity, *pieces)


def write_example(number: int, example: Example) -> None:
    """Two columns on a terminal; elsewhere two lines, with what only one text has in [-…-] or {+…+}."""
    title = f"{number}. similarity {_rounded_down(example.similarity)}"
    if sys.stdout.isatty():
        _draw(title, example)
        return
    print(title)
    print(f"  removed {printable(example.removed)}: {printable(marked(example.removed_text, '[-', '-]'))}")
    print(f"  kept    {printable(example.kept)}: {printable(marked(example.kept_text, '{+', '+}'))}")


def _rounded_down(similarity: float) -> str:
    """Three digits; 1.000 only for what is 1."""
    return f"{int(similarity * 1000 + 1e-6) / 1000:.3f}"


def _draw(title: str, example: Example) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", header_style="bold", expand=True)
    table.add_column(Text(f"removed: {printable(example.removed)}"), ratio=1, overflow="fold")
    table.add_column(Text(f"kept: {printable(example.kept)}"), ratio=1, overflow="fold")
    table.add_row(_styled(example.removed_text, "bold red"), _styled(example.kept_text, "bold green"))
    Console().print(table)


def _styled(pieces: Sequence[Piece], style: str) -> "Text":
    from rich.text import Text

    return Text.assemble(*((printable(piece.words), style if piece.differs else "") for piece in pieces))
