"""The documents of one partition, which is a run of rows: what is decided of them, round by round.

A document is kept when the documents before it that share a band key have all been compared with it, or were removed,
and none of them is a near duplicate that may be kept. It is removed as soon as a kept one is a near duplicate, and
explained when no kept one before that can be. Both follow from facts that later rounds cannot change, so the result
does not depend on which comparison is made when: it is that of one document after another. A state is a value: each
round makes a new one, and a round that failed is played again from the old.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mithril.dedup._ray._edges import Best, Edges
from mithril.dedup._ray._messages import (
    EXPLAINING,
    GONE,
    KEPT,
    TWIN,
    UNDECIDED,
    WAITING,
    Announcement,
    Array,
    Report,
)

__all__ = ["Compare", "Counts", "Partition"]

Compare = Callable[[Array, Array], Array]
"""Rows of documents of the partition, and rows of as many others: float32 similarities, below the threshold as 0."""


@dataclass(frozen=True)
class Counts:
    """What a partition has done and has left to do."""

    undecided: int
    proposed: int = 0
    compared: int = 0
    near: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.undecided + other.undecided,
            self.proposed + other.proposed,
            self.compared + other.compared,
            self.near + other.near,
        )


@dataclass(frozen=True)
class Partition:
    """State of the documents `first_row` … `first_row + len(status) - 1`."""

    first_row: int
    status: Array
    """uint8[n]"""
    edges: Edges
    removed: Array
    """int64[m]: documents (positions in the partition) that are removed and explained, twins too."""
    removed_by: Array
    """int64[m]: the rows that explain them; of twins the first of them in the order of preference, which may be
    removed."""
    similarities: Array
    """float32[m]"""

    @classmethod
    def begin(cls, first_row: int, status: Array, twins: Array, of: Array, columns: int) -> "Partition":
        """With nothing decided but `status`; `twins` are documents equal to those in the rows `of`."""
        status = status.copy()
        status[twins] = TWIN
        return cls(first_row, status, Edges.none(columns), twins, of, np.ones(len(twins), np.float32))

    def contest(self, rows: Array) -> "Partition":
        """Keep all undecided documents but these rows, which share a band key with another one."""
        contested = np.zeros(len(self.status), np.bool_)
        contested[rows.astype(np.int64) - self.first_row] = True
        status = self.status.copy()
        status[(status == UNDECIDED) & ~contested] = KEPT
        return replace(self, status=status)

    def counts(self) -> Counts:
        """Of the state alone."""
        return Counts(int(np.isin(self.status, (UNDECIDED, WAITING, EXPLAINING)).sum()))

    def settle(
        self, reports: Sequence[Report], heard: Announcement, compare: Compare
    ) -> tuple["Partition", Announcement, Counts]:
        """One round: compare what index actors propose and decide what can be decided.

        Args:
            reports: Of all index actors, made after they heard the same announcements.
            heard: What all partitions announced in the round before, by ascending row.
            compare: Gives similarities.
        """
        edges = self.edges.hear(heard)
        documents, places, kept = self._pairs(reports)
        new = ~edges.best().precede(documents, places)
        documents, places, kept = documents[new], places[new], kept[new]
        open_ = np.zeros(len(self.status), np.bool_)
        open_[documents] = True
        for report in reports:
            open_[self._documents(report.waiting)] = True
        edges, compared, near = self._compare(edges, documents, places, kept, compare)
        state, announcement = self._decide(edges, open_)
        proposed = sum(len(report.rows) for report in reports)
        return state, announcement, replace(state.counts(), proposed=proposed, compared=compared, near=near)

    def link(self, reports: Sequence[Report], compare: Compare) -> tuple["Partition", Counts]:
        """One round where nothing is decided: compare, and keep all edges."""
        documents, places, kept = self._pairs(reports)
        edges, compared, near = self._compare(self.edges, documents, places, kept, compare)
        proposed = sum(len(report.rows) for report in reports)
        open_ = proposed + sum(len(report.waiting) for report in reports)
        return replace(self, edges=edges), Counts(open_, proposed, compared, near)

    def absorb(self, rows: Array, by: Array, similarities: Array) -> "Partition":
        """Remove these rows, explained by others."""
        status, documents = self.status.copy(), rows - self.first_row
        status[documents] = GONE
        return replace(
            self,
            status=status,
            removed=np.concatenate([self.removed, documents]),
            removed_by=np.concatenate([self.removed_by, by]),
            similarities=np.concatenate([self.similarities, similarities]),
        )

    def _documents(self, rows: Array) -> Array:
        return rows.astype(np.int64) - self.first_row

    def _pairs(self, reports: Sequence[Report]) -> tuple[Array, Array, Array]:
        """Proposals of all index actors, each pair once, by document and then by row of the other."""
        rows = np.concatenate([report.rows for report in reports])
        places = np.concatenate([report.places for report in reports])
        kept = np.concatenate([report.kept for report in reports])
        order = np.lexsort((places[:, -1], rows))
        rows, places, kept = rows[order], places[order], kept[order]
        same = (rows[1:] == rows[:-1]) & (places[1:, -1] == places[:-1, -1])
        once = np.concatenate([[True], ~same])[: len(rows)]
        return self._documents(rows[once]), places[once], kept[once]

    def _compare(
        self, edges: Edges, documents: Array, places: Array, kept: Array, compare: Compare
    ) -> tuple[Edges, int, int]:
        """The edges with those of pairs that are new and near; how many were compared, how many are near."""
        new = ~edges.holds(documents, places[:, -1])
        documents, places, kept = documents[new], places[new], kept[new]
        if not len(documents):
            return edges, 0, 0
        similarities = compare((documents + self.first_row).astype(np.uint64), places[:, -1])
        near = similarities > 0
        edges = edges.plus(documents[near], places[near], similarities[near], kept[near])
        return edges, len(documents), int(near.sum())

    def _decide(self, edges: Edges, open_: Array) -> tuple["Partition", Announcement]:
        """What follows from the edges, when index actors have more to say of the documents that are `open_`.

        A document that was WAITING when they made their proposals is open too: they left it out.
        """
        was, status = self.status, self.status.copy()
        best = edges.best()
        linked = np.zeros(len(status), np.bool_)
        linked[edges.documents] = True
        has_best = np.zeros(len(status), np.bool_)
        has_best[best.documents] = True

        status[(was == UNDECIDED) & linked & ~has_best] = WAITING
        status[(was == WAITING) & ~linked] = UNDECIDED
        status[(was == UNDECIDED) & ~linked & ~open_] = KEPT
        status[best.documents] = EXPLAINING
        explained = best.first & ~open_[best.documents] & (was[best.documents] != WAITING)
        status[best.documents[explained]] = GONE

        changed = np.flatnonzero(status != was)
        announcement = Announcement((changed + self.first_row).astype(np.uint64), status[changed])
        return self._explain(edges, status, best, explained), announcement

    def _explain(self, edges: Edges, status: Array, best: Best, explained: Array) -> "Partition":
        needed = ~best.precede(edges.documents, edges.places) | edges.kept
        needed &= status[edges.documents] != GONE
        return replace(
            self,
            status=status,
            edges=edges.only(needed),
            removed=np.concatenate([self.removed, best.documents[explained]]),
            removed_by=np.concatenate([self.removed_by, best.places[explained, -1].astype(np.int64)]),
            similarities=np.concatenate([self.similarities, best.similarities[explained]]),
        )
