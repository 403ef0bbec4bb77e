"""Sketches: what a text is compared by before its words are."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mithril._errors import InvalidArgumentError
from mithril._native import core
from mithril.dedup._config import DedupConfig
from mithril.dedup._options import options_of
from mithril.dedup._texts import texts_of

__all__ = ["Sketcher", "Sketches"]


@dataclass(frozen=True)
class Sketches:
    """Sketches of n texts, a row each. Rows of empty texts are zero and mean nothing."""

    keys: NDArray[np.uint32]
    """[n, bands]: texts that agree in a column are candidates for near duplicates."""
    digests: NDArray[np.uint8]
    """[n, permutations ÷ 2]: 4 bits of every permutation, from which similarities are estimated."""
    hashes: NDArray[np.uint64]
    """[n, 2]: XXH3-128 of the text's UTF-8 bytes, low and high half; equal for equal texts."""
    empty: NDArray[np.bool_]
    """[n]: texts without words."""

    def __len__(self) -> int:
        return len(self.empty)


class Sketcher:
    """Makes sketches of texts, for pipelines that look for candidates themselves. Stateless; may be shared by threads.

    Sketches can be compared when they were made with the same `num_permutations`, `ngram_size`, `num_bands`,
    `num_rows`, `normalization`, `fold_case`, `ignore_punctuation` and `seed`, on any machine.
    """

    def __init__(self, config: DedupConfig | None = None) -> None:
        self.config = config or DedupConfig()
        self._options = options_of(self.config)

    @property
    def num_bands(self) -> int:
        """Bands of a sketch: columns of `Sketches.keys`."""
        bands: int = self._options.bands
        return bands

    @property
    def num_rows(self) -> int:
        """Permutations a band: two texts of similarity s agree in a band with a probability of s**num_rows."""
        rows: int = self._options.rows
        return rows

    def candidate_probability(self, similarity: float) -> float:
        """The probability that two texts of this Jaccard similarity agree in a band at least."""
        probability: float = self._options.candidate_probability(similarity)
        return probability

    def sketch(self, texts: Any, *, column: str = "text") -> Sketches:
        """Sketch texts, on several threads (`DedupConfig.num_threads`).

        Args:
            texts: What `Deduplicator.deduplicate` takes: a list of str, Arrow, NumPy, pandas, a `datasets.Dataset`.
            column: The column of texts where there are several.

        Raises:
            CorruptError: A text is not UTF-8. The message names the byte.
        """
        lent = texts_of(texts, column)
        return Sketches(*core.sketch(lent, self._options, 0, len(lent)))

    def estimate(self, a: Sketches, b: Sketches) -> NDArray[np.float32]:
        """Estimated Jaccard similarity of row i of `a` and row i of `b`; 0 where either text is empty.

        The standard error is about sqrt(s(1 − s) / num_permutations): 0.033 at 0.85 with 128.

        Raises:
            InvalidArgumentError: `a` and `b` differ in length, or their sketches have another size.
        """
        if len(a) != len(b):
            raise InvalidArgumentError(f"{len(a)} and {len(b)} sketches cannot be paired")
        estimates, _ = core.compare_digests(a.digests, b.digests, self._options)
        estimates[a.empty | b.empty] = 0
        return estimates
