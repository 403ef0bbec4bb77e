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


class _IndexActor:
    """One share of the band keys. It is filled some bands at a time, as most documents share no key with others and
    need no memory after that."""

    def __init__(self, bounds: Array, *, star: bool) -> None:
        self._bounds = bounds
        self._star = star
        self._parts: dict[int, tuple[Array, Array, Array]] = {}
        self._buckets: list[Buckets] = []
        self._round = -1

    def clear(self) -> None:
        """Begin to be filled."""
        self._parts.clear()
        self._buckets.clear()

    def add(self, block: int, keys: Array, members: Array, status: Array) -> None:
        """Take the keys of a block's documents. A task that Ray plays again adds the same once more."""
        self._parts[block] = (keys, members, status)

    def end_pass(self) -> None:
        """All blocks have added their keys of some bands."""
        keys, members, status = (np.concatenate(part) for part in zip(*self._parts.values(), strict=True))
        self._parts.clear()
        self._buckets.append(Buckets(keys, members, status, star=self._star))

    def rows(self) -> Any:
        """A reference for each partition: its rows that share a key with others."""
        rows = np.unique(np.concatenate([buckets.rows for buckets in self._buckets]))
        return returns(np.split(rows, np.searchsorted(rows, self._bounds[1:-1])))

    def propose(self, number: int, *announcements: Announcement) -> Any:
        """Round `number`. Returns a reference for each partition: a Report. Asked again for a round, it says the
        same."""
        limit = PAIRS_A_ROUND // len(self._buckets)
        if number == self._round:
            proposals = [buckets.propose_again(limit) for buckets in self._buckets]
        else:
            heard = decided(announcements)
            for buckets in self._buckets:
                buckets.apply(heard)
            proposals = [buckets.propose(limit) for buckets in self._buckets]
        self._round = number
        return returns(_split(_join(proposals), self._bounds))

    def full(self) -> int:
        """How many times a document found its bucket full and was not entered."""
        return sum(buckets.full for buckets in self._buckets)


IndexActor: Any = ray.remote(max_restarts=0)(_IndexActor)


def _join(proposals: Sequence[Proposal]) -> Proposal:
    return Proposal(
        np.concatenate([proposal.rows for proposal in proposals]),
        np.concatenate([proposal.places for proposal in proposals]),
        np.concatenate([proposal.kept for proposal in proposals]),
        np.unique(np.concatenate([proposal.waiting for proposal in proposals])),
    )


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
    bands: range,
    actors: Sequence[Any],
    wanted: Sequence[int],
) -> None:
    """Send the keys of a block's documents in some bands to those of the index actors that are `wanted`."""
    offset = first_row - state.first_row
    status = state.status[offset : offset + len(sketches)]
    taking = np.flatnonzero(~np.isin(status, (GONE, TWIN, EMPTY)))
    keys = band_keys(sketches)[taking, bands.start : bands.stop].astype(np.uint64)
    keys |= np.array(bands, np.uint64) << np.uint64(32)
    members, status = places(sketches, first_row, config)[taking], status[taking]
    owner = _owner(keys, len(actors))
    sent = []
    for actor in wanted:
        who, band = np.nonzero(owner == actor)
        sent.append(actors[actor].add.remote(block, keys[who, band], members[who], status[who]))
    ray.get(sent)


def _owner(keys: Array, count: int) -> Array:
    """The number of the actor that owns each key: of 2^32 equal ranges of the hash, a run."""
    hashes: Array = keys * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(32)
    owner: Array = hashes * np.uint64(count) >> np.uint64(32)
    return owner
