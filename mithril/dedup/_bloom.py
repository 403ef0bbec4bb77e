"""LSHBloom: a first pass over very many texts, which answers from bits alone."""

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mithril._native import core
from mithril.dedup._checks import check_integer, check_number
from mithril.dedup._config import DedupConfig
from mithril.dedup._formats._inputs import real_target
from mithril.dedup._options import options_of
from mithril.dedup._texts import texts_of

__all__ = ["BloomIndex"]

_MAX_DOCUMENTS = 2**40
_EMPTY = 2  # the answer for a text without words


class BloomIndex:
    """Says which texts are near duplicates of earlier ones, from a Bloom filter for each band of their sketches.

    It takes a fixed amount of memory, but says only yes or no: not which document explains a removal, and nothing is
    verified. Use it as a first pass, where an `Index` would be too large. Texts are looked up and inserted in their
    order; what seems known is not inserted. The idea is LSHBloom (Khan et al., arXiv:2411.04257); a key is a 64-bit
    hash of all the minima of a band, not a sum of them.

    Two kinds of error, for b bands of r rows (16 of 8 at a threshold of 0.85):

    - A near duplicate is missed as in any banding: at similarity s with a probability of (1 − s**r)**b. Filters miss
      nothing.
    - A text is removed wrongly because it shares a band with a text of a similarity s below the threshold, with a
      probability of 1 − (1 − s**r)**b for each such text; or, though unlike all of them, by the filters: with a
      probability of at most `false_positive_rate`, p, while no more than `expected_documents` are in. Each filter has
      the rate p_band = 1 − (1 − p)**(1/b).

    Memory: a plain Bloom filter has b · −ln(p_band) / ln(2)² bits a document, 59 bytes at p = 10⁻⁵ and 16 bands. Here a
    key's bits all lie in one block of 512, so that a look-up is one cache miss, for which the sizes grow: by 8 % at
    p_band = 10⁻³, by 36 % at 6·10⁻⁷, to 81 bytes. Sizes are computed from the true rate of blocked filters (blocks
    have a Poisson number of keys), so the promised rate holds.
    """

    def __init__(
        self,
        config: DedupConfig | None = None,
        *,
        expected_documents: int,
        false_positive_rate: float = 1e-5,
    ) -> None:
        """Empty filters, of the size that they keep.

        Args:
            config: How texts are sketched and banded. `measure`, `verify`, `clusters` and `keep` have no part in it.
            expected_documents: Different documents to come, at most 2⁴⁰. With more, the rate of errors grows:
                see `current_false_positive_rate`.
            false_positive_rate: p as above, 10⁻⁹ to 0.5.

        Raises:
            InvalidArgumentError: A number is out of range or of another kind.
            StorageError: There is not enough memory.
        """
        check_integer("expected_documents", expected_documents, 1, _MAX_DOCUMENTS)
        check_number("false_positive_rate", false_positive_rate)
        self.config = config or DedupConfig()
        self.expected_documents = expected_documents
        self.false_positive_rate = false_positive_rate
        self._index = core.BloomIndex(
            options_of(self.config), expected_documents=expected_documents, false_positive_rate=false_positive_rate
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, num_threads: int | None = None) -> "BloomIndex":
        """Read what `save` wrote, and check all of it.

        Raises:
            CorruptError, TruncatedError: The file is damaged. The message names field and offset.
            UnsupportedError: It was written by a later version, or its sketches are made in another way.
            StorageError: It cannot be read.
        """
        filters = core.BloomIndex.load(os.fspath(path), threads=num_threads or 0)
        parameters = filters.parameters
        index = cls.__new__(cls)
        index.expected_documents = parameters.pop("expected_documents")
        index.false_positive_rate = parameters.pop("false_positive_rate")
        index.config = DedupConfig(**parameters, num_threads=num_threads)
        index._index = filters
        return index

    def __len__(self) -> int:
        """Texts inserted so far."""
        return len(self._index)

    @property
    def nbytes(self) -> int:
        """Memory of the filters."""
        size: int = self._index.bytes
        return size

    @property
    def current_false_positive_rate(self) -> float:
        """The rate of wrong answers of the filters after what was inserted so far, computed."""
        rate: float = self._index.false_positive_rate
        return rate

    def deduplicate(self, texts: Any, *, column: str = "text") -> NDArray[np.bool_]:
        """Which texts to remove: those that seem known. The others are known from now on.

        Args:
            texts: What `Deduplicator.deduplicate` takes. What becomes of texts without words, `config.empty` says.
            column: The column of texts where there are several.

        Raises:
            CorruptError: A text is not UTF-8. Nothing was inserted.
        """
        return self._flags(self._index.deduplicate(texts_of(texts, column)))

    def query(self, texts: Any, *, column: str = "text") -> NDArray[np.bool_]:
        """The same, without inserting: texts are compared only with what is known before."""
        return self._flags(self._index.query(texts_of(texts, column)))

    def merge(self, other: "BloomIndex") -> None:
        """From now on know what either knows. What both were given counts twice in `len`.

        Raises:
            InvalidArgumentError: The other was made with other options.
        """
        self._index.merge(other._index)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a file, which appears whole or not at all (docs/dedup-index-format.md).

        Of a link the file that it leads to is replaced.

        Raises:
            StorageError: The file cannot be written. What was there before stays.
        """
        self._index.save(os.fspath(real_target(Path(path))))

    def _flags(self, answers: NDArray[np.uint8]) -> NDArray[np.bool_]:
        flags: NDArray[np.bool_] = answers == 1
        return flags | (answers == _EMPTY) if self.config.empty == "remove" else flags
