"""Documents that are rows of a Parquet file, read and written by row groups through pyarrow.

Of the file only the column of texts stays at hand: in memory as pyarrow read it, or, where it does not fit, in a
temporary file. All other columns are read again when the rows are written.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mithril._errors import CorruptError, InvalidArgumentError, StorageError, UnsupportedError
from mithril._native import core
from mithril.dedup._arrow import texts_of_arrays
from mithril.dedup._formats._columns import Column
from mithril.dedup._formats._compression import Writable
from mithril.dedup._formats._documents import MARK_NAMES, Documents, Marks, Progress, ReadOptions
from mithril.dedup._formats._inputs import InputFile

__all__ = ["read_parquet"]

_BATCH_ROWS = 1 << 15


def read_parquet(file: InputFile, options: ReadOptions, progress: Progress) -> "ParquetDocuments":
    """Read the texts of a Parquet file; `progress` gets bytes of the file.

    Raises:
        InvalidArgumentError: A column is missing or of another type, or a value is null. The message names the row.
        CorruptError: The file is damaged, or a text is not UTF-8.
        StorageError: The file cannot be read, or the temporary file not be written.
        UnsupportedError: pyarrow is not installed.
    """
    with _errors_of(file.name):
        stamp = _stamp(file.path)
        with _parquet(file.name).ParquetFile(file.path) as source:
            names = source.schema_arrow.names
            for column in (options.column, options.score_column, options.source_column):
                if column is not None and column not in names:
                    raise InvalidArgumentError(f"{file.name}: no column {column!r}; there are {', '.join(names)}")
                if column is not None and names.count(column) > 1:
                    raise InvalidArgumentError(f"{file.name}: {names.count(column)} columns are called {column!r}")
            for name in MARK_NAMES if options.unmarked else ():
                if name in names:
                    raise InvalidArgumentError(f"{file.name}: there is a column {name!r} already")
            reader = _Reader(file, options, source)
            reader.read(progress)
    return ParquetDocuments(
        file,
        reader.texts.finish(),
        len(reader.faults),
        scores=_joined(reader.scores, np.float64) if options.score_column else None,
        ranks=_joined(reader.ranks, np.uint32) if options.source_column else None,
        stamp=stamp,
        total=reader.total,
        reasons=reader.faults,
    )


def _joined(parts: list[npt.NDArray[Any]], dtype: Any) -> npt.NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty(0, dtype)


class _Reader:
    """Reads the columns batch by batch."""

    def __init__(self, file: InputFile, options: ReadOptions, source: Any) -> None:
        self.file = file
        self.options = options
        self.source = source
        self.texts = Column(options.memory, options.spill_folder)
        self.scores: list[npt.NDArray[Any]] = []
        self.ranks: list[npt.NDArray[Any]] = []
        self.faults: dict[int, str] = {}  # row, from 1 → reason
        self.total = 0  # rows

    def read(self, progress: Progress) -> None:
        options = self.options
        wanted = [name for name in (options.column, options.score_column, options.source_column) if name is not None]
        rows = max(self.source.metadata.num_rows, 1)
        for batch in self.source.iter_batches(batch_size=_BATCH_ROWS, columns=wanted):
            self._add(batch)
            self.total += batch.num_rows
            progress(self.file.size * self.total // rows)

    def _add(self, batch: Any) -> None:
        options = self.options
        texts = self._strings(batch, options.column)
        faults = self._nulls(texts, options.column) | self._invalid(texts)
        scores = ranks = None
        if options.score_column is not None:
            scores = self._numbers(batch, options.score_column)
            for i in np.flatnonzero(np.isnan(scores)).tolist():
                faults.setdefault(i, f"column {options.score_column!r} is null or not a number")
        if options.source_column is not None:
            sources = self._strings(batch, options.source_column)
            faults = self._nulls(sources, options.source_column) | faults
            ranks = self._ranks(sources)
        if faults:
            self._set_aside(faults)
            taken = np.ones(batch.num_rows, np.bool_)
            taken[list(faults)] = False
            texts = texts.filter(_arrow(self.file.name).array(taken))
            scores = scores[taken] if scores is not None else None
            ranks = ranks[taken] if ranks is not None else None
        self.texts.add(texts)
        if scores is not None:
            self.scores.append(scores)
        if ranks is not None:
            self.ranks.append(ranks)

    def _set_aside(self, faults: dict[int, str]) -> None:
        for i, reason in sorted(faults.items()):
            row = self.total + i + 1
            if not self.options.skip_faults:
                kind = CorruptError if "UTF-8" in reason else InvalidArgumentError
                raise kind(f"{self.file.name}, row {row}: {reason}")
            self.faults[row] = reason

    def _strings(self, batch: Any, column: str) -> Any:
        pa = _arrow(self.file.name)
        values = batch.column(column)
        kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
        if kind not in (pa.string(), pa.large_string(), pa.string_view()):
            raise InvalidArgumentError(f"{self.file.name}: column {column!r} is of type {values.type}, not string")
        if values.type in (pa.string(), pa.large_string()):
            return values
        return values.cast(pa.large_string())

    def _numbers(self, batch: Any, column: str) -> npt.NDArray[np.float64]:
        pa = _arrow(self.file.name)
        values = batch.column(column)
        kind = values.type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
            raise InvalidArgumentError(f"{self.file.name}: column {column!r} is of type {kind}, not a number")
        return np.asarray(values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), np.float64)

    def _ranks(self, sources: Any) -> npt.NDArray[np.uint32]:
        """The place of each source in the priority, or its length."""
        pa = _arrow(self.file.name)
        import pyarrow.compute as compute

        priority = self.options.source_priority
        places = compute.index_in(sources, value_set=pa.array(priority, sources.type))
        return np.asarray(places.fill_null(len(priority)).to_numpy(zero_copy_only=False), np.uint32)

    @staticmethod
    def _nulls(values: Any, column: str) -> dict[int, str]:
        if not values.null_count:
            return {}
        places = np.flatnonzero(values.is_null().to_numpy(zero_copy_only=False)).tolist()
        return dict.fromkeys(places, f"column {column!r} is null")

    def _invalid(self, values: Any) -> dict[int, str]:
        """All of them, or the first when that ends the reading."""
        texts, options = texts_of_arrays([values]), self.options
        found = core.find_invalid_texts(texts, first_only=not options.skip_faults, threads=options.threads)
        return {i: f"column {options.column!r} is not UTF-8 (byte {offset} of the text)" for i, offset in found}


@dataclass
class ParquetDocuments(Documents):
    """Rows of a Parquet file."""

    stamp: tuple[int, ...]
    total: int
    reasons: dict[int, str]
    _taken: npt.NDArray[np.int64] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        if self.reasons:
            left_out = np.fromiter(self.reasons, np.int64, len(self.reasons)) - 1
            self._taken = np.delete(np.arange(self.total), left_out)

    def rows(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
        taken = indices if self._taken is None else self._taken[indices]
        return (taken + 1).astype(np.uint64)

    def write_kept(self, path: Path, keep: npt.NDArray[np.bool_], progress: Progress) -> None:
        rows = np.zeros(self.total, np.bool_)
        rows[slice(None) if self._taken is None else self._taken] = keep
        self._write(path, rows, None, progress)

    def write_marked(self, path: Path, marks: Marks, progress: Progress) -> None:
        rows = np.zeros(self.total, np.bool_)
        rows[slice(None) if self._taken is None else self._taken] = True
        self._write(path, rows, marks, progress)

    def _write(self, path: Path, rows: npt.NDArray[np.bool_], marks: Marks | None, progress: Progress) -> None:
        """Row group by row group, those of `rows`."""
        pa, parquet = _arrow(self.file.name), _parquet(self.file.name)
        self._require_unchanged()
        with _errors_of(self.file.name, writing=path), parquet.ParquetFile(self.file.path) as source:
            schema = source.schema_arrow
            if marks is not None:
                for name, kind in zip(MARK_NAMES, (pa.bool_(), pa.string(), pa.string(), pa.float32()), strict=True):
                    schema = schema.append(pa.field(name, kind))
            with parquet.ParquetWriter(path, schema, compression=_compressions(source.metadata)) as writer:
                begin = written = 0
                for group in range(source.num_row_groups):
                    table = source.read_row_group(group)
                    here = rows[begin : begin + table.num_rows]
                    begin += table.num_rows
                    if not here.all():
                        table = table.filter(pa.array(here))
                    if marks is not None:
                        for values in self._marks(marks, written, table.num_rows):
                            table = table.append_column(schema.field(len(table.schema.names)), values)
                    written += table.num_rows
                    if table.num_rows:
                        writer.write_table(table, row_group_size=table.num_rows)
                    progress(written)
            self._require_unchanged()

    def _marks(self, marks: Marks, start: int, count: int) -> Iterator[Any]:
        """The columns of MARK_NAMES for `count` documents."""
        pa = _arrow(self.file.name)
        here = slice(start, start + count)
        explained = marks.kept_row[here] != 0
        own = self.rows(np.arange(start, start + count))
        files = np.where(explained, marks.kept_file[here], np.uint32(marks.file))
        rows = np.where(explained, marks.kept_row[here], own)
        names = pa.array(marks.names, pa.string()).take(pa.array(files))
        import pyarrow.compute as compute

        ids = compute.binary_join_element_wise(names, pa.array(rows).cast(pa.string()), ":")
        yield pa.array(marks.keep[here])
        yield ids
        yield compute.if_else(pa.array(explained), ids, pa.scalar(None, pa.string()))
        yield pa.array(marks.similarity[here], pa.float32(), mask=~explained)

    def write_faults(self, to: Writable) -> None:
        for row, reason in self.reasons.items():
            line = json.dumps({"file": self.file.name, "row": row, "reason": reason}, ensure_ascii=False)
            to.write(line.encode("utf-8", "replace") + b"\n")

    def _require_unchanged(self) -> None:
        if _stamp(self.file.path) != self.stamp:
            raise CorruptError(f"{self.file.name}: changed while it was read")


def _stamp(path: Path) -> tuple[int, ...]:
    state = os.stat(path)
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns


def _compressions(metadata: Any) -> str | dict[str, str]:
    """Of each column, as its first row group has it."""
    if metadata.num_row_groups == 0:
        return "snappy"
    group = metadata.row_group(0)
    columns = [group.column(i) for i in range(group.num_columns)]
    return {c.path_in_schema: c.compression.lower().replace("uncompressed", "none") for c in columns}


@contextmanager
def _errors_of(name: str, *, writing: Path | None = None) -> Iterator[None]:
    """pyarrow's errors as ours."""
    pa = _arrow(name)
    try:
        yield
    except (StorageError, CorruptError, InvalidArgumentError, UnsupportedError):
        raise
    except pa.ArrowInvalid as error:
        raise CorruptError(f"{name}: {error}") from None
    except pa.ArrowNotImplementedError as error:
        raise UnsupportedError(f"{name}: {error}") from None
    except OSError as error:
        if error.errno is None:  # what is damaged beyond the footer arrives as OSError too
            raise CorruptError(f"{name}: {error}") from None
        where = name if writing is None else f"{writing}, while {name} is written anew"
        raise StorageError(error.errno, str(error.strerror or error), where) from None


def _arrow(name: str) -> Any:
    try:
        import pyarrow
    except ImportError:
        raise UnsupportedError(f"{name}: Parquet needs the package pyarrow (pip install pyarrow)") from None
    return pyarrow


def _parquet(name: str) -> Any:
    _arrow(name)
    import pyarrow.parquet

    return pyarrow.parquet
