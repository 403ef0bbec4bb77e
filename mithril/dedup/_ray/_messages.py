"""What index actors and partitions tell each other, round by round; all of it NumPy arrays.

A document is named by its *row*, its position in the dataset, and stands in the order of preference by its *place*: one
to three columns of 64 bits, compared from the left, of which the last is the row.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = [
    "ANYONES",
    "EMPTY",
    "EXPLAINING",
    "GONE",
    "KEPT",
    "TWIN",
    "UNDECIDED",
    "WAITING",
    "Announcement",
    "Array",
    "Report",
    "decided",
    "find_rows",
    "sort_places",
]

Array = np.ndarray[Any, Any]

# What is known of a document.
UNDECIDED = 0
WAITING = 1
"""Undecided, and a near duplicate of an undecided document before it: not compared with others meanwhile."""
KEPT = 2
EXPLAINING = 3
"""Removed; whether a kept document before the one that was found explains it is not known yet."""
GONE = 4
"""Removed, and explained."""
TWIN = 5
"""Removed as an exact duplicate, before all rounds."""
EMPTY = 6
"""Without words: takes no part."""

ANYONES = (UNDECIDED, WAITING, KEPT)
"""Of these a document after them may be a duplicate."""


@dataclass(frozen=True)
class Report:
    """From one index actor to one partition: what it takes to decide its documents."""

    rows: Array
    """uint64[n]: documents of the partition that are to be compared."""
    places: Array
    """uint64[n, k]: with the documents of these places."""
    kept: Array
    """bool[n]: whether those are kept for sure."""
    waiting: Array
    """uint64[m]: documents that cannot be decided in this round for another reason."""


@dataclass(frozen=True)
class Announcement:
    """From one partition to all: what became of documents in the last round."""

    rows: Array
    """uint64[n]"""
    status: Array
    """uint8[n]"""


def decided(announcements: Sequence[Announcement]) -> Announcement:
    """All announcements as one, by ascending row."""
    if not announcements:
        return Announcement(np.empty(0, np.uint64), np.empty(0, np.uint8))
    rows = np.concatenate([one.rows for one in announcements])
    status = np.concatenate([one.status for one in announcements])
    order = np.argsort(rows)
    return Announcement(rows[order], status[order])


def find_rows(rows: Array, wanted: Array) -> tuple[Array, Array]:
    """Of each wanted row whether it is among the ascending `rows`, and the positions in them of those that are."""
    if not len(rows):
        return np.zeros(len(wanted), np.bool_), np.empty(0, np.intp)
    at = np.minimum(np.searchsorted(rows, wanted), len(rows) - 1)
    found = rows[at] == wanted
    return found, at[found]


def sort_places(places: Array, *groups: Array) -> Array:
    """The order of preference within each group: positions sorted by `groups`, the first of them first, then by
    place."""
    return np.lexsort((*places.T[::-1], *groups[::-1]))
