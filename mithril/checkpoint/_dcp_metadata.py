"""`metadata.mcp`, the commit of a distributed checkpoint: written, and read without trust.

The layout is section 8 of docs/format.md.
"""

from __future__ import annotations  # array is generic at run time only from Python 3.12

import codecs
import functools
import json
import math
import os
import re
from array import array
from collections.abc import Iterator, Mapping
from itertools import islice
from json.encoder import encode_basestring
from operator import lt, mul
from pathlib import Path
from typing import Any, NoReturn, cast

import torch
from torch.distributed.checkpoint.metadata import STORAGE_TYPES, Metadata, TensorProperties

from mithril._errors import CorruptError, NotFoundError, StorageNotFoundError, UnsupportedError
from mithril._native import core
from mithril.checkpoint._dcp_index import DataFile, Index, Kind, StateDictMetadata, StorageData
from mithril.checkpoint._tensors import dtype_name, torch_dtype
from mithril.checkpoint._values import decode_value, encode_value, join_texts

METADATA_NAME = "metadata.mcp"

_KIND = {"mithril.kind": "checkpoint", "mithril.version": "1"}
_COLUMNS = ("chunk_count", "chunk_offset", "chunk_size", "chunk_file", "chunk_entry", "value_file", "value_entry")
_MEMORY_FORMATS = {
    str(each).removeprefix("torch."): each
    for each in (torch.contiguous_format, torch.preserve_format, torch.channels_last, torch.channels_last_3d)
}
_DATA_NAME = re.compile(r"data-[0-9]{5,}-[0-9a-f]{16}\.mcp")
_CONTENT_ID = re.compile(r"[0-9a-f]{32}")
_MAX_DIMS = 64
_SLICE_BYTES = 4 << 20  # of a long JSON list in memory at a time


# Writing


def write_metadata(output: Any, index: Index, planner_data: object, *, threads: int) -> StorageData:
    """Write all of `metadata.mcp` into an OutputFile, which the caller publishes."""
    writer = core.ArchiveWriter(threads=threads)

    def add_value(name: str, data: bytes) -> None:
        writer.add(name, data, "uint8", [len(data)], kind="value")
        writer.drain(output)

    add_value("planner_data", encode_value(planner_data, "planner_data"))
    add_value("files", encode_value([list(file) for file in index.files], "files"))
    add_value("tensors", join_texts("[", _tensor_rows(index), "]"))
    add_value("values", encode_value(index.values, "values"))
    for name in _COLUMNS:
        column = getattr(index, name)
        writer.add(name, column, "int64", [len(column)])
    writer.finish(_KIND)
    writer.drain(output)
    return StorageData(index, content_id=writer.content_id, metadata_bytes=writer.archive_size)


def _tensor_rows(index: Index) -> Iterator[str]:
    ends = [_kind_text(kind) for kind in index.kinds]
    return ("[" + encode_basestring(name) + ends[kind] for name, kind in zip(index.names, index.kind, strict=True))


def _kind_text(kind: Kind) -> str:
    """What follows the name in a row of `tensors`."""
    properties = kind.properties
    memory_format = str(properties.memory_format).removeprefix("torch.")
    row = [dtype_name(properties.dtype), [*kind.size], properties.requires_grad, properties.pin_memory, memory_format]
    return "," + encode_value(row, "tensors").decode()[1:]


# Reading


def read_metadata(folder: Path) -> Metadata:
    """The Metadata of a checkpoint; its storage_data is a StorageData, its mappings build their objects on access.

    Raises StorageNotFoundError when there is no checkpoint, TruncatedError and CorruptError, naming the field, when its
    metadata is damaged: here, or where a chunk that makes no sense is first asked for.
    """
    try:
        reader = core.ArchiveReader.open(os.fspath(folder / METADATA_NAME))
    except StorageNotFoundError as error:
        raise StorageNotFoundError(error.errno, "no checkpoint in this folder", os.fspath(folder)) from None
    _check_kind(reader)
    index = _read_index(reader)
    storage = StorageData(index, content_id=reader.content_id, metadata_bytes=reader.archive_size)
    state = cast(dict[str, STORAGE_TYPES], StateDictMetadata(index))
    return Metadata(state, planner_data=_read_planner_data(reader), storage_data=storage)


def _check_kind(reader: Any) -> None:
    kind = {key: value for key, value in reader.metadata().items() if key in _KIND}
    if kind.get("mithril.kind") != "checkpoint":
        _corrupt("mithril.kind", "not the metadata of a checkpoint")
    if kind != _KIND:
        raise UnsupportedError(f"metadata.mcp: mithril.version is {kind.get('mithril.version')!r}; known is 1")


def read_files(reader: Any) -> list[DataFile]:
    """The data files that an open `metadata.mcp` names."""
    files = []
    for row in _require(_read_value(reader, "files"), list, "files"):
        if [type(field) for field in _require(row, list, "files")] != [str, int, str, int]:
            _corrupt("files", "a row is not [name, size, content id, raw bytes]")
        file = DataFile(*row)
        if not _DATA_NAME.fullmatch(file.name) or not _CONTENT_ID.fullmatch(file.content_id):
            _corrupt("files", f"{file.name[:80]!r}, {file.content_id[:80]!r} are no name and content id of a data file")
        if not 0 <= file.size < 1 << 63 or not 0 <= file.raw_bytes < 1 << 63:
            _corrupt("files", f"a size of {file.name} is out of range")
        files.append(file)
    if len({file.name for file in files}) != len(files):
        _corrupt("files", "a name occurs twice")
    return files


def _read_index(reader: Any) -> Index:
    names, kind, kinds = _read_tensors(reader)
    values = _require_ascending(_require(_read_value(reader, "values"), list, "values"), "values")
    files = read_files(reader)
    count = _read_column(reader, "chunk_count", len(names))
    if names and min(count) < 0:
        _corrupt("chunk_count", "a count is negative")
    coordinates = sum(map(mul, count, (len(kinds[number].size) for number in kind)))
    lengths = {
        "chunk_offset": coordinates,
        "chunk_size": coordinates,
        "chunk_file": sum(count),
        "chunk_entry": sum(count),
        "value_file": len(values),
        "value_entry": len(values),
    }
    columns = {name: _read_column(reader, name, length) for name, length in lengths.items()}
    index = Index(names=names, kind=kind, kinds=kinds, values=values, files=files, chunk_count=count, **columns)
    if any(index.tensor(name) is not None for name in values):
        _corrupt("values", "a name is that of a tensor, too")
    return index


def _read_tensors(reader: Any) -> tuple[list[str], array[int], list[Kind]]:
    names: list[str] = []
    kind = array("q")
    kinds: list[Kind] = []
    numbers: dict[tuple[Any, ...], int] = {}
    try:
        for name, dtype, dims, *rest in _read_list(reader, "tensors"):
            number = numbers.get(key := (dtype, *dims, *rest))
            if number is None:
                number = numbers[key] = len(kinds)
                kinds.append(_read_kind(dtype, dims, rest))
            names.append(name)
            kind.append(number)
    except (TypeError, ValueError) as error:
        if isinstance(error, CorruptError):
            raise
        _corrupt("tensors", f"row {len(names)} is malformed")
    return _require_ascending(names, "tensors"), kind, kinds


def _read_kind(dtype: Any, dims: Any, rest: Any) -> Kind:
    """What many rows have in common: checked once."""
    _require(dtype, str, "tensors")
    if len(_require(dims, list, "tensors")) > _MAX_DIMS:
        _corrupt("tensors", f"a tensor has {len(dims)} dimensions")
    if any(_require(dim, int, "tensors") < 0 for dim in dims):
        _corrupt("tensors", "a dimension is negative")
    if math.prod(dims) * torch_dtype(dtype).itemsize >= 1 << 63 or max(dims, default=0) >= 1 << 63:
        _corrupt("tensors", f"a tensor of the shape {dims} is too large")
    requires_grad, pin_memory, memory_format = rest
    return Kind(
        TensorProperties(
            dtype=torch_dtype(dtype),
            requires_grad=_require(requires_grad, bool, "tensors"),
            pin_memory=_require(pin_memory, bool, "tensors"),
            memory_format=_MEMORY_FORMATS.get(memory_format) or _corrupt("tensors", "unknown memory format"),
        ),
        torch.Size(dims),
    )


class _PlannerData(Mapping[Any, Any]):
    """The planner's data, decoded when it is first asked for: plain loading does not need it, and it is large."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    @functools.cached_property
    def _decoded(self) -> dict[Any, Any]:
        return cast(dict[Any, Any], _read_value(self._reader, "planner_data"))

    def __getitem__(self, key: Any) -> Any:
        return self._decoded[key]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._decoded)

    def __len__(self) -> int:
        return len(self._decoded)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (self._decoded,)


def _read_planner_data(reader: Any) -> object:
    start = b'{"$dict":'
    number, size = _find_entry(reader, "planner_data", "value", "uint8")
    beginning = bytearray(min(size, len(start)))
    reader.read([(number, beginning, 0, len(beginning))])
    return _PlannerData(reader) if beginning == start else _read_value(reader, "planner_data")


def _find_entry(reader: Any, name: str, kind: str, dtype: str) -> tuple[int, int]:
    """Number and element count of an entry whose table has been checked, so that the count is honest."""
    try:
        number = reader.find(name)
    except NotFoundError:
        _corrupt(name, "missing")
    entry = reader.entry(number)
    if entry.kind != kind or entry.dtype != dtype or len(entry.shape) != 1:
        _corrupt(name, f"{entry.kind} of {entry.dtype}, {len(entry.shape)} dimensions; expected {kind} of {dtype}, 1")
    reader.check(number)
    return number, entry.shape[0]


def _read_value(reader: Any, name: str) -> object:
    number, size = _find_entry(reader, name, "value", "uint8")
    data = bytearray(size)
    reader.read([(number, data, 0, size)])
    return decode_value(data, f"metadata.mcp: {name}")


def _read_column(reader: Any, name: str, expected: int) -> array[int]:
    number, length = _find_entry(reader, name, "tensor", "int64")
    if length != expected:
        _corrupt(name, f"{length} numbers; expected {expected}")
    column = array("q", [0]) * length
    reader.read([(number, column, 0, length)])
    return column


def _read_list(reader: Any, name: str) -> Iterator[Any]:
    """The items of a JSON list, parsed slice by slice: the text may be much larger than what is kept of it."""
    number, size = _find_entry(reader, name, "value", "uint8")
    scan = json.JSONDecoder().raw_decode
    decoder = codecs.getincrementaldecoder("utf-8")()
    text, separator = "", "["
    for first in range(0, size, _SLICE_BYTES):
        data = bytearray(min(_SLICE_BYTES, size - first))
        reader.read([(number, data, first, first + len(data))])
        text += decoder.decode(data, first + len(data) == size)
        if text == "[]":
            return
        start = at = int(first == 0 and text.startswith("["))
        while separator != "]":
            try:
                item, end = scan(text, at)
            except (ValueError, RecursionError):  # cut off here, or malformed: then nothing will follow, either
                break
            if end == len(text):
                break
            separator = text[end]
            if separator not in ",]":
                _corrupt(name, "malformed list")
            yield item
            at = end + 1
        if at == start:
            break
        text = text[at:]
    if separator != "]" or text:
        _corrupt(name, "malformed list")


def _require(value: Any, kind: type, field: str) -> Any:
    if type(value) is not kind:
        _corrupt(field, f"{kind.__name__} expected, found {type(value).__name__}")
    return value


def _require_ascending(names: list[Any], field: str) -> list[str]:
    """Names sorted, each once."""
    if not set(map(type, names)) <= {str} or not all(map(lt, names, islice(names, 1, None))):
        _corrupt(field, "the names are not in ascending order")
    return names


def _corrupt(field: str, reason: str) -> NoReturn:
    raise CorruptError(f"metadata.mcp: {field}: {reason}")
