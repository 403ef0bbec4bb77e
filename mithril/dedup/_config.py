"""What counts as a near duplicate, and which document of a group stays: one frozen object, checked when it is made."""

from dataclasses import dataclass
from typing import Literal

from mithril._errors import InvalidArgumentError
from mithril.dedup._checks import check_choice, check_flag, check_integer, check_number

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

_MAX_INT = 2**31 - 1


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
        seed: Seed of the permutations, 0 to 2⁶⁴ − 1; sketches made with different seeds cannot be compared.
        num_threads: Threads; by default those of `MITHRIL_NUM_THREADS`, or all cores this process may use.

    Raises:
        InvalidArgumentError: A value is out of range or of another kind. The message names it.
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
        check_number("threshold", self.threshold)
        if not 0 < self.threshold <= 1:
            raise InvalidArgumentError(f"threshold {self.threshold} is not in (0, 1]")
        for name, choices in _CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        for name in ("verify", "fold_case", "ignore_punctuation"):
            check_flag(name, getattr(self, name))
        check_integer("num_permutations", self.num_permutations, 16, 1024)
        if self.num_permutations % 2:
            raise InvalidArgumentError(f"num_permutations {self.num_permutations} is not even")
        if (self.num_bands is None) != (self.num_rows is None):
            raise InvalidArgumentError("num_bands and num_rows are given together or not at all")
        if self.num_bands is not None:
            check_integer("num_bands", self.num_bands, 1, self.num_permutations)
            check_integer("num_rows", self.num_rows, 1, self.num_permutations // self.num_bands)
        check_integer("ngram_size", self.ngram_size, 1, 64)
        check_integer("seed", self.seed, 0, 2**64 - 1)
        if self.num_threads is not None:
            check_integer("num_threads", self.num_threads, 1, _MAX_INT)
