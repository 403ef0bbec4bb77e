"""The table of removals: a row for each removed document, with the kept one that explains it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from mithril._errors import UnsupportedError
from mithril._native import core
from mithril.dedup._formats._compression import Writable, compressed_writer
from mithril.dedup._formats._corpus import Corpus, Places
from mithril.dedup._formats._inputs import split_suffixes
from mithril.dedup._result import DedupResult

__all__ = ["write_removals"]

_BATCH = 1 << 16

_Batch = tuple[Places, Places, Any, Any]
"""Removed documents, kept ones, which removals those explain, similarities."""


def write_removals(path: Path, corpus: Corpus, result: DedupResult) -> None:
    """Write file, row, kept_file, kept_row, kept_in_index and similarity of each removed document, in their order.

    `kept_in_index`: whether the kept document is one of an earlier run, of a file that may have been another of the
    same name. The last four are null for a text without words, which nothing explains. By the name of `path` it is
    Parquet or JSON Lines, which may be .gz or .zst.

    Raises:
        OSError: It cannot be written.
        UnsupportedError: A package is missing.
    """
    format, compression = split_suffixes(path.name)
    if format == "parquet":
        _write_parquet(path, corpus, result)
    elif compression is not None:
        with compressed_writer(path, compression) as to:
            _write_jsonl(to, corpus, result)
    else:
        with open(path, "xb") as file:
            _write_jsonl(file, corpus, result)


def _batches(corpus: Corpus, result: DedupResult) -> Iterator[_Batch]:
    for begin in range(0, len(result.remove_indices), _BATCH):
        here = slice(begin, begin + _BATCH)
        removed, kept = result.remove_indices[here], result.removed_by[here]
        yield corpus.places(removed), corpus.places(kept), removed != kept, result.similarities[here]


def _write_jsonl(to: Writable, corpus: Corpus, result: DedupResult) -> None:
    for (files, rows), (kept_files, kept_rows), explained, similarities in _batches(corpus, result):
        to.write(
            core.removal_lines(
                files,
                rows,
                kept_files,
                kept_rows,
                explained,
                similarities,
                names=corpus.names,
                first_in_index=len(corpus.files),
            )
        )


def _write_parquet(path: Path, corpus: Corpus, result: DedupResult) -> None:
    try:
        import pyarrow as pa
        import pyarrow.parquet as parquet
    except ImportError:
        raise UnsupportedError(f"{path}: Parquet needs the package pyarrow (pip install pyarrow)") from None
    kinds = {
        "file": pa.string(),
        "row": pa.int64(),
        "kept_file": pa.string(),
        "kept_row": pa.int64(),
        "kept_in_index": pa.bool_(),
        "similarity": pa.float32(),
    }
    names = pa.array(corpus.names, pa.string())
    with closing(parquet.ParquetWriter(path, pa.schema(kinds))) as writer:
        for (files, rows), (kept_files, kept_rows), explained, similarities in _batches(corpus, result):
            columns = [
                names.take(pa.array(files)),
                pa.array(rows.astype(np.int64)),
                names.take(pa.array(kept_files, mask=~explained)),
                pa.array(kept_rows.astype(np.int64), mask=~explained),
                pa.array(kept_files >= len(corpus.files), mask=~explained),
                pa.array(similarities, mask=~explained),
            ]
            writer.write_table(pa.table(columns, schema=pa.schema(kinds)))
