"""Near-duplicate removal of texts in memory."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from mithril._errors import InvalidArgumentError
from mithril._native import core
from mithril.dedup._config import DedupConfig
from mithril.dedup._options import options_of
from mithril.dedup._preference import preference
from mithril.dedup._result import DedupResult, result_of
from mithril.dedup._texts import texts_of

__all__ = ["Deduplicator"]


class Deduplicator:
    """Finds near-duplicate texts, and says which to keep.

    Texts are near duplicates when the exact Jaccard similarity of their sets of word n-grams reaches the threshold.
    MinHash sketches, banded into keys (Broder 1997; Indyk and Motwani 1998), only propose pairs; each is then
    compared exactly. So no document is removed without a kept one that is as similar as asked, and nearly all pairs
    are found: 99.4 % at the threshold of 0.85, more above it.

    Args:
        config: What counts as a near duplicate, and which document of a group stays.

    Raises:
        InvalidArgumentError: The configuration is out of range.
    """

    def __init__(self, config: DedupConfig | None = None) -> None:
        self._config = config or DedupConfig()
        self._options = options_of(self._config)

    @property
    def config(self) -> DedupConfig:
        """The configuration."""
        return self._config

    def deduplicate(
        self,
        texts: Any,
        *,
        column: str = "text",
        scores: Any = None,
        sources: Sequence[str] | None = None,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> DedupResult:
        """Deduplicate texts in memory.

        The result is the same for any number of threads. Beyond the texts it needs about 300 bytes a document.

        Args:
            texts: A sequence of str, a NumPy array, an Arrow array, a pandas Series; or a table, record batch,
                DataFrame, `datasets.Dataset` or dict with the column `column`. At most 4 294 967 294. Arrow memory and
                ASCII str are not copied.
            column: The column of texts where there are several.
            scores: With `keep="score"`, a number for each document; the highest is kept.
            sources: With `keep="source"`, a name for each document. The name that comes first is preferred.
            progress: Called with a stage, the documents done and all of them.

        Raises:
            InvalidArgumentError: A text is not a str, or scores or sources do not fit.
            CorruptError: A text is not UTF-8. The message names document and byte.
        """
        start = time.perf_counter()
        native = texts_of(texts, column)
        order = preference(self._config, native, scores, sources)
        removed_by, similarity, counts = core.deduplicate(native, self._options, order, progress)
        return result_of(removed_by, similarity, counts, time.perf_counter() - start)

    def similarity(self, a: str, b: str) -> float:
        """The exact similarity of two texts under the configuration's measure, 0 to 1.

        For containment, the share of the shingles of `a` that `b` has. Empty texts share nothing.

        Raises:
            InvalidArgumentError: One is not a str.
            CorruptError: One cannot be encoded as UTF-8.
        """
        return core.similarity(_utf8("a", a), _utf8("b", b), self._options)

    def estimate(self, a: str, b: str) -> float:
        """The Jaccard similarity of two texts as their sketches estimate it, 0 to 1.

        The standard error is about sqrt(s (1 - s) / num_permutations), 0.033 at 0.85 with 128 permutations. Errors are
        those of `similarity`.
        """
        return core.estimate(_utf8("a", a), _utf8("b", b), self._options)


def _utf8(name: str, text: str) -> bytes:
    """The bytes of a text; lone surrogates as what the core refuses, with their place."""
    if not isinstance(text, str):
        raise InvalidArgumentError(f"{name} is a {type(text).__name__}, not a str")
    return text.encode("utf-8", "surrogatepass")
