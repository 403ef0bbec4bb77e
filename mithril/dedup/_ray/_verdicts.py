"""From the states of all partitions, when nothing is left to decide, to a verdict for each block.

Twins learn here what became of the document that stands for them: what explains its removal explains theirs.
"""

from typing import Any

import numpy as np
import ray

from mithril.dedup._config import DedupConfig
from mithril.dedup._ray._blocks import Verdict
from mithril.dedup._ray._index_actor import returns
from mithril.dedup._ray._messages import EMPTY, TWIN, Array
from mithril.dedup._ray._partition import Partition

__all__ = ["answer_twins", "ask_for_twins", "conclude"]


@ray.remote
def ask_for_twins(state: Partition, bounds: Array) -> Any:
    """A reference for each partition: its rows that stand for twins in this one, ascending."""
    rows = np.unique(state.removed_by[state.status[state.removed] == TWIN])
    return returns(np.split(rows, np.searchsorted(rows, bounds[1:-1])))


@ray.remote
def answer_twins(state: Partition, *asked: Array) -> Any:
    """A reference for each partition that asked: what explains the removal of its rows, -1 if kept, and the
    similarities."""
    by, similarities = _removed_by(state)
    return returns([(by[rows - state.first_row], similarities[rows - state.first_row]) for rows in asked])


@ray.remote
def conclude(state: Partition, starts: Array, config: DedupConfig, *answers: tuple[Array, Array]) -> Any:
    """A reference for each block of the partition, which begin in the rows `starts`: its Verdict."""
    by, similarities = _removed_by(state)
    twins = np.flatnonzero(state.status == TWIN)
    asked = np.unique(by[twins])
    answered_by, answered = (np.concatenate(part) for part in zip(*answers, strict=True))
    at = np.searchsorted(asked, by[twins])
    gone = answered_by[at] >= 0
    by[twins[gone]], similarities[twins[gone]] = answered_by[at][gone], answered[at][gone]
    if config.empty == "remove":
        empty = np.flatnonzero(state.status == EMPTY)
        by[empty] = empty + state.first_row
    cuts = starts - state.first_row
    return returns(
        [
            Verdict(int(start), by[a:b], similarities[a:b])
            for start, a, b in zip(starts[:-1], cuts[:-1], cuts[1:], strict=True)
        ]
    )


def _removed_by(state: Partition) -> tuple[Array, Array]:
    by = np.full(len(state.status), -1, np.int64)
    similarities = np.zeros(len(state.status), np.float32)
    by[state.removed] = state.removed_by
    similarities[state.removed] = state.similarities
    return by, similarities
