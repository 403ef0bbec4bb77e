"""What every format offers: the documents of a file as texts, and the file anew, without some or with marks."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mithril._native import core
from mithril.dedup._formats._compression import Writable
from mithril.dedup._formats._inputs import InputFile

__all__ = ["MARK_NAMES", "Documents", "Marks", "Memory", "Progress", "ReadOptions"]

# The fields that annotating adds.
MARK_NAMES = tuple(core.MARK_NAMES)

Progress = Callable[[int], None]
"""Gets what is done of one file, in the unit of the stage."""


@dataclass
class Memory:
    """Bytes that texts may still take."""

    left: int

    def take(self, size: int) -> bool:
        """Whether so many more fit; then they are taken."""
        if size > self.left:
            return False
        self.left -= size
        return True


@dataclass(frozen=True)
class ReadOptions:
    """How documents are read; `unmarked` demands that they have none of MARK_NAMES."""

    column: str
    score_column: str | None
    source_column: str | None
    source_priority: tuple[str, ...]
    unmarked: bool
    skip_faults: bool
    memory: Memory
    spill_folder: str
    threads: int


@dataclass(frozen=True)
class Marks:
    """Of each document of a file: whether it is kept, and if not, which explains it. Its id is `name:row`."""

    keep: npt.NDArray[np.bool_]
    kept_file: npt.NDArray[np.uint32]
    """Of the document that explains it: index in `names`,"""
    kept_row: npt.NDArray[np.uint64]
    """and row there, from 1; 0 where none does."""
    similarity: npt.NDArray[np.float32]
    names: list[str]
    file: int
    """Whose documents these are."""


@dataclass
class Documents(ABC):
    """The documents of one file, numbered from 0; a file's rows are numbered from 1 and include those set aside."""

    file: InputFile
    texts: core.Texts
    faults: int
    """Rows that were set aside."""
    scores: npt.NDArray[np.float64] | None = field(default=None, kw_only=True)
    ranks: npt.NDArray[np.uint32] | None = field(default=None, kw_only=True)
    """Places of the documents' sources in the priority."""

    @abstractmethod
    def rows(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
        """The rows of these documents."""

    @abstractmethod
    def write_kept(self, path: Path, keep: npt.NDArray[np.bool_], progress: Progress) -> None:
        """A new file of the documents that are kept, as they are. Raises StorageError; CorruptError for changes."""

    @abstractmethod
    def write_marked(self, path: Path, marks: Marks, progress: Progress) -> None:
        """A new file of all documents with the fields MARK_NAMES added. Raises as write_kept."""

    @abstractmethod
    def write_faults(self, to: Writable) -> None:
        """A line of JSON for each row that was set aside: file, row, reason and, if it is text, the line."""
