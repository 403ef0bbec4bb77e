"""Connected components of documents, of which each knows the most preferred one."""

import numpy as np

from mithril.dedup._ray._messages import Array, find_rows, sort_places

__all__ = ["Components"]


def _connect(count: int, a: Array, b: Array) -> Array:
    """Of each of `count` nodes the smallest one that the edges a – b connect it to."""
    label = np.arange(count)
    while True:
        low, high = np.minimum(label[a], label[b]), np.maximum(label[a], label[b])
        apart = low != high
        if not apart.any():
            return label
        a, b = a[apart], b[apart]
        np.minimum.at(label, high[apart], low[apart])
        while not np.array_equal(label, label[label]):
            label = label[label]


class Components:
    """A forest of depth one: each document that has an edge, and the most preferred one that it is connected to.

    An edge leads from a document to one before it, whose place is given; so the most preferred document of a component
    is among those whose place is known.
    """

    def __init__(self) -> None:
        self._rows = np.empty(0, np.uint64)
        self._places = np.empty((0, 0), np.uint64)
        self._roots = np.empty(0, np.uint64)

    def add(self, rows: Array, places: Array) -> None:
        """Edges from documents in `rows` to documents in `places`."""
        if not len(rows):
            return
        unknown = np.full((len(rows), places.shape[1]), np.iinfo(np.uint64).max, np.uint64)
        unknown[:, -1] = rows
        known = np.concatenate([self._places.reshape(len(self._rows), places.shape[1]), places, unknown])
        known = known[sort_places(known, known[:, -1])]
        first = np.concatenate([[True], known[1:, -1] != known[:-1, -1]])[: len(known)]
        known = known[first]
        known = known[sort_places(known)]

        by_row = np.argsort(known[:, -1])
        ends = np.concatenate([self._rows, rows, self._roots, places[:, -1]])
        a, b = np.split(by_row[find_rows(known[by_row, -1], ends)[1]], 2)
        label = _connect(len(known), a, b)
        self._places = known[by_row]
        self._rows = known[by_row, -1]
        self._roots = known[label[by_row], -1]

    def removed(self, first: int, last: int) -> tuple[Array, Array]:
        """Of rows in [first, last) those that are not the most preferred of their component, and that one."""
        span = slice(*np.searchsorted(self._rows, np.array([first, last], np.uint64)))
        rows, roots = self._rows[span], self._roots[span]
        return rows[rows != roots].astype(np.int64), roots[rows != roots].astype(np.int64)
