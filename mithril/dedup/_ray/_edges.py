"""Near duplicates that a partition has found: of its documents, with documents before them that are not removed."""

from dataclasses import dataclass

import numpy as np

from mithril.dedup._ray._messages import KEPT, Announcement, Array, find_rows, sort_places

__all__ = ["Best", "Edges"]


@dataclass(frozen=True)
class Best:
    """Of documents of a partition, ascending: the first kept near duplicate that is known."""

    documents: Array
    places: Array
    similarities: Array
    first: Array
    """bool: whether no undecided near duplicate stands before it."""

    def precede(self, documents: Array, places: Array) -> Array:
        """Of each document whether its best stands before or at this place."""
        found, at = find_rows(self.documents, documents)
        precedes = np.zeros(len(documents), np.bool_)
        mine, theirs = self.places[at], places[found]
        differ = mine != theirs
        column = np.argmax(differ, axis=1)
        each = np.arange(len(at))
        precedes[found] = ~differ.any(axis=1) | (mine[each, column] < theirs[each, column])
        return precedes


@dataclass(frozen=True)
class Edges:
    """Arrays that run parallel, sorted by document (its position in the partition) and then by place."""

    documents: Array
    places: Array
    similarities: Array
    kept: Array
    """bool: whether the other one is kept, as far as known."""

    @classmethod
    def none(cls, columns: int) -> "Edges":
        """No edges, between places of so many columns."""
        return cls(
            np.empty(0, np.int64), np.empty((0, columns), np.uint64), np.empty(0, np.float32), np.empty(0, np.bool_)
        )

    def __len__(self) -> int:
        return len(self.documents)

    def only(self, which: Array) -> "Edges":
        """Those that a mask or an order picks."""
        return Edges(self.documents[which], self.places[which], self.similarities[which], self.kept[which])

    def plus(self, documents: Array, places: Array, similarities: Array, kept: Array) -> "Edges":
        """These and others, in order."""
        both = Edges(
            np.concatenate([self.documents, documents]),
            np.concatenate([self.places, places]),
            np.concatenate([self.similarities, similarities]),
            np.concatenate([self.kept, kept]),
        )
        return both.only(sort_places(both.places, both.documents))

    def hear(self, announcement: Announcement) -> "Edges":
        """After what became of the other ends: edges to removed documents are gone. Rows ascend."""
        found, at = find_rows(announcement.rows, self.places[:, -1])
        status = announcement.status[at]
        kept, stays = self.kept.copy(), np.ones(len(self), np.bool_)
        kept[found] |= status == KEPT
        stays[found] = status <= KEPT
        return Edges(self.documents, self.places, self.similarities, kept).only(stays)

    def holds(self, documents: Array, rows: Array) -> Array:
        """Of each pair, no two of them the same, whether it is an edge."""
        both = np.concatenate([self.documents, documents])
        others = np.concatenate([self.places[:, -1], rows])
        known = np.arange(len(both)) < len(self)
        order = np.lexsort((~known, others, both))
        before, after = order[:-1], order[1:]
        same = (both[before] == both[after]) & (others[before] == others[after]) & known[before]
        held = np.zeros(len(both), np.bool_)
        held[after] = same
        return held[len(self) :]

    def best(self) -> Best:
        """Of each document that has one, its first kept one."""
        kept = np.flatnonzero(self.kept)
        documents, at = np.unique(self.documents[kept], return_index=True)
        at = kept[at]
        first = np.searchsorted(self.documents, documents) == at
        return Best(documents, self.places[at], self.similarities[at], first)
