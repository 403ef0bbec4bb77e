"""Texts and digests of a partition, for whoever asks for some of them by row; and what compares documents with them.

Nobody else reads texts after the sketches are made, and no text passes through the process that runs the job.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import ray

from mithril._native import core
from mithril.dedup._config import DedupConfig
from mithril.dedup._options import options_of
from mithril.dedup._ray._blocks import Blocks
from mithril.dedup._ray._messages import Array
from mithril.dedup._ray._sketches import digests, one_thread
from mithril.dedup._texts import texts_of

__all__ = ["Comparer", "Contents", "Shelf"]

_PAIRS_AT_ONCE = 8192  # so many pairs of texts a task holds at a time
_DIGESTS_AT_ONCE = 1 << 18


@dataclass(frozen=True)
class Contents:
    """Where the texts and the sketches of a partition lie."""

    texts: Blocks
    sketches: Sequence[Any]
    column: str


class _Shelf:
    """Actor that is asked for documents of one partition. It is told with each request where these lie, and so may be
    restarted by Ray at any time. Blocks are mapped from the object store, not copied."""

    def __init__(self) -> None:
        self._contents: Contents | None = None

    def texts(self, contents: Sequence[Any], rows: Array) -> pa.ChunkedArray:
        """Texts of these rows, which ascend. `contents` holds one reference to Contents, always the same."""
        own = self._read(contents)
        chunks = []
        for block, wanted in _by_block(own, rows):
            taken = ray.get(own.texts.refs[block]).column(own.column).take(pa.array(wanted))
            chunks.extend(taken.cast(pa.large_string()).chunks)  # blocks may differ
        return pa.chunked_array(chunks)

    def digests(self, contents: Sequence[Any], rows: Array) -> Array:
        """uint8[n, permutations ÷ 2], as `texts`."""
        own = self._read(contents)
        return np.concatenate([digests(ray.get(own.sketches[block]))[at] for block, at in _by_block(own, rows)])

    def _read(self, contents: Sequence[Any]) -> Contents:
        if self._contents is None:
            self._contents = ray.get(contents[0])
        return self._contents


Shelf: Any = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Shelf)


def _by_block(own: Contents, rows: Array) -> Iterator[tuple[int, Array]]:
    """The blocks that hold some of the rows, and the positions of these in the block."""
    starts = own.texts.starts
    cuts = np.searchsorted(rows, starts)
    for block in np.flatnonzero(np.diff(cuts)).tolist():
        yield block, rows[cuts[block] : cuts[block + 1]] - starts[block]


class Comparer:
    """Gives similarities of pairs of rows, as the run on one machine does: digests first, then, where those agree,
    texts."""

    def __init__(self, shelves: Sequence[Any], contents: Sequence[Any], bounds: Array, config: DedupConfig) -> None:
        """Shelves of all partitions, references to their contents, the rows that they begin with (int64[partitions +
        1]); and what counts as similar."""
        self._shelves = shelves
        self._contents = contents
        self._bounds = bounds
        self._config = config

    def near(self, removed: Array, kept: Array) -> Array:
        """float32: similarities where they reach the threshold, else 0."""
        estimates, near = self._estimate(removed, kept)
        similarities = np.where(near, estimates, np.float32(0))
        if self._config.verify:
            similarities[near] = self._compare(core.near_pairs, removed[near], kept[near])
        return similarities

    def similarity(self, removed: Array, kept: Array) -> Array:
        """float32: similarities, whatever they are."""
        if not self._config.verify:
            return self._estimate(removed, kept)[0]
        return self._compare(core.compare_pairs, removed, kept)

    @property
    def _options(self) -> Any:
        return options_of(one_thread(self._config))

    def _estimate(self, removed: Array, kept: Array) -> tuple[Array, Array]:
        estimates, near = [np.empty(0, np.float32)], [np.empty(0, np.bool_)]
        for rows, a, b in _pieces(removed, kept, _DIGESTS_AT_ONCE):
            found = np.concatenate(self._ask("digests", rows))
            some = core.compare_digests(found[a], found[b], self._options)
            estimates.append(some[0])
            near.append(some[1])
        return np.concatenate(estimates), np.concatenate(near)

    def _compare(self, compare: Any, removed: Array, kept: Array) -> Array:
        similarities = [np.empty(0, np.float32)]
        for rows, a, b in _pieces(removed, kept, _PAIRS_AT_ONCE):
            found = pa.chunked_array([chunk for taken in self._ask("texts", rows) for chunk in taken.chunks])
            texts = texts_of(found)
            similarities.append(compare(texts, texts, a, b, self._options))
        return np.concatenate(similarities)

    def _ask(self, what: str, rows: Array) -> list[Any]:
        """What the shelves have of ascending rows, shelf by shelf."""
        cuts = np.searchsorted(rows, self._bounds).tolist()
        asked = [
            getattr(shelf, what).remote([contents], rows[a:b])
            for shelf, contents, a, b in zip(self._shelves, self._contents, cuts[:-1], cuts[1:], strict=True)
            if a < b
        ]
        return list(ray.get(asked))


def _pieces(removed: Array, kept: Array, size: int) -> Iterator[tuple[Array, Array, Array]]:
    """Some pairs at a time: the rows of all their documents, ascending, and which of these the pairs are."""
    for start in range(0, len(removed), size):
        pairs = np.stack([removed[start : start + size], kept[start : start + size]]).astype(np.int64)
        rows, which = np.unique(pairs, return_inverse=True)
        a, b = which.reshape(pairs.shape).astype(np.uint32)
        yield rows, a, b
