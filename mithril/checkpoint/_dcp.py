"""Distributed checkpoints in one call: save and load a state_dict on every rank, or in a single process."""

import os
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch.distributed as dist
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.metadata import Metadata
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from mithril.checkpoint._config import CompressionConfig
from mithril.checkpoint._dcp_errors import plain_errors
from mithril.checkpoint._dcp_planner import CompressedLoadPlanner, CompressedSavePlanner
from mithril.checkpoint._dcp_reader import MithrilStorageReader
from mithril.checkpoint._dcp_writer import MithrilStorageWriter, discard


@dataclass(frozen=True)
class SaveResult(Mapping[str, Any]):
    """What a save has written; also a mapping of the same names."""

    path: str
    original_bytes: int
    """Raw bytes of all tensors and values, each replica counted once."""
    compressed_bytes: int
    """Bytes of all files of the checkpoint."""
    ratio: float
    """original_bytes / compressed_bytes."""
    seconds: float
    """On this rank."""

    def __getitem__(self, name: str) -> Any:
        if name not in self.__dataclass_fields__:
            raise KeyError(name)
        return getattr(self, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.__dataclass_fields__)

    def __len__(self) -> int:
        return len(self.__dataclass_fields__)


@dataclass(frozen=True)
class LoadResult:
    """What this rank has read."""

    bytes_read: int
    """Bytes of data files: the blocks that were needed, and their tables."""
    blocks_decoded: int
    seconds: float


def save_compressed(
    state_dict: Mapping[str, Any],
    checkpoint_path: str | os.PathLike[str],
    config: CompressionConfig | None = None,
    process_group: dist.ProcessGroup | None = None,
    thread_count: int = 4,
    *,
    overwrite: bool = True,
    allow_pickle: bool = False,
    sync_files: bool = True,
    grace_seconds: float = 60.0,
) -> SaveResult:
    """Save a state_dict as a compressed checkpoint folder; to be called on every rank of the process group.

    Takes what `torch.distributed.checkpoint.save` takes: tensors, DTensors and ShardedTensors, Stateful objects, plain
    values, nested dicts and lists. A shard that several ranks hold is written once. Works without torch.distributed.
    A process that is killed, and a save that fails, leave the checkpoint that was in the folder before.

    Args and errors are those of `MithrilStorageWriter`. When one rank fails, all raise the same MithrilError.
    """
    begin = time.perf_counter()
    writer = MithrilStorageWriter(
        checkpoint_path,
        config,
        sync_files=sync_files,
        thread_count=thread_count,
        overwrite=overwrite,
        allow_pickle=allow_pickle,
        grace_seconds=grace_seconds,
    )
    with plain_errors(), _no_dist() as no_dist:
        try:
            metadata = save(
                {},  # the planner knows better
                storage_writer=writer,
                planner=CompressedSavePlanner(state_dict),
                process_group=process_group,
                no_dist=no_dist,
            )
        except CheckpointException:
            discard(writer)
            raise
    files = metadata.storage_data.files
    original = sum(file.raw_bytes for file in files)
    compressed = sum(file.size for file in files) + metadata.storage_data.metadata_bytes
    return SaveResult(
        path=writer.checkpoint_id,
        original_bytes=original,
        compressed_bytes=compressed,
        ratio=original / compressed,
        seconds=time.perf_counter() - begin,
    )


def load_compressed(
    state_dict: MutableMapping[str, Any],
    checkpoint_path: str | os.PathLike[str],
    config: CompressionConfig | None = None,
    process_group: dist.ProcessGroup | None = None,
    thread_count: int = 4,
    *,
    strict: bool = True,
    keys: Iterable[str] | None = None,
    allow_cast: bool = False,
    weights_only: bool = True,
) -> LoadResult:
    """Load a checkpoint folder into a state_dict, in place; to be called on every rank of the process group.

    Tensors are filled where they are, each rank reading only what its shards need, however many ranks saved. Values are
    replaced, and Stateful objects get `load_state_dict`. Works without torch.distributed, too.

    Args:
        state_dict: As for `torch.distributed.checkpoint.load`: it says what to load.
        checkpoint_path: A folder that `save_compressed` or `MithrilStorageWriter` wrote.
        config: Only its `num_threads` matters; it overrides `thread_count`.
        process_group: The ranks that load; None for all.
        thread_count: Threads per rank, as for `MithrilStorageReader`.
        strict: Whether names that only the state_dict has, or only the checkpoint (on any rank), are an error.
        keys: Names to load, each with all names below it: "model" selects "model.weight". None selects all.
        allow_cast: Whether tensors may have another dtype than in the checkpoint; their values are then converted.
        weights_only: As for `MithrilStorageReader`.

    Raises StorageNotFoundError when there is no checkpoint, NotFoundError for names that do not match,
    InvalidArgumentError for shapes, dtypes and kinds that do not, and what `MithrilStorageReader` raises. When one rank
    fails, all raise the same MithrilError; tensors may then be filled in part.
    """
    begin = time.perf_counter()
    reader = _Reader(checkpoint_path, config, thread_count, weights_only=weights_only)
    planner = CompressedLoadPlanner(state_dict, strict=strict, keys=keys, allow_cast=allow_cast)
    with plain_errors(), _no_dist() as no_dist:
        load({}, storage_reader=reader, planner=planner, process_group=process_group, no_dist=no_dist)
    planner.hand_over()
    return LoadResult(reader.bytes_read, reader.blocks_decoded, time.perf_counter() - begin)


@contextmanager
def _no_dist() -> Iterator[bool]:
    """Whether this is a single process; DCP's warning about that is not for our callers."""
    no_dist = not (dist.is_available() and dist.is_initialized())
    with warnings.catch_warnings() if no_dist else nullcontext():
        if no_dist:
            warnings.filterwarnings("ignore", message="torch.distributed is")
        yield no_dist


class _Reader(MithrilStorageReader):
    """Fails one step later than `read_metadata`, whose errors DCP turns into an AssertionError."""

    _failure: Exception | None = None

    def read_metadata(self, *args: Any, **_: Any) -> Metadata:
        try:
            return super().read_metadata()
        except Exception as error:
            self._failure = error
            return Metadata({})

    def set_up_storage_reader(self, metadata: Metadata, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        if self._failure is not None:
            raise self._failure
        super().set_up_storage_reader(metadata, is_coordinator)
