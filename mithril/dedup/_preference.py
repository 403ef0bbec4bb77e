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
        InvalidArgumentError: `scores` or `sources` is missing, of another length than `texts`, or not a number.
    """
    count = len(texts)
    for name, values in (("score", scores), ("source", sources)):
        if (values is None) == (config.keep == name):
            raise InvalidArgumentError(
                f"keep={name!r} needs {name}s" if values is None else f"{name}s are given, but keep is {config.keep!r}"
            )
        if values is not None and len(values) != count:
            raise InvalidArgumentError(f"there are {len(values)} {name}s for {count} documents")
    if config.keep == "first":
        return None
    if config.keep == "source":
        assert sources is not None
        ranks: dict[str, int] = {}
        rank = np.fromiter((ranks.setdefault(source, len(ranks)) for source in sources), np.int64, count)
        return np.argsort(rank, kind="stable").astype(np.uint32)
    sizes, hashes = core.sizes_and_hashes(texts, config.num_threads or 0)
    values = np.asarray(scores, np.float64) if config.keep == "score" else sizes
    if config.keep == "score" and np.isnan(values).any():
        raise InvalidArgumentError(f"score {int(np.flatnonzero(np.isnan(values))[0])} is not a number")
    order = np.lexsort((hashes[:, 0], hashes[:, 1], -values if config.keep == "score" else ~values))
    return order.astype(np.uint32)
