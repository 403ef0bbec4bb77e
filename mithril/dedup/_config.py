"""What counts as a near duplicate, and which document of a group stays: one frozen object, checked when it is made."""

from dataclasses import dataclass
from typing import Literal

from mithril._errors import InvalidArgumentError

__all__ = ["DedupConfig"]

Measure = Literal["jaccard", "containment"]
Clusters = Literal["star", "components"]
Keep = Literal["first", "longest", "score", "source"]
NormalForm = Literal["NFC", "NFKC", "none"]

_CHOICES = {
    "measure": ("jaccard", "containment"),
    "clusters": ("star", "components"),
    "keep": ("first", "longest", "score", "source"),
    "normalization": ("NFC", "NFKC", "none"),
    "empty": ("keep", "remove"),
}


@dataclass(frozen=True)
class DedupConfig:
    """Options of near-duplicate removal.

    Args:
        threshold: Similarity from which two texts are near duplicates, in (0, 1].
        num_permutations: Permutations of the MinHash sketch: even, 16 to 1024.
        ngram_size: Words a shingle, 1 to 64. A text with fewer words is one shingle.
        num_bands: Bands of the index. By default as many, and as wide, as find a pair at the threshold with a
            probability of at least 0.99: 16 bands of 8 rows at 0.85.
        num_rows: Rows (permutations) a band; with `num_bands`.
        measure: "jaccard" (shared shingles ÷ shingles of both), or "containment" (shared shingles ÷ shingles of the
            document that is removed), which also finds excerpts; best with `keep="longest"`.
        verify: Whether the exact similarity of the texts decides. Without, the estimate of the sketches does
            (standard error 0.033 at 0.85): faster, approximate, and wrong at times in both directions.
        clusters: "star": each removed document is itself a near duplicate of the kept one that explains it.
            "components": of each connected component of near duplicates one document is kept, so a chain of small
            differences is one group.
        keep: Which document of a group stays: the "first", the "longest" (in bytes), the one of the highest "score",
            or the one from the "source" that stands first. Ties: the smaller hash of the text, for "first" and
            "source" the position.
        normalization: Unicode normal form before comparing: "NFC", "NFKC" or "none".
        fold_case: Whether case is ignored, by full Unicode case folding.
        ignore_punctuation: Whether punctuation and symbols only separate words. Otherwise each is a word.
        empty: What becomes of texts without any word: "keep" all, or "remove" all. They never equal one another.
        seed: Seed of the permutations; sketches made with different seeds cannot be compared.
        num_threads: Threads; by default those of `MITHRIL_NUM_THREADS`, or all cores this process may use.

    Raises:
        InvalidArgumentError: A value is out of range. The message names it.
    """

    threshold: float = 0.85
    num_permutations: int = 128
    ngram_size: int = 5
    num_bands: int | None = None
    num_rows: int | None = None
    measure: Measure = "jaccard"
    verify: bool = True
    clusters: Clusters = "star"
    keep: Keep = "first"
    normalization: NormalForm = "NFC"
    fold_case: bool = True
    ignore_punctuation: bool = True
    empty: Literal["keep", "remove"] = "keep"
    seed: int = 1
    num_threads: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise InvalidArgumentError(f"threshold {self.threshold} is not in (0, 1]")
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise InvalidArgumentError(f"{name} {getattr(self, name)!r} is not one of {', '.join(choices)}")
        if (self.num_bands is None) != (self.num_rows is None):
            raise InvalidArgumentError("num_bands and num_rows are given together or not at all")
        if self.num_threads is not None and self.num_threads < 1:
            raise InvalidArgumentError(f"num_threads {self.num_threads} is less than 1")
