"""A dataset as its blocks, in order; and a dataset of blocks that documents' verdicts were added to."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import ray.data

from mithril._native import core
from mithril.dedup._ray._messages import Array

__all__ = ["ADDED_COLUMNS", "Blocks", "Partitions", "Verdict", "annotate", "blocks_of", "column_names", "partitions_of"]

ADDED_COLUMNS = tuple(core.MARK_NAMES)  # as in annotated files


@dataclass(frozen=True)
class Blocks:
    """References to Arrow tables, in the order of rows; none is empty."""

    refs: list[Any]
    starts: Array
    """int64[len(refs) + 1]: the row that each begins with, and the number of rows."""


@dataclass(frozen=True)
class Partitions:
    """All blocks, in runs of consecutive ones."""

    starts: Array
    """int64[blocks + 1]: the row that each block begins with, and the number of rows."""
    runs: list[range]

    def __len__(self) -> int:
        return len(self.runs)

    @property
    def rows(self) -> int:
        """The number of rows of all."""
        return int(self.starts[-1])

    @property
    def bounds(self) -> Array:
        """int64[partitions + 1]: the row that each partition begins with, and the number of rows."""
        return self.starts[[*(run.start for run in self.runs), len(self.starts) - 1]]


@dataclass(frozen=True)
class Verdict:
    """What became of the documents of one block."""

    first_row: int
    removed_by: Array
    """int64[n]: the row that explains the removal; -1 where kept."""
    similarities: Array
    """float32[n]"""


@contextmanager
def _in_order(dataset: Any) -> Iterator[Any]:
    """The dataset, executed with its blocks in order meanwhile."""
    options = dataset.context.execution_options
    before, options.preserve_order = options.preserve_order, True
    try:
        yield dataset
    finally:
        options.preserve_order = before


@ray.remote
def _count(block: pa.Table) -> int:
    return int(block.num_rows)


def blocks_of(dataset: Any) -> Blocks:
    """Execute the dataset and return its blocks. They stay where they are; only the number of rows of each comes
    here."""
    with _in_order(dataset):
        refs = dataset.materialize().to_arrow_refs()
    counts = ray.get([_count.remote(ref) for ref in refs])
    filled = [(ref, count) for ref, count in zip(refs, counts, strict=True) if count]
    starts = np.concatenate([[0], np.cumsum([count for _, count in filled])]).astype(np.int64)
    return Blocks([ref for ref, _ in filled], starts)


@ray.remote
def _names(block: pa.Table) -> list[str]:
    return list(block.column_names)


def column_names(blocks: Blocks) -> list[str]:
    """The columns of the first block."""
    names: list[str] = ray.get(_names.remote(blocks.refs[0]))
    return names


def partitions_of(starts: Array, most: int) -> Partitions:
    """Blocks that begin in these rows, in runs of about as many rows each; no run is empty."""
    middles = (starts[:-1] + starts[1:]) // 2
    part = np.minimum(middles * most // max(int(starts[-1]), 1), most - 1)
    bounds = [0, *(np.flatnonzero(np.diff(part)) + 1).tolist(), len(part)]
    runs = [range(a, b) for a, b in itertools.pairwise(bounds)]
    return Partitions(starts, runs)


@ray.remote
def annotate(block: pa.Table, verdict: Verdict) -> pa.Table:
    """The block with the columns keep, cluster_id, kept_id and similarity; the latter two null where a row is kept."""
    removed = verdict.removed_by >= 0
    own = np.arange(verdict.first_row, verdict.first_row + len(removed))
    values = (
        pa.array(~removed),
        pa.array(np.where(removed, verdict.removed_by, own)),
        pa.array(verdict.removed_by, mask=~removed),
        pa.array(verdict.similarities, mask=~removed),
    )
    for name, value in zip(ADDED_COLUMNS, values, strict=True):
        block = block.append_column(name, value)
    return block
