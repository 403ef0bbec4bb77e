"""What deduplicating files found."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from mithril._native import core
from mithril.dedup._formats._corpus import Corpus
from mithril.dedup._result import DedupResult, DedupStats

__all__ = ["FilesResult", "LargeCluster", "RemovedExample"]


class RemovedExample(NamedTuple):
    """A removed document and the kept one that explains it: their ids, `file:row`, and texts."""

    removed: str
    kept: str
    similarity: float
    removed_text: str
    kept_text: str


class LargeCluster(NamedTuple):
    """A kept document (id and text), and for how many documents it stands, itself included."""

    kept: str
    documents: int
    text: str


@dataclass(frozen=True, repr=False)
class FilesResult:
    """What deduplicating files found, and what was written.

    Attributes:
        stats: Counts; `processing_time_secs` includes reading and writing.
        result: Which documents are kept and why the others go, by their numbers through all files. Documents of an
            index have numbers from there on; `corpus.ids` names them as well.
        files: The inputs, in the order of their documents.
        outputs: A file for each input, or none.
        removals: The table of removals, if it was asked for.
        rejected: The rows that were set aside, if there are any and there is an output.
        bytes_read: Size of the inputs.
        rows_skipped: Rows that were set aside.
        corpus: The documents.
    """

    stats: DedupStats
    result: DedupResult
    files: tuple[str, ...]
    outputs: tuple[Path, ...]
    removals: Path | None
    rejected: Path | None
    bytes_read: int
    rows_skipped: int
    corpus: Corpus

    def examples(self, count: int, *, limit: int | None = None) -> list[RemovedExample]:
        """Removed documents with what explains them.

        Evenly from the least to the most similar of the near duplicates, or equal ones if there are no others. The
        texts are read from the inputs, or from the temporary files that this result holds.

        Args:
            count: How many at most.
            limit: Characters of each text at most: of longer ones those around the first difference.
        """
        explained = self._explained_here()
        near = np.flatnonzero(explained & (self.result.similarities < 1))
        near = near[np.argsort(self.result.similarities[near], kind="stable")]
        chosen = near if len(near) else np.flatnonzero(explained)
        chosen = chosen[np.unique(np.linspace(0, len(chosen) - 1, min(count, len(chosen)), dtype=np.int64))]
        removed, kept = self.result.remove_indices[chosen], self.result.removed_by[chosen]
        return [
            RemovedExample(removed_id, kept_id, float(similarity), *self._texts(int(a), int(b), limit))
            for removed_id, kept_id, similarity, a, b in zip(
                self.corpus.ids(removed),
                self.corpus.ids(kept),
                self.result.similarities[chosen],
                removed,
                kept,
                strict=True,
            )
        ]

    def _texts(self, a: int, b: int, limit: int | None) -> tuple[str, str]:
        first, second = self.corpus.texts.text(a), self.corpus.texts.text(b)
        if limit is None or max(len(first), len(second)) <= limit:
            return first, second
        begin = 0 if first == second else max(0, _common_beginning(first, second) - limit // 8)
        return _cut(first, begin, limit), _cut(second, begin, limit)

    def largest_clusters(self, count: int, *, limit: int | None = None) -> list[LargeCluster]:
        """The kept documents that stand for the most documents, the largest first.

        Args:
            count: How many at most.
            limit: Bytes of UTF-8 of each text at most: its begin.
        """
        explained = self._explained_here()
        kept, sizes = np.unique(self.result.removed_by[explained], return_counts=True)
        largest = np.lexsort((kept, -sizes))[:count]
        texts = self.corpus.texts
        text = texts.text if limit is None else lambda i: core.text_beginning(texts, i, limit)
        return [
            LargeCluster(id, int(size) + 1, text(int(i)))
            for id, size, i in zip(self.corpus.ids(kept[largest]), sizes[largest], kept[largest], strict=True)
        ]

    def _explained_here(self) -> npt.NDArray[np.bool_]:
        """Of each removed document, whether one of the inputs explains it: not empty, and not known to the index."""
        removed_by = self.result.removed_by
        explained: npt.NDArray[np.bool_] = removed_by != self.result.remove_indices
        return explained & (removed_by < len(self.corpus))

    def __repr__(self) -> str:
        s = self.stats
        return f"FilesResult({s.unique_documents} of {s.total_documents} documents of {len(self.files)} files kept)"


def _common_beginning(a: str, b: str) -> int:
    """How many characters both begin with."""
    shorter, step, begin = min(len(a), len(b)), 1 << 16, 0
    while begin < shorter and a[begin : begin + step] == b[begin : begin + step]:
        begin += step  # whole blocks first: single characters are slow
    return next((i for i in range(begin, shorter) if a[i] != b[i]), shorter)


def _cut(text: str, begin: int, limit: int) -> str:
    before, after = "… " if begin else "", " …" if len(text) > begin + limit else ""
    return before + text[begin : begin + limit] + after
