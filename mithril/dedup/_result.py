"""What deduplication found."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["DedupResult", "DedupStats", "RemovedPair"]


class RemovedPair(NamedTuple):
    """A removed document, the kept one that explains it, and how similar they are."""

    removed: int
    kept: int
    similarity: float


@dataclass(frozen=True)
class DedupStats:
    """Counts of one run.

    Attributes:
        total_documents: Documents that were read.
        unique_documents: Documents that are kept.
        duplicate_count: Documents that are removed.
        duplicate_ratio: The removed of all, 0 to 1.
        exact_duplicates: Of the removed, those that equal an earlier document byte by byte.
        empty_documents: Documents without any word.
        cluster_count: Kept documents that explain at least one removed document.
        candidate_pairs: Pairs that agreed in a band.
        verified_pairs: Pairs whose texts were compared.
        full_buckets: Documents left out of one of their bands, because 128 others had the same key. When it is not 0,
            pairs between documents of such boilerplate may have been missed; another `ngram_size` or more rows a band
            help.
        bytes: UTF-8 bytes of all texts.
        processing_time_secs: Wall time.
    """

    total_documents: int
    unique_documents: int
    duplicate_count: int
    exact_duplicates: int
    empty_documents: int
    cluster_count: int
    candidate_pairs: int
    verified_pairs: int
    full_buckets: int
    bytes: int
    processing_time_secs: float

    @property
    def duplicate_ratio(self) -> float:
        return self.duplicate_count / self.total_documents if self.total_documents else 0.0


@dataclass(frozen=True, repr=False)
class DedupResult:
    """Which documents to keep, and why the others go.

    Attributes:
        keep_indices: int64 [kept], ascending: positions of the documents to keep.
        remove_indices: int64 [removed], ascending: the others.
        removed_by: int64 [removed]: of each of `remove_indices`, the kept document that explains it; its own position
            for an empty text.
        similarities: float32 [removed]: of the two. Exact, unless `verify=False`; 1 for equal texts; 0 for an empty
            text.
        stats: Counts.
    """

    keep_indices: npt.NDArray[np.int64]
    remove_indices: npt.NDArray[np.int64]
    removed_by: npt.NDArray[np.int64]
    similarities: npt.NDArray[np.float32]
    stats: DedupStats

    @cached_property
    def clusters(self) -> dict[int, list[int]]:
        """Kept document → the documents that it explains, ascending; only those that explain one."""
        explained = self.removed_by != self.remove_indices
        removed, removed_by = self.remove_indices[explained], self.removed_by[explained]
        order = np.argsort(removed_by, kind="stable")
        kept, starts = np.unique(removed_by[order], return_index=True)
        groups = np.split(removed[order], starts[1:])
        return {int(k): group.tolist() for k, group in zip(kept, groups, strict=True)} if len(kept) else {}

    @property
    def pairs(self) -> Iterator[RemovedPair]:
        """Each removed document with the kept one that explains it."""
        for removed, kept, similarity in zip(self.remove_indices, self.removed_by, self.similarities, strict=True):
            yield RemovedPair(int(removed), int(kept), float(similarity))

    def __repr__(self) -> str:
        s = self.stats
        return f"DedupResult({s.unique_documents} of {s.total_documents} documents kept, {s.cluster_count} clusters)"


NONE = 0xFFFFFFFF  # what the core says of a kept document


def result_of(
    removed_by: npt.NDArray[np.uint32], similarity: npt.NDArray[np.float32], counts: dict[str, int], seconds: float
) -> DedupResult:
    """From what the core gives for each document: uint32 `removed_by` and float32 `similarity`."""
    removed = removed_by != NONE
    remove_indices = np.flatnonzero(removed)
    by = removed_by[remove_indices].astype(np.int64)
    stats = stats_of(removed, _distinct(by[by != remove_indices]), counts, seconds)
    return DedupResult(np.flatnonzero(~removed), remove_indices, by, similarity[remove_indices], stats)


def stats_of(removed: npt.NDArray[np.bool_], clusters: int, counts: dict[str, int], seconds: float) -> DedupStats:
    """From which documents are removed, and what the core counts."""
    duplicates = int(np.count_nonzero(removed))
    return DedupStats(
        total_documents=len(removed),
        unique_documents=len(removed) - duplicates,
        duplicate_count=duplicates,
        exact_duplicates=counts["exact_duplicates"],
        empty_documents=counts["empty"],
        cluster_count=clusters,
        candidate_pairs=counts["candidate_pairs"],
        verified_pairs=counts["verified_pairs"],
        full_buckets=counts["full_buckets"],
        bytes=counts["bytes"],
        processing_time_secs=seconds,
    )


def _distinct(values: npt.NDArray[Any]) -> int:
    seen = np.zeros(int(values.max(initial=-1)) + 1, np.bool_)
    seen[values] = True
    return int(np.count_nonzero(seen))
