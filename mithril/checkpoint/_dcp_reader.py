"""The StorageReader: reads and decodes only the blocks that the wanted rows touch, once, in place where possible."""

import errno
import io
import os
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta
from torch.distributed.checkpoint.planner import LoadItemType, LoadPlan, LoadPlanner, ReadItem
from torch.distributed.checkpoint.storage import StorageReader
from torch.futures import Future

from mithril._errors import CorruptError, InvalidArgumentError, StorageError, StorageNotFoundError, UnsupportedError
from mithril._native import core
from mithril.checkpoint._config import CompressionConfig
from mithril.checkpoint._dcp_errors import picklable_errors
from mithril.checkpoint._dcp_folder import local_path
from mithril.checkpoint._dcp_index import DataFile, Location, StorageData, StoredChunk
from mithril.checkpoint._dcp_metadata import read_metadata
from mithril.checkpoint._dcp_region import Region
from mithril.checkpoint._dcp_writer import choose_threads
from mithril.checkpoint._tensors import carrier, is_in_order, memory, torch_dtype
from mithril.checkpoint._values import decode_value

_SCRATCH_BYTES = 32 << 20  # decoded at a time where that is not possible in place; up to twice as much is held


class _Wanted(NamedTuple):
    """One item of a plan, and what the metadata says about what it reads."""

    item: ReadItem
    location: Location
    chunk: StoredChunk | None
    """None for a value."""


class _Read(NamedTuple):
    """A request to the archive, and what remains to do when its bytes are there."""

    request: tuple[int, Any, int, int]
    scratch_bytes: int
    finish: Callable[[], None]


class MithrilStorageReader(StorageReader):
    """Reads checkpoints of `MithrilStorageWriter` with `torch.distributed.checkpoint.load`, onto any number of ranks.

    Args:
        path: The folder of the checkpoint.
        config: Only its `num_threads` matters; it overrides `thread_count`.
        thread_count: Threads per rank; fewer where `MITHRIL_NUM_THREADS` or the share of the rank in the cores is less.
        weights_only: Whether pickled objects are loaded only as far as `torch.load(weights_only=True)` permits. With
            False they are unpickled, which runs the code in them: only for checkpoints that you trust.

    Loading raises StorageNotFoundError, CorruptError, TruncatedError or UnsupportedError, naming tensor or file.
    `bytes_read` (bytes of tables and blocks) and `blocks_decoded` count what this rank has read since `reset`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        config: CompressionConfig | None = None,
        thread_count: int = 4,
        *,
        weights_only: bool = True,
    ) -> None:
        super().__init__()
        self._threads = choose_threads(config or CompressionConfig(), thread_count)
        self._weights_only = weights_only
        self._folder = local_path(path)
        self._storage: StorageData | None = None
        self.reset()

    @property
    def checkpoint_id(self) -> str:
        """The folder of the checkpoint."""
        return os.fspath(self._folder)

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        return "://" not in os.fspath(checkpoint_id)

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        if checkpoint_id is not None:
            self._folder = local_path(checkpoint_id)
        self.bytes_read = 0
        self.blocks_decoded = 0

    # No parameter is called kwargs: DCP would take a failure for a checkpoint with metadata per rank, and try again.
    def read_metadata(self, *args: Any, **_: Any) -> Metadata:
        with picklable_errors():
            metadata = read_metadata(self._folder)
        metadata.storage_meta = StorageMeta(checkpoint_id=self.checkpoint_id, load_id=str(uuid.uuid4()))
        return metadata

    def set_up_storage_reader(self, metadata: Metadata, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        if not isinstance(metadata.storage_data, StorageData):
            raise InvalidArgumentError("the metadata is not that of a mithril checkpoint")
        self._storage = metadata.storage_data

    def prepare_local_plan(self, plan: LoadPlan) -> LoadPlan:
        return replace(plan, storage_data=self._found_storage().content_id)

    def prepare_global_plan(self, plans: list[LoadPlan]) -> list[LoadPlan]:
        if len({plan.storage_data for plan in plans}) > 1:
            raise StorageError(
                errno.EBUSY,
                "the checkpoint was replaced while the ranks read its metadata; load it again",
                self.checkpoint_id,
            )
        return plans

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> Future[None]:
        with picklable_errors():
            per_file: dict[DataFile, list[_Wanted]] = {}
            for wanted in map(self._look_up, plan.items):
                per_file.setdefault(wanted.location.file, []).append(wanted)
            for file in sorted(per_file):
                ordered = sorted(per_file[file], key=lambda each: (each.location.entry, each.item.storage_offsets))
                self._read_file(file, ordered, planner)
        future: Future[None] = Future()
        future.set_result(None)
        return future

    def _look_up(self, item: ReadItem) -> _Wanted:
        storage, key = self._found_storage(), item.storage_index
        if item.type == LoadItemType.BYTE_IO:
            return _Wanted(item, storage[key], None)
        chunk = storage.chunk(key)
        return _Wanted(item, chunk.location, chunk)

    def _found_storage(self) -> StorageData:
        if self._storage is None:
            raise InvalidArgumentError("set_up_storage_reader comes first")
        return self._storage

    def _read_file(self, file: DataFile, ordered: list[_Wanted], planner: LoadPlanner) -> None:
        archive = self._open(file)
        batch: list[_Read] = []
        scratch = 0
        for wanted in ordered:
            for read in self._reads(archive, wanted, planner):
                if batch and scratch + read.scratch_bytes > _SCRATCH_BYTES:
                    self._execute(archive, batch)
                    batch, scratch = [], 0
                batch.append(read)
                scratch += read.scratch_bytes
        self._execute(archive, batch)

    def _open(self, file: DataFile) -> Any:
        path = os.fspath(self._folder / file.name)
        try:
            archive = core.ArchiveReader.open(path)
        except StorageNotFoundError:
            raise StorageNotFoundError(
                errno.ENOENT,
                "a data file is missing: the checkpoint is damaged, or was replaced while it was read",
                path,
            ) from None
        if archive.content_id != file.content_id:
            raise CorruptError(f"{path}: content id {archive.content_id}; metadata.mcp names {file.content_id}")
        return archive

    def _execute(self, archive: Any, batch: list[_Read]) -> None:
        stats = archive.read([read.request for read in batch], threads=self._threads)
        self.bytes_read += stats.bytes_read
        self.blocks_decoded += stats.blocks_decoded
        for read in batch:
            read.finish()

    def _reads(self, archive: Any, wanted: _Wanted, planner: LoadPlanner) -> Iterator[_Read]:
        item, entry = wanted.item, wanted.location.entry
        if entry >= len(archive):
            raise CorruptError(f"metadata.mcp: {item.storage_index.fqn!r} lies in entry {entry} of {len(archive)}")
        if wanted.chunk is None:
            return self._value_reads(archive, entry, item, planner)
        _check_stored(archive.entry(entry), item, wanted.chunk)
        return _tensor_reads(archive.entry(entry), entry, item, planner)

    def _value_reads(self, archive: Any, entry: int, item: ReadItem, planner: LoadPlanner) -> Iterator[_Read]:
        kind, fqn = archive.entry(entry).kind, item.storage_index.fqn
        if kind not in ("value", "foreign"):
            raise CorruptError(f"metadata.mcp: {fqn!r} is a value, but the data file holds a {kind}")
        archive.check(entry)  # before memory is allocated
        data = bytearray(archive.entry(entry).raw_size)

        def finish() -> None:
            pickled = _pickled_value(data, fqn) if kind == "value" else self._pickled_foreign(data, fqn)
            planner.load_bytes(item, pickled)

        yield _Read((entry, data, 0, len(data)), len(data), finish)

    def _pickled_foreign(self, data: bytearray, fqn: str) -> io.BytesIO:
        if not self._weights_only:
            return io.BytesIO(data)
        try:
            return _pickle(torch.load(io.BytesIO(data), weights_only=True, map_location="cpu"))
        except Exception as error:
            raise UnsupportedError(
                f"{fqn!r} is a pickled object that torch.load(weights_only=True) refuses; "
                f"weights_only=False loads it, if you trust the checkpoint ({str(error).splitlines()[0]})"
            ) from None


def _check_stored(stored: Any, item: ReadItem, chunk: StoredChunk) -> None:
    """Compare what an entry holds with what the metadata says and with what is asked for."""
    expected = (str(chunk.dtype).removeprefix("torch."), tuple(chunk.sizes))
    if stored.kind not in ("tensor", "alias") or (stored.dtype, stored.shape) != expected:
        name = item.storage_index.fqn
        raise CorruptError(
            f"metadata.mcp: the chunk of {name!r} is {expected}, but entry {stored.name!r} of the data file is "
            f"a {stored.kind}, {(stored.dtype, stored.shape)}"
        )
    if not all(
        min(offset, length) >= 0 and offset + length <= size
        for offset, length, size in zip(item.storage_offsets, item.lengths, stored.shape, strict=True)
    ):
        raise InvalidArgumentError(f"{item.storage_index}: {item.storage_offsets} + {item.lengths} is out of range")


def _tensor_reads(stored: Any, entry: int, item: ReadItem, planner: LoadPlanner) -> Iterator[_Read]:
    target = planner.resolve_tensor(item).detach()
    if target.shape != item.lengths:
        raise InvalidArgumentError(f"{item.dest_index.fqn!r}: the planner gave {target.shape} for {item.lengths}")
    order = stored.dim_order
    region = Region(
        *(tuple(sizes[dim] for dim in order) for sizes in (stored.shape, item.storage_offsets, item.lengths))
    )
    if target.numel() == 0:
        planner.commit_tensor(item, target)
    elif region.is_run and target.dtype == torch_dtype(stored.dtype) and is_in_order(target, order):
        request = (entry, memory(target), region.first, region.first + region.span)
        yield _Read(request, 0, lambda: planner.commit_tensor(item, target))
    else:
        yield from _scratch_reads(entry, stored, region, target, lambda: planner.commit_tensor(item, target))


def _scratch_reads(
    entry: int, stored: Any, region: Region, target: Tensor, commit: Callable[[], None]
) -> Iterator[_Read]:
    """Decode spans of the chunk into memory of our own, and copy the wanted elements from there."""
    dtype = torch_dtype(stored.dtype)
    width = dtype.itemsize
    if target.dtype == dtype and not target.is_conj() and not target.is_neg():
        target = carrier(target)
        dtype = target.dtype
    physical = target.permute(stored.dim_order)
    *parts, last = region.split(max(1, _SCRATCH_BYTES // width))
    for part in (*parts, last):
        scratch = torch.empty(part.span * width, dtype=torch.uint8, device="cpu")

        def finish(scratch: Tensor = scratch, part: Region = part) -> None:
            part.select(physical, region).copy_(scratch.view(dtype).as_strided(part.lengths, part.strides))
            if part is last:
                commit()

        yield _Read((entry, scratch, part.first, part.first + part.span), scratch.nbytes, finish)


def _pickled_value(data: bytearray, fqn: str) -> io.BytesIO:
    """The pickle that planners expect, made of a value that was none."""
    return _pickle(decode_value(data, fqn))


def _pickle(value: object) -> io.BytesIO:
    pickled = io.BytesIO()
    torch.save(value, pickled)
    pickled.seek(0)
    return pickled
