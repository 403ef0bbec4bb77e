"""What `mithril dedup` says of a run: one object, from which both the JSON and the text for people are made."""

import os
import resource
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from mithril.cli._dedup_examples import Example, write_example
from mithril.cli._output import bytes_text, seconds_text, write_fields, write_table

if TYPE_CHECKING:
    from mithril.dedup._files_result import FilesResult

__all__ = ["Cluster", "Summary"]

# Clusters that are listed, and characters of their texts.
_CLUSTERS = 5
_BEGINNING = 60
# Characters that are compared of the texts of an example: they may be of any size, and a few words are shown.
_COMPARED = 100_000


@dataclass(frozen=True)
class Cluster:
    """A kept document with more than one copy: where it lies, how many documents it stands for, how it begins."""

    kept: str
    documents: int
    begins: str


@dataclass(frozen=True)
class Summary:
    """The fields of the JSON object, in its order."""

    files: int
    outputs: list[str]
    removals: str | None
    rejected: str | None
    documents: int
    kept: int
    exact_duplicates: int
    near_duplicates: int
    known_to_index: int
    empty_removed: int
    rows_skipped: int
    clusters: int
    largest_clusters: list[Cluster]
    candidate_pairs: int
    verified_pairs: int
    full_buckets: int
    bytes_read: int
    seconds: float
    documents_per_second: float
    peak_memory_bytes: int
    examples: list[Example]

    @classmethod
    def of(cls, result: "FilesResult", *, examples: int, fold: bool) -> "Summary":
        """With so many examples; `fold`: in these, differences of case and punctuation are not marked."""
        stats = result.stats
        explained = result.result.removed_by != result.result.remove_indices
        empty = len(explained) - int(explained.sum())
        shown = [Example.of(example, fold=fold) for example in result.examples(examples, limit=_COMPARED)]
        return cls(
            files=len(result.files),
            outputs=[str(path) for path in result.outputs],
            removals=None if result.removals is None else str(result.removals),
            rejected=None if result.rejected is None else str(result.rejected),
            documents=stats.total_documents,
            kept=stats.unique_documents,
            exact_duplicates=stats.exact_duplicates,
            near_duplicates=stats.duplicate_count - stats.exact_duplicates - empty,
            known_to_index=int((result.result.removed_by >= stats.total_documents).sum()),
            empty_removed=empty,
            rows_skipped=result.rows_skipped,
            clusters=stats.cluster_count,
            largest_clusters=[
                Cluster(cluster.kept, cluster.documents, _beginning(cluster.text))
                for cluster in result.largest_clusters(_CLUSTERS, limit=16 * _BEGINNING)
            ],
            candidate_pairs=stats.candidate_pairs,
            verified_pairs=stats.verified_pairs,
            full_buckets=stats.full_buckets,
            bytes_read=result.bytes_read,
            seconds=stats.processing_time_secs,
            documents_per_second=stats.total_documents / stats.processing_time_secs,
            peak_memory_bytes=_peak_memory_bytes(),
            examples=shown,
        )

    def fields(self) -> dict[str, object]:
        return asdict(self)

    def write(self, *, verbose: bool) -> None:
        """The text for people."""
        write_fields(self._lines(verbose))
        if self.largest_clusters:
            print()
            write_table(
                (">documents", "kept", "begins"),
                [(f"{cluster.documents:,}", cluster.kept, cluster.begins) for cluster in self.largest_clusters],
            )
        for number, example in enumerate(self.examples, 1):
            print()
            write_example(number, example)

    def _lines(self, verbose: bool) -> dict[str, str]:
        lines = {
            "documents": f"{self.documents:,} in {_files(self.files)}, {bytes_text(self.bytes_read)}",
            "kept": f"{self.kept:,}{_share(self.kept, self.documents)}",
            "removed": f"{self.exact_duplicates:,} exact and {self.near_duplicates:,} near duplicates",
        }
        if self.known_to_index:
            lines["removed"] += f" ({self.known_to_index:,} by documents of the index)"
        if self.empty_removed:
            lines["removed"] += f", {self.empty_removed:,} without words"
        if self.rows_skipped:
            lines["set aside"] = f"{self.rows_skipped:,} damaged rows" + (f": {self.rejected}" if self.rejected else "")
        lines["clusters"] = f"{self.clusters:,}"
        if verbose:
            lines["compared"] = f"{self.verified_pairs:,} pairs of {self.candidate_pairs:,} candidates"
        if self.full_buckets:
            lines["full buckets"] = f"left out {self.full_buckets:,} entries: pairs of boilerplate may have been missed"
        rate = f"{self.documents_per_second:,.0f} documents/s, {bytes_text(self.bytes_read / self.seconds)}/s"
        memory = f"memory at most {bytes_text(self.peak_memory_bytes)}, inputs included"
        lines["took"] = f"{seconds_text(self.seconds)}: {rate}; {memory}"
        for name, path in (("written", _paths(self.outputs)), ("removals", self.removals)):
            if path:
                lines[name] = path
        return lines


def _peak_memory_bytes() -> int:
    """The most memory this process has held, mapped files included."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _beginning(text: str) -> str:
    """The first words, on one line."""
    text = " ".join(text[: 4 * _BEGINNING].split())
    return text if len(text) <= _BEGINNING else text[: _BEGINNING - 1].rstrip() + "…"


def _paths(paths: Sequence[str]) -> str:
    """The one, or how many there are and where."""
    return f"{_files(len(paths))} in {os.path.commonpath(paths)}" if len(paths) > 1 else "".join(paths)


def _files(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"


def _share(part: int, whole: int) -> str:
    return f" ({part / whole:.1%})" if whole else ""
