"""In which order documents are preferred: the policy `keep` of a configuration."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mithril._errors import InvalidArgumentError
from mithril._native import core
from mithril.dedup._config import DedupConfig

__all__ = ["preference"]


def preference(
    config: DedupConfig, texts: core.Texts, scores: Any = None, sources: Sequence[str] | None = None
) -> npt.NDArray[np.uint32] | None:
    """The documents from the most to the least preferred, or None for the order in which they lie.

    Ties of "longest" and "score" go to the smaller 128-bit hash of the text, so that the texts that are kept do not
    depend on the order of the documents; those of "source" to the earlier document.

    Raises:
        InvalidArgumentError: `scores` or `sources` is missing, of another length than `texts`, or of another kind.
    """
    count = len(texts)
    for name, values in (("score", scores), ("source", sources)):
        if (values is None) == (config.keep == name):
            raise InvalidArgumentError(
                f"keep={name!r} needs {name}s" if values is None else f"{name}s are given, but keep is {config.keep!r}"
            )
        if values is not None and not hasattr(values, "__len__"):
            raise InvalidArgumentError(f"{name}s is a {type(values).__name__}, not a sequence")
        if values is not None and len(values) != count:
            raise InvalidArgumentError(f"there are {len(values)} {name}s for {count} documents")
    if config.keep == "first":
        return None
    if config.keep == "source":
        assert sources is not None
        return np.argsort(_ranks(sources), kind="stable").astype(np.uint32)
    sizes, hashes = core.sizes_and_hashes(texts, config.num_threads or 0)
    order = np.lexsort((hashes[:, 0], hashes[:, 1], -_numbers(scores) if config.keep == "score" else ~sizes))
    return order.astype(np.uint32)


def _ranks(sources: Sequence[str]) -> npt.NDArray[np.int64]:
    """Of each source its place among the different ones."""
    ranks: dict[str, int] = {}
    try:
        return np.fromiter((ranks.setdefault(source, len(ranks)) for source in sources), np.int64, len(sources))
    except TypeError:  # it cannot be a key
        raise InvalidArgumentError("a source is not a str") from None


def _numbers(scores: Any) -> npt.NDArray[np.float64]:
    try:
        values = np.asarray(scores, np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(f"scores are not numbers: {error}") from None
    if values.ndim != 1:
        raise InvalidArgumentError(f"scores has {values.ndim} dimensions, not one")
    if np.isnan(values).any():
        raise InvalidArgumentError(f"score {int(np.flatnonzero(np.isnan(values))[0])} is not a number")
    return values
