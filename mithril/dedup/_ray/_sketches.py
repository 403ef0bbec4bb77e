"""Texts → sketches: one row a document, which is all that index actors are made, and made again, from.

| column | type | |
| --- | --- | --- |
| keys | fixed_size_binary(4 × bands) | band keys |
| low, high | uint64 | XXH3 of the bytes of the text |
| empty | bool | no words |
| preference | uint64 | smaller is preferred; only where the configuration asks for more than the order |
| digests | fixed_size_binary(permutations ÷ 2) | what the similarity is estimated from |
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray

from mithril._errors import CorruptError, InvalidArgumentError
from mithril._native import core
from mithril.dedup._config import DedupConfig
from mithril.dedup._options import options_of
from mithril.dedup._ray._messages import Array
from mithril.dedup._texts import texts_of

__all__ = ["Columns", "band_keys", "blame", "digests", "one_thread", "places", "sketch", "sources_of"]


@dataclass(frozen=True)
class Columns:
    """Which columns of the dataset say what."""

    text: str
    score: str | None = None
    source: str | None = None
    sources: tuple[str | None, ...] = ()
    """Values of the column `source`, the most preferred first."""


@ray.remote
def _sources(block: pa.Table, column: str) -> list[Any]:
    return list(block.column(column).unique().to_pylist())


def sources_of(blocks: Sequence[Any], column: str) -> tuple[Any, ...]:
    """All values of the column, in the order in which they come first."""
    asked = [_sources.remote(block, column) for block in blocks]
    return tuple(dict.fromkeys(value for answer in asked for value in ray.get(answer)))


def one_thread(config: DedupConfig) -> DedupConfig:
    """The same for a task, of which Ray runs one a core."""
    return replace(config, num_threads=1)


def sketch(block: pa.Table, *, columns: Columns, config: DedupConfig) -> pa.Table:
    """The sketches of a block, row by row."""
    texts = texts_of(block.column(columns.text))
    keys, digest_rows, hashes, empty = core.sketch(texts, options_of(one_thread(config)), 0, len(texts))
    arrays = {
        "keys": _fixed(keys.view(np.uint8)),
        "low": pa.array(hashes[:, 0]),
        "high": pa.array(hashes[:, 1]),
        "empty": pa.array(empty),
        "digests": _fixed(digest_rows),
    }
    preference = _preference(block, texts, columns, config)
    if preference is not None:
        arrays["preference"] = pa.array(preference)
    return pa.table(arrays)


@ray.remote
def blame(block: pa.Table, first_row: int, columns: Columns, config: DedupConfig) -> None:
    """Raise what `sketch` raises for the block, naming the row. Ray Data would only say that something was raised."""
    try:
        sketch(block, columns=columns, config=config)
    except CorruptError:
        texts, options = texts_of(block.column(columns.text)), options_of(one_thread(config))
        for i in range(len(texts)):
            try:
                core.sketch(texts, options, i, i + 1)
            except CorruptError as error:
                raise CorruptError(f"row {first_row + i}: {str(error).partition(': ')[2]}") from None


def band_keys(sketches: pa.Table) -> Array:
    """uint32[rows, bands]"""
    return _matrix(sketches.column("keys")).view(np.uint32)


def digests(sketches: pa.Table) -> Array:
    """uint8[rows, permutations ÷ 2]"""
    return _matrix(sketches.column("digests"))


def places(sketches: pa.Table, first_row: int, config: DedupConfig) -> Array:
    """uint64[rows, 1 to 3]: where the documents stand in the order of preference."""
    rows = np.arange(first_row, first_row + len(sketches), dtype=np.uint64)
    if config.keep == "first":
        return rows[:, None]
    preference = sketches.column("preference").to_numpy()
    if config.keep == "source":
        return np.stack([preference, rows], axis=1)
    return np.stack([preference, sketches.column("high").to_numpy(), rows], axis=1)


def _fixed(matrix: Array) -> pa.Array:
    """Rows of bytes as an Arrow array."""
    matrix = np.ascontiguousarray(matrix)
    return pa.Array.from_buffers(pa.binary(matrix.shape[1]), len(matrix), [None, pa.py_buffer(matrix)])


def _matrix(column: pa.ChunkedArray) -> Array:
    """Rows of bytes, from an Arrow array."""
    width = column.type.byte_width
    chunks = [
        np.frombuffer(chunk.buffers()[1], np.uint8)[chunk.offset * width : (chunk.offset + len(chunk)) * width]
        for chunk in column.chunks
        if len(chunk)
    ]
    return np.concatenate(chunks).reshape(-1, width) if chunks else np.empty((0, width), np.uint8)


def _preference(block: pa.Table, texts: core.Texts, columns: Columns, config: DedupConfig) -> Array | None:
    if config.keep == "longest":
        sizes, _ = core.sizes_and_hashes(texts, 1)
        longest: Array = ~sizes.astype(np.uint64)
        return longest
    if config.keep == "score":
        return _descending(block.column(columns.score), str(columns.score))
    if config.keep == "source":
        positions: Any = pc.index_in(block.column(columns.source), value_set=pa.array(columns.sources))
        return np.asarray(positions.to_numpy(), np.uint64)
    return None


def _descending(column: pa.ChunkedArray, name: str) -> Array:
    """Scores as integers of which the smallest belongs to the highest score."""
    scores = column.to_numpy().astype(np.float64)
    if np.isnan(scores).any():
        raise InvalidArgumentError(f"column {name!r} of scores holds null or NaN")
    bits = (scores + 0.0).view(np.uint64)  # adding makes one zero of two
    sign = np.uint64(1) << np.uint64(63)
    descending: Array = np.where(bits & sign, bits, ~(bits | sign))
    return descending
