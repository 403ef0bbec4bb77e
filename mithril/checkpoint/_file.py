"""Single files of named tensors, in the manner of safetensors."""

import operator
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import EllipsisType, TracebackType
from typing import TypeAlias

import torch
from torch import Tensor

from mithril._errors import InvalidArgumentError, UnsupportedError
from mithril._native import core
from mithril.checkpoint._config import CompressionConfig
from mithril.checkpoint._tensors import (
    allocate,
    carrier,
    describe,
    find_aliases,
    is_in_order,
    memory,
    require_plain,
)

_PENDING = 32 << 20  # bytes entered before they are compressed and written: enough blocks to keep all threads busy
_TENSORS = ("tensor", "alias")
_STAGING = 256 << 20  # bytes of host memory used at a time on the way to another device

_Path: TypeAlias = "str | os.PathLike[str]"
_Index: TypeAlias = "int | slice | EllipsisType"


def save_file(
    tensors: Mapping[str, Tensor],
    path: _Path,
    metadata: Mapping[str, str] | None = None,
    config: CompressionConfig | None = None,
) -> None:
    """Write tensors to the file `path`, compressed.

    Dense tensors are read in place and keep their memory order (channels_last, transposed); other views are saved as
    what they show. Names for one and the same memory (tied weights) are stored once and load as one tensor. Memory used
    beside the tensors is bounded, for tensors on other devices by the largest of them. The file appears under its name,
    whole, when all is written and synced; its mode follows the umask. Nobody may change the tensors in the meantime.

    Raises UnsupportedError, naming the tensor, for tensors that are not plain (sparse, quantized, nested, meta,
    subclasses), InvalidArgumentError for names and metadata that are not text, and StorageError when writing fails.
    Then `path` is left as it was.
    """
    tensors = dict(tensors)  # a mapping may make tensors at each access, and only addresses of living ones tell ties
    for name, tensor in tensors.items():
        _require_text(name, "a name")
        require_plain(tensor, name)
    metadata = metadata or {}
    for key, text in metadata.items():
        _require_text(key, "a key of the metadata")
        _require_text(text, f"the metadata of {key!r}")
        if key.startswith("mithril."):
            raise InvalidArgumentError(f"{key!r}: keys that begin with 'mithril.' belong to the format")
    writer = core.ArchiveWriter(**(config or CompressionConfig()).writer_options())
    with published(path) as file:
        add_tensors(writer, file, tensors)
        writer.finish(metadata)
        writer.drain(file)


def _require_text(text: object, what: str) -> None:
    if not isinstance(text, str):
        raise InvalidArgumentError(f"{what} must be a string, not {text!r}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InvalidArgumentError(f"{what} must be Unicode text without surrogates, not {text!r}") from None


@contextmanager
def published(path: _Path) -> Iterator[core.OutputFile]:
    """A file that appears under its name when the block ends, and not at all when it raises."""
    file = core.OutputFile(os.fspath(path))
    try:
        yield file
        file.commit()
    except BaseException:
        file.abort()
        raise


def add_tensors(writer: core.ArchiveWriter, file: core.OutputFile, tensors: Mapping[str, Tensor]) -> None:
    """Enter tensors, and write them as they become many."""
    aliases = find_aliases(tensors)
    numbers: dict[str, int] = {}
    for name, tensor in tensors.items():
        if name in aliases:
            writer.add_alias(name, numbers[aliases[name]])
            continue
        data, dtype, shape, dim_order = describe(tensor, name)
        numbers[name] = writer.add(name, data, dtype, shape, dim_order=dim_order)
        if writer.pending_bytes >= _PENDING:
            writer.drain(file)


def load_file(
    path: _Path, device: torch.device | str = "cpu", *, out: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    """All tensors of a file, in their order, on `device`.

    Names that were saved as one tensor are one tensor object. The tables of all tensors are checked before memory is
    allocated, every block when it is decoded.

    With `out`, tensors of the same names, dtypes and shapes (such as a state dict), these are filled in place, on the
    devices where they are, and returned: memory in use already is filled about 1.7 times as fast as fresh memory.

    Raises StorageNotFoundError, TruncatedError or CorruptError (what `out` holds is undefined then); UnsupportedError
    when the file holds entries other than tensors (those of a distributed checkpoint; see `to_torch_save`);
    InvalidArgumentError, before anything is written, when `out` does not fit the file.
    """
    reader = core.ArchiveReader.open(os.fspath(path))
    require_tensors(reader)
    return read_tensors(reader, device) if out is None else _read_into(reader, out)


def _read_into(reader: core.ArchiveReader, out: Mapping[str, Tensor]) -> dict[str, Tensor]:
    entries = _entries(reader)
    names = {entry.name for entry in entries}
    for name in out:
        if name not in names:
            raise InvalidArgumentError(f"out has the tensor {name!r}, the file has not")
    for number, entry in enumerate(entries):
        if entry.name not in out:
            raise InvalidArgumentError(f"the file has the tensor {entry.name!r}, out has not")
        tensor = out[entry.name]
        require_plain(tensor, entry.name)
        shape, dtype = tuple(tensor.shape), str(tensor.dtype).removeprefix("torch.")
        if (dtype, shape) != (entry.dtype, entry.shape):
            raise InvalidArgumentError(
                f"out[{entry.name!r}] is {dtype} of shape {shape}, in the file it is {entry.dtype} of {entry.shape}"
            )
        if entry.target is None:
            reader.check(number)
    filled: set[tuple[int, int]] = set()  # tied tensors are filled once
    requests, staged = [], []
    for number, entry in enumerate(entries):
        tensor, source = out[entry.name], number if entry.target is None else entry.target
        if not is_in_order(tensor, entry.dim_order):
            staged.append((source, tensor))
        elif (source, tensor.data_ptr()) not in filled:
            filled.add((source, tensor.data_ptr()))
            requests.append((source, memory(tensor), 0, tensor.numel()))
    reader.read(requests)
    for source, tensor in staged:  # one at a time: in another order, or on another device
        entry = entries[source]
        fresh = allocate(entry.dtype, entry.shape, entry.dim_order)
        reader.read([(source, memory(fresh), 0, fresh.numel())])
        with torch.no_grad():
            tensor.copy_(fresh)
    return {entry.name: out[entry.name] for entry in entries}


def require_tensors(reader: core.ArchiveReader) -> None:
    """Raise UnsupportedError, naming it, for an entry that is not a tensor."""
    for entry in _entries(reader):
        _require_tensor(entry)


def _require_tensor(entry: core.Entry) -> None:
    if entry.kind not in _TENSORS:
        raise UnsupportedError(f"entry {entry.name!r} is a {entry.kind}, not a tensor")


def read_tensors(reader: core.ArchiveReader, device: torch.device | str) -> dict[str, Tensor]:
    """All tensors of an archive, tied ones as one object; entries of other kinds are passed over."""
    entries = _entries(reader)
    stored = [number for number, entry in enumerate(entries) if entry.kind == "tensor"]
    for number in stored:
        reader.check(number)
    tensors: dict[int, Tensor] = {}
    for batch in [stored] if torch.device(device).type == "cpu" else _batches(stored, entries):
        fresh = {n: allocate(entries[n].dtype, entries[n].shape, entries[n].dim_order) for n in batch}
        reader.read([(n, memory(tensor), 0, tensor.numel()) for n, tensor in fresh.items()])
        tensors.update((n, tensor.to(device)) for n, tensor in fresh.items())
    return {
        entry.name: tensors[number if entry.target is None else entry.target]
        for number, entry in enumerate(entries)
        if entry.kind in _TENSORS
    }


def _entries(reader: core.ArchiveReader) -> list[core.Entry]:
    return [reader.entry(number) for number in range(len(reader))]


def _batches(numbers: list[int], entries: list[core.Entry]) -> Iterator[list[int]]:
    """The numbers in runs of about `_STAGING` bytes."""
    batch: list[int] = []
    size = 0
    for number in numbers:
        if batch and size + entries[number].raw_size > _STAGING:
            yield batch
            batch, size = [], 0
        batch.append(number)
        size += entries[number].raw_size
    yield batch


def open_archive(path: _Path) -> "Archive":
    """Open a file of tensors for reading one by one; only its index is read.

    Raises StorageNotFoundError, TruncatedError or CorruptError.
    """
    return Archive(core.ArchiveReader.open(os.fspath(path)))


class Archive:
    """An open file of tensors: a context manager, made by `open_archive`. Usable from several threads at a time.

    All methods raise InvalidArgumentError once it is closed, and NotFoundError (a KeyError) for an unknown name.
    """

    def __init__(self, reader: core.ArchiveReader) -> None:
        self._open_reader: core.ArchiveReader | None = reader

    def __enter__(self) -> "Archive":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; again is a no-op."""
        self._open_reader = None

    @property
    def _reader(self) -> core.ArchiveReader:
        if self._open_reader is None:
            raise InvalidArgumentError("the archive is closed")
        return self._open_reader

    def keys(self) -> list[str]:
        """The names of the tensors, in their order in the file."""
        return [entry.name for entry in _entries(self._reader) if entry.kind in _TENSORS]

    def info(self, name: str) -> "TensorInfo":
        """What the index says of a tensor."""
        entry = self._reader.entry(self._reader.find(name))
        _require_tensor(entry)
        return TensorInfo(entry.dtype, entry.shape, entry.raw_size, entry.stored_size)

    def metadata(self) -> dict[str, str]:
        """The metadata given to `save_file`."""
        return self._reader.metadata()

    def get_tensor(self, name: str) -> Tensor:
        """The tensor of that name, in a new memory of its own, on the CPU."""
        return self.get_slice(name)[...]

    def get_slice(self, name: str) -> "TensorSlice":
        """The tensor of that name, not read yet: index it to read a part."""
        reader = self._reader
        number = reader.find(name)
        entry = reader.entry(number)
        _require_tensor(entry)
        return TensorSlice(reader, number, entry)

    def verify(self, *, decode: bool = False) -> None:
        """Check every byte of the file against its checksums; with `decode` also decompress all of it.

        Raises CorruptError, naming the place of the damage.
        """
        self._reader.verify(decode=decode)


@dataclass(frozen=True)
class TensorInfo:
    """A tensor in a file."""

    dtype: str
    """The name of the dtype, as in torch: "bfloat16"."""
    shape: tuple[int, ...]
    raw_bytes: int
    """Bytes of its elements."""
    stored_bytes: int
    """Bytes it takes in the file, with its table; 0 for another name of a tensor."""


class TensorSlice:
    """A tensor in a file. `s[1:3]`, `s[..., 0]`, `s[5, ::2]` read what they need and index like torch does.

    What is read is the shortest run of the tensor's memory that holds the part: cheap for ranges of the outermost
    dimension, all of the tensor for ranges of the innermost. Indices are integers, slices with positive steps, and
    `...`; others raise TypeError or ValueError, and integers out of range IndexError.
    """

    def __init__(self, reader: core.ArchiveReader, number: int, entry: core.Entry) -> None:
        self._reader = reader
        self._number = number
        self._entry = entry

    def get_shape(self) -> list[int]:
        """The shape of the whole tensor."""
        return list(self._entry.shape)

    def get_dtype(self) -> str:
        """The name of the dtype, as in torch: "bfloat16"."""
        return self._entry.dtype

    def __getitem__(self, index: "_Index | tuple[_Index, ...]") -> Tensor:
        entry = self._entry
        wanted = _normalize(index, entry.shape)
        box, first, end = _cover(wanted, entry.shape, entry.dim_order)
        self._reader.check(self._number if entry.target is None else entry.target)
        part = allocate(entry.dtype, [hi - lo for lo, hi in box], entry.dim_order)
        self._reader.read([(self._number, memory(part), first, end)])
        inner = tuple(
            want - lo if isinstance(want, int) else slice(want.start - lo, want.stop - lo, want.step)
            for want, (lo, _) in zip(wanted, box, strict=True)
        )
        picked = carrier(part)[inner]
        if picked.numel() < part.numel():
            picked = picked.clone()  # let go of what was read only to get at it
        return picked.view(part.dtype)


def _normalize(index: object, shape: tuple[int, ...]) -> list[int | range]:
    """The index as one item per dimension: an integer, or a range of positive step with `stop` just behind its last."""
    items = index if isinstance(index, tuple) else (index,)
    dots = [position for position, item in enumerate(items) if item is Ellipsis]
    given = len(items) - len(dots)
    if len(dots) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    if given > len(shape):
        raise IndexError(f"too many indices for a tensor of {len(shape)} dimensions: {given}")
    at = dots[0] if dots else given
    missing = [slice(None)] * (len(shape) - given)
    full = [*items[:at], *missing, *items[at + len(dots) :]]
    return [_normalize_one(item, dim, size) for dim, (item, size) in enumerate(zip(full, shape, strict=True))]


def _normalize_one(item: object, dim: int, size: int) -> int | range:
    if isinstance(item, slice):
        picked = range(size)[item]
        if picked.step < 1:
            raise InvalidArgumentError(f"the step of a slice must be positive, not {item.step}")
        return range(picked.start, picked[-1] + 1, picked.step) if picked else range(0)
    if isinstance(item, bool) or not hasattr(item, "__index__"):
        raise TypeError(f"indices must be integers, slices or '...', not {type(item).__qualname__}")
    number = operator.index(item)
    if not -size <= number < size:
        raise IndexError(f"index {number} is out of range for dimension {dim} of size {size}")
    return number % size


def _cover(
    wanted: list[int | range], shape: tuple[int, ...], dim_order: tuple[int, ...]
) -> tuple[list[tuple[int, int]], int, int]:
    """The smallest box that is one run of memory and holds what is wanted: begin and end per dimension, and of the run.

    In a run, dimensions from the outermost on have extent 1, then one has any range, and all further in are whole.
    """
    box = [(0, size) for size in shape]
    inner = 1
    for size in shape:
        inner *= size
    first, count = 0, inner
    for dim in dim_order:
        if count == 0:
            break
        inner //= shape[dim]
        want = wanted[dim]
        lo, hi = (want, want + 1) if isinstance(want, int) else (want.start, want.stop)
        box[dim] = (lo, hi)
        first += lo * inner
        count = (hi - lo) * inner
        if hi - lo != 1:
            break
    return box, first, first + count
