"""The StorageWriter: one archive per rank, and `metadata.mcp` as the commit (section 8 of docs/format.md).

Nothing of one save is kept in plans or handles: plans may be cached by the planner, and asynchronous saving pickles the
writer itself into another process.
"""

import contextlib
import errno
import io
import math
import os
import uuid
from collections.abc import Iterable
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
from torch.distributed.checkpoint.metadata import Metadata, StorageMeta
from torch.distributed.checkpoint.planner import SavePlan, SavePlanner, TensorWriteData, WriteItem, WriteItemType
from torch.distributed.checkpoint.storage import StorageWriter, WriteResult
from torch.futures import Future
from torch.multiprocessing.reductions import StorageWeakRef

from mithril._errors import (
    InvalidArgumentError,
    MithrilError,
    StorageError,
    StorageExistsError,
    StorageNotFoundError,
    UnsupportedError,
)
from mithril._native import core
from mithril.checkpoint._config import CompressionConfig
from mithril.checkpoint._dcp_errors import picklable_errors
from mithril.checkpoint._dcp_folder import (
    Checkpoint,
    current_checkpoint,
    local_path,
    make_folder,
    mark_superseded,
    new_data_name,
    remove_unnamed,
)
from mithril.checkpoint._dcp_index import DataFile, Index, Location, build_index
from mithril.checkpoint._dcp_metadata import METADATA_NAME, write_metadata
from mithril.checkpoint._tensors import describe
from mithril.checkpoint._values import encode_value

_PENDING_BYTES = 64 << 20  # raw, waiting to be compressed; a larger tensor waits alone


class MithrilStorageWriter(StorageWriter):
    """Writes compressed checkpoints with `torch.distributed.checkpoint`, `save` and `async_save` (thread and process).

    Args:
        path: The folder of the checkpoint, on a file system that all ranks share. It is created if missing.
        config: How to compress; its `num_threads` overrides `thread_count`.
        single_file_per_rank: Must be True.
        sync_files: Whether files and folders are synced, so that the checkpoint survives a power failure.
        thread_count: Threads per rank; fewer where `MITHRIL_NUM_THREADS` or the share of the rank in the cores is less.
        overwrite: Whether a checkpoint in the folder may be replaced. It stays loadable until the new one is complete.
        allow_pickle: Whether objects that are no plain values are pickled; otherwise they are refused. Loading
            unpickles them as far as `torch.load(weights_only=True)` permits, or with `weights_only=False`.
        grace_seconds: How long the data files of a replaced checkpoint, and of failed saves, stay for processes that
            still read or write them. The next save after that removes them; with 0 they go at once.

    A save that fails leaves the checkpoint of before. It raises StorageExistsError (`overwrite=False`), StorageError
    (also when another save changed the folder meanwhile), UnsupportedError and InvalidArgumentError.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        config: CompressionConfig | None = None,
        single_file_per_rank: bool = True,
        sync_files: bool = True,
        thread_count: int = 4,
        *,
        overwrite: bool = True,
        allow_pickle: bool = False,
        grace_seconds: float = 60.0,
    ) -> None:
        super().__init__()
        if not single_file_per_rank:
            raise InvalidArgumentError("single_file_per_rank must be True: a rank writes one archive")
        if not grace_seconds >= 0:
            raise InvalidArgumentError(f"grace_seconds must not be negative, but is {grace_seconds!r}")
        self._folder = local_path(path)
        self._config = config or CompressionConfig()
        self._sync_files = sync_files
        self._threads = choose_threads(self._config, thread_count)
        self._overwrite = overwrite
        self._allow_pickle = allow_pickle
        self._grace_seconds = grace_seconds
        self._rank = 0
        self._is_coordinator = True
        self._previous = Checkpoint(None, frozenset())
        self._written: str | None = None

    @property
    def checkpoint_id(self) -> str:
        """The folder of the checkpoint."""
        return os.fspath(self._folder)

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        return "://" not in os.fspath(checkpoint_id)

    def storage_meta(self) -> StorageMeta:
        return StorageMeta(checkpoint_id=self.checkpoint_id, save_id=str(uuid.uuid4()))

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        if checkpoint_id is not None:
            self._folder = local_path(checkpoint_id)

    # DCP passes rank and use_collectives only to a parameter that is called kwargs.
    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        if not kwargs.get("use_collectives", True):
            raise UnsupportedError(
                "use_collectives=False is not supported: the ranks of a checkpoint share its metadata"
            )
        self._is_coordinator = is_coordinator
        rank = kwargs.get("rank")
        self._rank = rank if rank is not None else dist.get_rank() if dist.is_initialized() else 0

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        with picklable_errors():
            make_folder(self._folder, sync=self._sync_files)
            self._written = None
            if self._is_coordinator:
                self._look_at_folder()
        return plan

    def prepare_global_plan(self, plans: list[SavePlan]) -> list[SavePlan]:
        return plans

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        future: Future[list[WriteResult]] = Future()
        with picklable_errors():
            future.set_result(self._write_items(plan.items, planner) if plan.items else [])
        return future

    # The coordinator's: the data files of all ranks are durable by now.
    def finish(self, metadata: Metadata, results: list[list[WriteResult]]) -> None:
        with picklable_errors():
            index = build_index(metadata.state_dict_metadata, results)
            try:
                identity = self._publish(index, metadata)
            except BaseException:
                discard(self)  # those of other ranks go with their next save, or with save_compressed
                raise
            # Another save may have committed since: then what it names is its own to keep.
            current = current_checkpoint(self._folder)
            if current.identity == identity:
                remove_unnamed(self._folder, current, self._grace_seconds)

    def _look_at_folder(self) -> None:
        self._previous = current_checkpoint(self._folder)
        if self._previous.identity is not None and not self._overwrite:
            raise StorageExistsError(errno.EEXIST, "there is a checkpoint, and overwrite is False", self.checkpoint_id)
        remove_unnamed(self._folder, self._previous, self._grace_seconds)

    def _write_items(self, items: Iterable[WriteItem], planner: SavePlanner) -> list[WriteResult]:
        ordered = sorted(items, key=lambda item: (item.index.fqn, item.index.offset or ()))
        name = new_data_name(self._rank)
        path = os.fspath(self._folder / name)
        output = core.OutputFile(path, sync=self._sync_files)
        try:
            options = self._config.writer_options()
            options["threads"] = self._threads
            writer = core.ArchiveWriter(**options)
            tied = _Tied()
            entries = [self._add(item, planner, writer, output, tied) for item in ordered]
            writer.finish()
            writer.drain(output)
            output.commit()
        except BaseException:
            output.abort()
            with contextlib.suppress(OSError):  # published, but not synced
                os.unlink(path)
            raise
        self._written = name
        file = DataFile(name, writer.archive_size, writer.content_id, writer.raw_bytes)
        return [
            WriteResult(item.index, size, Location(file, entry))
            for item, (entry, size) in zip(ordered, entries, strict=True)
        ]

    def _add(self, item: WriteItem, planner: SavePlanner, writer: Any, output: Any, tied: "_Tied") -> tuple[int, int]:
        """Enter one item; returns its number and its raw bytes."""
        fqn = item.index.fqn
        if item.type == WriteItemType.BYTE_IO:
            kind, data = self._encode(item, planner)
            _make_room(len(data), writer, output)
            return writer.add(fqn, data, "uint8", [len(data)], kind=kind), len(data)
        planned = _planned(item)
        size = math.prod(planned.chunk.sizes) * planned.properties.dtype.itemsize
        _make_room(size, writer, output)
        resolved = cast(Tensor, planner.resolve_data(item)).detach()
        if (number := tied.find(resolved)) is not None:
            return writer.add_alias(_entry_name(fqn, planned), number), size
        tensor = describe(resolved, fqn)
        expected = (str(planned.properties.dtype).removeprefix("torch."), tuple(planned.chunk.sizes))
        if (tensor.dtype, tensor.shape) != expected:
            raise InvalidArgumentError(f"{fqn!r} is {tensor.dtype} {tensor.shape}, but was planned as {expected}")
        name = _entry_name(fqn, planned)
        number = writer.add(name, tensor.data, tensor.dtype, tensor.shape, dim_order=tensor.dim_order)
        tied.enter(resolved, number)
        return number, size

    def _encode(self, item: WriteItem, planner: SavePlanner) -> tuple[str, bytes]:
        """Kind and bytes of an object."""
        fqn = item.index.fqn
        try:
            return "value", encode_value(_look_up(item, planner), fqn)
        except UnsupportedError as error:
            if not self._allow_pickle:
                raise UnsupportedError(f"{error}; allow_pickle=True would pickle it") from None
        return "foreign", cast(io.BytesIO, planner.resolve_data(item)).getvalue()

    def _require_unchanged(self) -> None:
        if current_checkpoint(self._folder).identity != self._previous.identity:
            raise StorageError(errno.EBUSY, "the checkpoint changed while saving", self.checkpoint_id)

    def _require_files(self, files: Iterable[DataFile]) -> None:
        """The files of all ranks must be here; another save may also have taken them for leftovers."""
        for file in files:
            path = self._folder / file.name
            if not path.exists():
                raise StorageNotFoundError(
                    errno.ENOENT, "a data file has vanished, or the ranks do not share this folder", os.fspath(path)
                )
            if path.stat().st_size != file.size:
                raise StorageError(errno.EIO, f"the data file no longer has {file.size} bytes", os.fspath(path))

    def _publish(self, index: Index, metadata: Metadata) -> str:
        """Commit; returns the identity of the new checkpoint."""
        self._require_unchanged()
        path = os.fspath(self._folder / METADATA_NAME)
        is_first = self._previous.identity is None
        output = core.OutputFile(path, sync=self._sync_files, overwrite=not is_first)
        try:
            storage = write_metadata(output, index, metadata.planner_data, threads=self._threads)
            self._require_unchanged()
            self._require_files(index.files)
            mark_superseded(self._folder, self._previous.names or ())
            output.commit()
        finally:
            output.abort()
        metadata.storage_data = storage  # planners keep and reuse the metadata: set, never extend
        metadata.storage_meta = self.storage_meta()
        return storage.content_id


class _Tied:
    """Tensors of this save by the memory they show, so that tied ones are stored once.

    An address means nothing once its storage is gone, as that of a planner's temporary: storages are watched, not held.
    """

    def __init__(self) -> None:
        self._numbers: dict[tuple[object, ...], tuple[StorageWeakRef, int]] = {}

    def find(self, tensor: Tensor) -> int | None:
        storage, number = self._numbers.get(self._place(tensor), (None, None))
        return number if storage is not None and not storage.expired() else None  # type: ignore[no-untyped-call]

    def enter(self, tensor: Tensor, number: int) -> None:
        if tensor.numel():
            self._numbers[self._place(tensor)] = (StorageWeakRef(tensor.untyped_storage()), number)  # type: ignore[no-untyped-call]

    @staticmethod
    def _place(tensor: Tensor) -> tuple[object, ...]:
        bits = tensor.is_conj(), tensor.is_neg()
        return tensor.device, tensor.data_ptr(), *bits, tensor.dtype, tensor.shape, tensor.stride()


def choose_threads(config: CompressionConfig, thread_count: int) -> int:
    """The threads of one rank. Raises InvalidArgumentError."""
    if not isinstance(thread_count, int) or thread_count < 1:
        raise InvalidArgumentError(f"thread_count must be a positive integer, but is {thread_count!r}")
    return config.num_threads or min(thread_count, core.default_threads())


def discard(writer: MithrilStorageWriter) -> None:
    """After a failed save: remove this rank's data file, unless the checkpoint in the folder names it after all."""
    with contextlib.suppress(MithrilError, OSError):
        names = current_checkpoint(writer._folder).names
        if writer._written is not None and names is not None and writer._written not in names:
            os.unlink(writer._folder / writer._written)


def _make_room(size: int, writer: Any, output: Any) -> None:
    if writer.pending_bytes + size > _PENDING_BYTES:
        writer.drain(output)


def _planned(item: WriteItem) -> TensorWriteData:
    if item.tensor_data is None or item.tensor_data.chunk is None:
        raise InvalidArgumentError(f"{item.index.fqn!r}: the plan does not say which part of the tensor to write")
    return item.tensor_data


def _entry_name(fqn: str, planned: TensorWriteData) -> str:
    offsets, sizes = planned.chunk.offsets, planned.chunk.sizes
    if sizes == planned.size:
        return fqn
    ranges = (f"{offset}:{offset + size}" for offset, size in zip(offsets, sizes, strict=True))
    return f"{fqn}[{','.join(ranges)}]"


def _look_up(item: WriteItem, planner: SavePlanner) -> object:
    """The object itself; where a planner makes something else of it, what that pickle holds."""
    makers = ("resolve_data", "transform_object")
    if isinstance(planner, DefaultSavePlanner) and all(
        getattr(type(planner), maker) is getattr(DefaultSavePlanner, maker) for maker in makers
    ):
        return planner.lookup_object(item.index)
    pickled = cast(io.BytesIO, planner.resolve_data(item))
    pickled.seek(0)
    try:
        return torch.load(pickled, weights_only=True)
    except Exception as error:
        raise UnsupportedError(f"{item.index.fqn}: not a plain value ({str(error).splitlines()[0]})") from None
