"""The documents under the band keys of one index actor, and which of them are still to be compared.

A bucket holds the documents of one key in the order of preference. A document is compared with those before it, from
the first on, in steps that double; no further than to the 128th that may be kept, so that a bucket never holds more
than 128 kept ones, whatever else is in it. What was removed leaves. It knows nothing of texts: what comes of a
comparison it learns from announcements. Everything here can be made again from the sketches and the announcements so
far, except how far documents are compared; comparing again does no harm.
"""

from dataclasses import dataclass

import numpy as np

from mithril.dedup._ray._messages import (
    ANYONES,
    EXPLAINING,
    GONE,
    KEPT,
    UNDECIDED,
    WAITING,
    Announcement,
    Array,
    find_rows,
    sort_places,
)

__all__ = ["MAX_PER_KEY", "Buckets", "Proposal"]

MAX_PER_KEY = 128


@dataclass(frozen=True)
class Proposal:
    """Documents to compare, and documents that are open all the same; unsplit."""

    rows: Array
    places: Array
    kept: Array
    waiting: Array


@dataclass(frozen=True)
class _Candidates:
    """Of each bucket the members that others may be duplicates of."""

    members: Array
    """Their positions, ascending."""
    base: Array
    """Of each member of any kind: how many candidates stand in the buckets before its own."""
    before: Array
    """Of each member: how many candidates stand before it in its bucket."""


class Buckets:
    """Members of buckets in arrays that run parallel, by bucket and within it by place."""

    def __init__(self, keys: Array, places: Array, status: Array, *, star: bool) -> None:
        """Keys uint64[n], places uint64[n, k], status uint8[n]; a document comes once a key. Without `star` nothing is
        decided here: every document is compared with the first 128 of its bucket."""
        self._star = star
        self.full = 0
        """How many times a document found its bucket full; with `star` a kept one, and in buckets that are done."""
        order = sort_places(places, keys)
        keys = keys[order]
        self._bucket = (
            np.cumsum(np.concatenate([[False], keys[1:] != keys[:-1]])) if len(keys) else np.empty(0, np.intp)
        )
        self._places = places[order]
        self._status = status[order]
        self._compared = np.zeros(
            len(order), np.uint8
        )  # with how many of the candidates of its bucket, from the first on
        self._last = self._compared
        if not star and len(order):
            self.full = int(np.maximum(np.bincount(self._bucket) - MAX_PER_KEY, 0).sum())
        self._drop()

    def __len__(self) -> int:
        return len(self._bucket)

    @property
    def rows(self) -> Array:
        """Of all members, in no order, repeated ones too."""
        return self._places[:, -1]

    def apply(self, announcement: Announcement) -> None:
        """Take over what became of documents; saying it twice changes nothing. Rows ascend."""
        old = self._candidates()
        found, at = find_rows(announcement.rows, self.rows)
        self._status[found] = announcement.status[at]
        still = np.concatenate([[0], np.cumsum(np.isin(self._status[old.members], ANYONES))])
        self._compared = (still[old.base + self._compared] - still[old.base]).astype(np.uint8)
        self._drop()

    def propose(self, limit: int) -> Proposal:
        """The next comparisons, not many more than `limit`; whoever is left out is waiting."""
        candidates = self._candidates()
        walking = np.flatnonzero(np.isin(self._status, (UNDECIDED, EXPLAINING)))
        done = self._compared[walking].astype(np.int64)
        left = np.minimum(candidates.before[walking], MAX_PER_KEY) - done
        step = np.minimum(left, np.maximum(done, 1))
        step[np.cumsum(step) - step > limit] = 0
        waiting = (step == 0) & ((left > 0) | self._may_move_up(walking, candidates))
        who = np.repeat(walking, step)
        nth = np.arange(len(who)) - np.repeat(np.cumsum(step) - step, step)
        whom = candidates.members[candidates.base[who] + self._compared[who] + nth]
        self._last = self._compared.copy()
        self._compared[walking] += step.astype(np.uint8)
        return Proposal(
            self.rows[who], self._places[whom], self._status[whom] == KEPT, np.unique(self.rows[walking[waiting]])
        )

    def propose_again(self, limit: int) -> Proposal:
        """The last proposal once more: what came of it was lost."""
        self._compared = self._last
        return self.propose(limit)

    def _may_move_up(self, walking: Array, candidates: _Candidates) -> Array:
        """Whether further candidates may come into reach of a document because some of the first 128 are removed."""
        may = np.zeros(len(walking), np.bool_)
        beyond = np.flatnonzero(candidates.before[walking] > MAX_PER_KEY) if self._star else np.empty(0, np.intp)
        kept = np.concatenate([[0], np.cumsum(self._status[candidates.members] == KEPT)])
        base = candidates.base[walking[beyond]]
        may[beyond] = kept[base + MAX_PER_KEY] - kept[base] < MAX_PER_KEY
        return may

    def _candidates(self) -> _Candidates:
        may = np.isin(self._status, ANYONES)
        total = np.concatenate([[0], np.cumsum(may)])
        starts, ends = self._bounds()
        members = np.flatnonzero(may)
        base = np.repeat(total[starts], ends - starts)
        return _Candidates(members, base, total[:-1] - base)

    def _bounds(self) -> tuple[Array, Array]:
        if not len(self):
            return np.empty(0, np.intp), np.empty(0, np.intp)
        starts = np.flatnonzero(np.concatenate([[True], self._bucket[1:] != self._bucket[:-1]]))
        return starts, np.concatenate([starts[1:], [len(self)]])

    def _drop(self) -> None:
        """Forget who is gone, and buckets in which nothing is left to decide."""
        self._take(self._status != GONE)
        starts, ends = self._bounds()
        counts = ends - starts
        if not len(counts):
            return
        open_ = np.add.reduceat(np.isin(self._status, (UNDECIDED, WAITING, EXPLAINING)), starts, dtype=np.int64)
        keep = (open_ > 0) & (counts > 1)
        kept = np.add.reduceat(self._status == KEPT, starts, dtype=np.int64)
        self.full += int(np.maximum(kept - MAX_PER_KEY, 0)[~keep].sum())
        self._take(np.repeat(keep, counts))

    def _take(self, keep: Array) -> None:
        if keep.all():
            return
        self._bucket, self._places = self._bucket[keep], self._places[keep]
        self._status, self._compared = self._status[keep], self._compared[keep]
