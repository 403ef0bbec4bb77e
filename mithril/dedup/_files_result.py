"""What deduplicating files found."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

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

    def examples(self, count: int) -> list[RemovedExample]:
        """Removed documents with what explains them.

        Evenly from the least to the most similar of the near duplicates, or equal ones if there are no others. The
        texts are read from the inputs, or from the temporary files that this result holds.
        """
        explained = self._explained_here()
        near = np.flatnonzero(explained & (self.result.similarities < 1))
        near = near[np.argsort(self.result.similarities[near], kind="stable")]
        chosen = near if len(near) else np.flatnonzero(explained)
        chosen = chosen[np.unique(np.linspace(0, len(chosen) - 1, min(count, len(chosen)), dtype=np.int64))]
        removed, kept = self.result.remove_indices[chosen], self.result.removed_by[chosen]
        return [
            RemovedExample(
                removed_id, kept_id, float(similarity), self.corpus.texts.text(int(a)), self.corpus.texts.text(int(b))
            )
            for removed_id, kept_id, similarity, a, b in zip(
                self.corpus.ids(removed),
                self.corpus.ids(kept),
                self.result.similarities[chosen],
                removed,
                kept,
                strict=True,
            )
        ]

    def largest_clusters(self, count: int) -> list[LargeCluster]:
        """The kept documents that stand for the most documents, the largest first."""
        explained = self._explained_here()
        kept, sizes = np.unique(self.result.removed_by[explained], return_counts=True)
        largest = np.lexsort((kept, -sizes))[:count]
        return [
            LargeCluster(id, int(size) + 1, self.corpus.texts.text(int(i)))
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
