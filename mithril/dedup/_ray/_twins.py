"""Exact duplicates, by the hash of the text. The first of them in the order of preference stands for the others."""

import itertools
from typing import Any

import numpy as np
import pyarrow as pa
import ray

from mithril.dedup._config import DedupConfig
from mithril.dedup._ray._index_actor import returns
from mithril.dedup._ray._messages import EMPTY, UNDECIDED, Array, sort_places
from mithril.dedup._ray._partition import Partition
from mithril.dedup._ray._sketches import places

__all__ = ["begin", "find_twins", "split_hashes"]

_Hashes = tuple[Array, Array, Array]  # low, high, places


@ray.remote
def split_hashes(parts: int, first_row: int, config: DedupConfig, *sketches: pa.Table) -> Any:
    """Of the documents of a partition the hashes, a reference for each range of them. Texts without words are left
    out."""
    table = pa.concat_tables(sketches)
    words = ~table.column("empty").to_numpy()
    low, high = table.column("low").to_numpy()[words], table.column("high").to_numpy()[words]
    members = places(table, first_row, config)[words]
    part = (high >> np.uint64(32)) * np.uint64(parts) >> np.uint64(32)
    return returns([(low[part == p], high[part == p], members[part == p]) for p in range(parts)])


@ray.remote
def find_twins(bounds: Array, *hashes: _Hashes) -> Any:
    """Of a range of hashes a reference for each partition: its rows that equal one before them, and the first such
    one."""
    low, high, members = (np.concatenate(part) for part in zip(*hashes, strict=True))
    order = sort_places(members, high, low)
    low, high, rows = low[order], high[order], members[order, -1]
    first = np.concatenate([[True], (low[1:] != low[:-1]) | (high[1:] != high[:-1])])[: len(rows)]
    of = rows[np.maximum.accumulate(np.where(first, np.arange(len(rows)), 0))]
    rows, of = rows[~first], of[~first]
    by_row = np.argsort(rows)
    rows, of = rows[by_row].astype(np.int64), of[by_row].astype(np.int64)
    cuts = np.searchsorted(rows, bounds)
    return returns([(rows[a:b], of[a:b]) for a, b in itertools.pairwise(cuts)])


@ray.remote
def begin(first_row: int, config: DedupConfig, ranges: int, *pieces: Any) -> Partition:
    """The state of a partition before all rounds: from its twins in all ranges of hashes, then its sketches."""
    twins, sketches = pieces[:ranges], pieces[ranges:]
    empty = np.concatenate([table.column("empty").to_numpy() for table in sketches])
    rows, of = (np.concatenate(part) for part in zip(*twins, strict=True))
    columns = places(sketches[0].slice(0, 0), 0, config).shape[1]
    status = np.where(empty, EMPTY, UNDECIDED).astype(np.uint8)
    return Partition.begin(first_row, status, rows - first_row, of, columns)
