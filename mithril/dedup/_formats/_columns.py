"""A column of Arrow strings as texts: held in memory as long as it fits, else all of it in a temporary file."""

from collections.abc import Sequence
from typing import Any

from mithril._native import core
from mithril.dedup._arrow import described, texts_of_arrays
from mithril.dedup._formats._documents import Memory

__all__ = ["Column"]


class Column:
    """Collects arrays of type string or large_string without nulls."""

    def __init__(self, memory: Memory, folder: str) -> None:
        self._memory = memory
        self._folder = folder
        self._held: list[Any] = []
        self._held_bytes = 0
        self._spiller: core.TextSpiller | None = None

    def add(self, texts: Any) -> None:
        """Add an array. Raises StorageError when the temporary file cannot be written."""
        if self._spiller is None and self._memory.take(texts.nbytes):
            self._held.append(texts)
            self._held_bytes += texts.nbytes
            return
        if self._spiller is None:
            self._spiller = core.TextSpiller(self._folder)
            self._spill(self._held)
            self._held = []
            self._memory.left += self._held_bytes
        self._spill([texts])

    def _spill(self, arrays: Sequence[Any]) -> None:
        assert self._spiller is not None
        for offsets, data, _, start, count, wide in described(arrays):
            self._spiller.add(offsets, data, start, count, wide)

    def finish(self) -> core.Texts:
        """All texts that were added. Ends the adding."""
        return texts_of_arrays(self._held) if self._spiller is None else self._spiller.finish()
