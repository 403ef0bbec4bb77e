"""The actor that owns a share of all band keys, and what fills it.

It is lost with all it holds when its process dies. `route` fills a new one from the sketches and the states of the
partitions, and the round goes on as if nothing had happened.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import ray

from mithril.dedup._config import DedupConfig
from mithril.dedup._ray._buckets import Buckets, Proposal
from mithril.dedup._ray._messages import EMPTY, GONE, TWIN, Announcement, Array, Report, decided
from mithril.dedup._ray._partition import Partition
from mithril.dedup._ray._sketches import band_keys, places

__all__ = ["PAIRS_A_ROUND", "IndexActor", "returns", "route"]

PAIRS_A_ROUND = 1 << 24
"""So many comparisons an index actor proposes in a round, or few more."""


def returns(values: Sequence[Any]) -> Any:
    """What a remote function that is to return `values`, one reference for each, must return."""
    return values[0] if len(values) == 1 else tuple(values)


@ray.remote(max_restarts=0)
class IndexActor:
    """One share of the band keys."""

    def __init__(self, bounds: Array, *, star: bool) -> None:
        self._bounds = bounds
        self._star = star
        self._parts: dict[int, tuple[Array, Array, Array]] = {}
        self._buckets: Buckets | None = None
        self._round = -1

    def add(self, block: int, keys: Array, members: Array, status: Array) -> None:
        """Take the keys of a block's documents. A task that Ray plays again adds the same once more."""
        self._parts[block] = (keys, members, status)

    def seal(self) -> Any:
        """All is there. Returns a reference for each partition: its rows that share a key with others."""
        keys, members, status = (np.concatenate(part) for part in zip(*self._parts.values(), strict=True))
        self._parts.clear()
        self._buckets = Buckets(keys, members, status, star=self._star)
        rows = np.unique(self._buckets.rows)
        return returns(np.split(rows, np.searchsorted(rows, self._bounds[1:-1])))

    def propose(self, number: int, *announcements: Announcement) -> Any:
        """Round `number`. Returns a reference for each partition: a Report. Asked again for a round, it says the same."""
        assert self._buckets is not None
        if number == self._round:
            proposal = self._buckets.propose_again(PAIRS_A_ROUND)
        else:
            self._buckets.apply(decided(announcements))
            proposal = self._buckets.propose(PAIRS_A_ROUND)
        self._round = number
        return returns(_split(proposal, self._bounds))

    def full(self) -> int:
        """How many times a kept document found a bucket full."""
        return self._buckets.full if self._buckets else 0


def _split(proposal: Proposal, bounds: Array) -> list[Report]:
    order = np.argsort(proposal.rows, kind="stable")
    rows = proposal.rows[order]
    pairs = np.searchsorted(rows, bounds)
    waiting = np.searchsorted(proposal.waiting, bounds)
    reports = []
    for p in range(len(bounds) - 1):
        one, wait = order[pairs[p] : pairs[p + 1]], slice(waiting[p], waiting[p + 1])
        reports.append(Report(proposal.rows[one], proposal.places[one], proposal.kept[one], proposal.waiting[wait]))
    return reports


@ray.remote
def route(
    sketches: pa.Table,
    state: Partition,
    block: int,
    first_row: int,
    config: DedupConfig,
    actors: Sequence[Any],
    wanted: Sequence[int],
) -> None:
    """Send the keys of a block's documents to those of the index actors that are `wanted`."""
    offset = first_row - state.first_row
    status = state.status[offset : offset + len(sketches)]
    taking = np.flatnonzero(~np.isin(status, (GONE, TWIN, EMPTY)))
    keys = band_keys(sketches)[taking].astype(np.uint64)
    keys |= np.arange(keys.shape[1], dtype=np.uint64) << np.uint64(32)
    members, status = places(sketches, first_row, config)[taking], status[taking]
    owner = _owner(keys, len(actors))
    sent = []
    for actor in wanted:
        who, band = np.nonzero(owner == actor)
        sent.append(actors[actor].add.remote(block, keys[who, band], members[who], status[who]))
    ray.get(sent)


def _owner(keys: Array, count: int) -> Array:
    """The number of the actor that owns each key: of 2^32 equal ranges of the hash, a run."""
    hashes = keys * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(32)
    return hashes * np.uint64(count) >> np.uint64(32)
