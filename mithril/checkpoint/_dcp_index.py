"""Where everything of a distributed checkpoint lies, in columns: no object exists until it is asked for.

The columns are those of `metadata.mcp` (section 8 of docs/format.md). DCP sees two mappings over them, which build its
objects on access: `StateDictMetadata` (fqn → what is stored) and `StorageData` (chunk or value → file and entry).
"""

from __future__ import annotations  # array is generic at run time only from Python 3.12

import functools
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain
from operator import mul
from typing import NamedTuple, cast, overload

import torch
from torch.distributed.checkpoint.metadata import (
    STORAGE_TYPES,
    BytesStorageMetadata,
    ChunkStorageMetadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.storage import WriteResult

from mithril._errors import CorruptError, MithrilError


class DataFile(NamedTuple):
    """One archive of the checkpoint; sizes in bytes."""

    name: str
    size: int
    content_id: str
    raw_bytes: int


class Location(NamedTuple):
    """Where one chunk or value lies: what a WriteResult says, and what a reader looks up."""

    file: DataFile
    entry: int


class Kind(NamedTuple):
    """What many tensors have in common."""

    properties: TensorProperties
    size: torch.Size


@dataclass(eq=False, kw_only=True)
class Index:
    """The columns. Names are sorted, counts and lengths agree; chunks and locations are checked when asked for."""

    names: list[str]
    kind: array[int]  # of each tensor: number in kinds
    kinds: list[Kind]
    values: list[str]
    files: list[DataFile]
    chunk_count: array[int]
    chunk_offset: array[int]
    chunk_size: array[int]
    chunk_file: array[int]
    chunk_entry: array[int]
    value_file: array[int]
    value_entry: array[int]
    first_chunk: array[int] = field(init=False)
    first_coordinate: array[int] = field(init=False)

    def __post_init__(self) -> None:
        dims = [len(kind.size) for kind in self.kinds]
        coordinates = map(mul, self.chunk_count, map(dims.__getitem__, self.kind))
        self.first_chunk = array("q", accumulate(self.chunk_count, initial=0))
        self.first_coordinate = array("q", accumulate(coordinates, initial=0))

    def tensor(self, fqn: str) -> int | None:
        return _find(self.names, fqn)

    def value(self, fqn: str) -> int | None:
        return _find(self.values, fqn)

    def chunk(self, tensor: int, number: int) -> ChunkStorageMetadata:
        """Chunk `number` of a tensor. Raises CorruptError when it lies outside of the tensor."""
        size = self.kinds[self.kind[tensor]].size
        begin = self.first_coordinate[tensor] + number * len(size)
        end = begin + len(size)
        chunk = ChunkStorageMetadata(torch.Size(self.chunk_offset[begin:end]), torch.Size(self.chunk_size[begin:end]))
        for offset, length, whole in zip(chunk.offsets, chunk.sizes, size, strict=True):
            if offset < 0 or length < 0 or offset + length > whole:
                name = self.names[tensor]
                raise CorruptError(
                    f"metadata.mcp: chunk {number} of {name!r} lies outside of the tensor: {chunk}, {size}"
                )
        return chunk

    def chunk_location(self, tensor: int, number: int) -> Location:
        at = self.first_chunk[tensor] + number
        return self._location(self.names[tensor], self.chunk_file[at], self.chunk_entry[at])

    def value_location(self, value: int) -> Location:
        return self._location(self.values[value], self.value_file[value], self.value_entry[value])

    def _location(self, name: str, file: int, entry: int) -> Location:
        if not 0 <= file < len(self.files) or entry < 0:
            raise CorruptError(
                f"metadata.mcp: {name!r} lies in entry {entry} of file {file}, of {len(self.files)} files"
            )
        return Location(self.files[file], entry)


def _find(names: list[str], name: str) -> int | None:
    number = bisect_left(names, name)
    return number if number < len(names) and names[number] == name else None


def build_index(state: Mapping[str, STORAGE_TYPES], results: Sequence[Sequence[WriteResult]]) -> Index:
    """The index of what a save has written: one list of results per rank, whose storage_data are Locations in one file.

    Raises MithrilError when something that is in `state` was not written.
    """
    names: list[str] = []
    values: list[str] = []
    tensors: list[TensorStorageMetadata] = []
    for fqn in sorted(state):
        stored = state[fqn]
        if isinstance(stored, TensorStorageMetadata):
            names.append(fqn)
            tensors.append(stored)
        else:
            values.append(fqn)
    kind, kinds = _number_kinds(tensors)
    chunks = [tensor.chunks for tensor in tensors]
    count = array("q", map(len, chunks))
    index = Index(
        names=names,
        kind=kind,
        kinds=kinds,
        values=values,
        files=sorted(of_rank[0].storage_data.file for of_rank in results if of_rank),
        chunk_count=count,
        chunk_offset=array("q", chain.from_iterable([chunk.offsets for chunk in chain.from_iterable(chunks)])),
        chunk_size=array("q", chain.from_iterable([chunk.sizes for chunk in chain.from_iterable(chunks)])),
        chunk_file=array("q", [-1]) * sum(count),
        chunk_entry=array("q", [-1]) * sum(count),
        value_file=array("q", [-1]) * len(values),
        value_entry=array("q", [-1]) * len(values),
    )
    _locate(index, chunks, results)
    return index


def _number_kinds(tensors: Iterable[TensorStorageMetadata]) -> tuple[array[int], list[Kind]]:
    numbers: dict[tuple[object, ...], int] = {}
    kinds: list[Kind] = []
    column = array("q")
    for tensor in tensors:
        p = tensor.properties
        number = numbers.setdefault((p.dtype, tensor.size, p.requires_grad, p.pin_memory, p.memory_format), len(kinds))
        if number == len(kinds):
            kinds.append(Kind(p, tensor.size))
        column.append(number)
    return column, kinds


def _locate(index: Index, chunks: list[list[ChunkStorageMetadata]], results: Sequence[Sequence[WriteResult]]) -> None:
    """Fill in files and entries. There may be a million results."""
    tensor_number = dict(zip(index.names, range(len(chunks)), strict=True))
    first_chunk, chunk_file, chunk_entry = index.first_chunk, index.chunk_file, index.chunk_entry
    for of_rank in filter(None, results):
        file = index.files.index(of_rank[0].storage_data.file)
        for result in of_rank:
            key, entry = result.index, result.storage_data.entry
            tensor = tensor_number.get(key.fqn)
            if tensor is None:
                at = bisect_left(index.values, key.fqn)
                index.value_file[at], index.value_entry[at] = file, entry
            else:
                at = first_chunk[tensor] + _find_chunk(chunks[tensor], key)
                chunk_file[at] = file
                chunk_entry[at] = entry
    if -1 in index.value_file:
        raise MithrilError(f"{index.values[index.value_file.index(-1)]!r} was planned but not written")
    if -1 in index.chunk_file:
        tensor = bisect_right(index.first_chunk, index.chunk_file.index(-1)) - 1
        raise MithrilError(f"a chunk of {index.names[tensor]!r} was planned but not written")


def _find_chunk(chunks: Sequence[ChunkStorageMetadata], key: MetadataIndex) -> int:
    """The number of the chunk that begins at the key's offset; the key's own guess is usually right."""
    guess = key.index
    if guess is not None and 0 <= guess < len(chunks) and chunks[guess].offsets == key.offset:
        return guess
    for number, chunk in enumerate(chunks):
        if chunk.offsets == key.offset:
            return number
    raise KeyError(key)


class _Chunks(Sequence[ChunkStorageMetadata]):
    """The chunks of one tensor, built one by one, or all at once for a loop over them."""

    def __init__(self, index: Index, tensor: int) -> None:
        self._index = index
        self._tensor = tensor

    @functools.cached_property
    def _built(self) -> list[ChunkStorageMetadata]:
        return [self._index.chunk(self._tensor, number) for number in range(len(self))]

    def __len__(self) -> int:
        return self._index.chunk_count[self._tensor]

    @overload
    def __getitem__(self, number: int) -> ChunkStorageMetadata: ...
    @overload
    def __getitem__(self, number: slice) -> list[ChunkStorageMetadata]: ...
    def __getitem__(self, number: int | slice) -> ChunkStorageMetadata | list[ChunkStorageMetadata]:
        if isinstance(number, slice) or "_built" in self.__dict__:
            return self._built[number]
        return self._index.chunk(self._tensor, range(len(self))[number])

    def __iter__(self) -> Iterator[ChunkStorageMetadata]:
        return iter(self._built)


class StateDictMetadata(Mapping[str, STORAGE_TYPES]):
    """What is stored under each flat name: `Metadata.state_dict_metadata`."""

    def __init__(self, index: Index) -> None:
        self._index = index

    def __getitem__(self, fqn: str) -> STORAGE_TYPES:
        tensor = self._index.tensor(fqn)
        if tensor is not None:
            properties, size = self._index.kinds[self._index.kind[tensor]]
            chunks = _Chunks(self._index, tensor)
            return TensorStorageMetadata(properties, size, cast(list[ChunkStorageMetadata], chunks))
        if self._index.value(fqn) is None:
            raise KeyError(fqn)
        return BytesStorageMetadata()

    def __contains__(self, fqn: object) -> bool:
        return isinstance(fqn, str) and (self._index.tensor(fqn) is not None or self._index.value(fqn) is not None)

    def __iter__(self) -> Iterator[str]:
        return chain(self._index.names, self._index.values)

    def __len__(self) -> int:
        return len(self._index.names) + len(self._index.values)


class StoredChunk(NamedTuple):
    """What the metadata says about one chunk."""

    location: Location
    dtype: torch.dtype
    sizes: torch.Size


class StorageData(Mapping[MetadataIndex, Location]):
    """Where each chunk and value lies: `Metadata.storage_data`."""

    def __init__(self, index: Index, *, content_id: str, metadata_bytes: int) -> None:
        self._index = index
        self.content_id = content_id
        """Of `metadata.mcp`: the identity of the checkpoint."""
        self.metadata_bytes = metadata_bytes
        """The size of `metadata.mcp`."""

    @property
    def files(self) -> Sequence[DataFile]:
        return self._index.files

    def chunk(self, key: MetadataIndex) -> StoredChunk:
        """The chunk of a tensor that begins at the key's offset. Raises KeyError."""
        tensor = self._index.tensor(key.fqn)
        if tensor is None:
            raise KeyError(key)
        number = _find_chunk(_Chunks(self._index, tensor), key)
        return StoredChunk(
            self._index.chunk_location(tensor, number),
            self._index.kinds[self._index.kind[tensor]].properties.dtype,
            self._index.chunk(tensor, number).sizes,
        )

    def __getitem__(self, key: MetadataIndex) -> Location:
        value = self._index.value(key.fqn)
        return self.chunk(key).location if value is None else self._index.value_location(value)

    def __iter__(self) -> Iterator[MetadataIndex]:
        for tensor, name in enumerate(self._index.names):
            for number, chunk in enumerate(_Chunks(self._index, tensor)):
                yield MetadataIndex(name, chunk.offsets, number)
        yield from map(MetadataIndex, self._index.values)

    def __len__(self) -> int:
        return len(self._index.chunk_file) + len(self._index.values)
