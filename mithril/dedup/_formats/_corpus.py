"""The documents of several files as one row of texts, and where each of them lies."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mithril._errors import UnsupportedError
from mithril._native import core
from mithril.dedup._formats._documents import Documents

__all__ = ["Corpus", "Places"]

_FROM_INDEX = "index:"  # before ids of documents of earlier runs: a file of today may have the same name

Places = tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint64]]
"""Of documents: the numbers of their files, and their rows, from 1."""

_MAX_DOCUMENTS = 0xFFFFFFFE


class Corpus:
    """Documents are numbered from 0 through all files."""

    def __init__(self, files: Sequence[Documents]) -> None:
        self.files = files
        self.names = [file.file.name for file in files]
        self.starts = np.cumsum([0, *(len(file.texts) for file in files)])
        if len(self) > _MAX_DOCUMENTS:
            raise UnsupportedError(f"{len(self)} documents exceed the limit {_MAX_DOCUMENTS}; see mithril.dedup.ray")
        self._earlier = np.empty(0, np.uint32), np.empty(0, np.uint64)
        self.texts = files[0].texts if len(files) == 1 else core.join_texts([file.texts for file in files])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def span(self, file: int) -> slice:
        """The documents of a file."""
        return slice(int(self.starts[file]), int(self.starts[file + 1]))

    def add_earlier(self, places: Sequence[tuple[str, int]]) -> None:
        """Documents of earlier runs, by file and row: only their places are known. They are numbered from len(self).

        Their files are never those of today, also where the names are the same.
        """
        numbers: dict[str, int] = {}
        files = [len(self.files) + numbers.setdefault(name, len(numbers)) for name, _ in places]
        self.names = [*self.names[: len(self.files)], *numbers]
        self._earlier = np.array(files, np.uint32), np.array([row for _, row in places], np.uint64)

    @property
    def names_in_ids(self) -> list[str]:
        """Of each of `names`, what stands before the row in ids."""
        return [*self.names[: len(self.files)], *(_FROM_INDEX + name for name in self.names[len(self.files) :])]

    def places(self, documents: npt.NDArray[np.int64]) -> Places:
        """Where documents lie, or lay."""
        files = (np.searchsorted(self.starts, documents, side="right") - 1).astype(np.uint32)
        rows = np.empty(len(documents), np.uint64)
        for file in np.unique(files).tolist():
            here = files == file
            numbers = documents[here] - self.starts[file]
            if file < len(self.files):
                rows[here] = self.files[file].rows(numbers)
            else:
                files[here], rows[here] = (each[numbers] for each in self._earlier)
        return files, rows

    def ids(self, documents: npt.NDArray[np.int64]) -> list[str]:
        """`file:row` of documents, `index:file:row` of those of earlier runs."""
        files, rows = self.places(documents)
        names = self.names_in_ids
        return [f"{names[file]}:{row}" for file, row in zip(files.tolist(), rows.tolist(), strict=True)]

    def source_ranks(self) -> npt.NDArray[np.uint32]:
        """Of each document the place of its source in the priority: of its column, or else of its input."""
        parts = [
            file.ranks if file.ranks is not None else np.full(len(file.texts), file.file.source, np.uint32)
            for file in self.files
        ]
        return np.concatenate(parts)

    def scores(self) -> npt.NDArray[np.float64] | None:
        """Of each document, when they were read."""
        parts = [file.scores for file in self.files if file.scores is not None]
        return np.concatenate(parts) if parts else None
