"""The StorageReader: only the blocks that the wanted rows touch are read and decoded, each once, in place where possible."""

import errno
import io
import math
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
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
from mithril.checkpoint._dcp_index import DataFile, StorageData, StoredChunk
from mithril.checkpoint._dcp_metadata import read_metadata
from mithril.checkpoint._dcp_writer import choose_threads
from mithril.checkpoint._tensors import carrier, dtype_name, is_in_order, memory
from mithril.checkpoint._values import decode_value

_SCRATCH_BYTES = 64 << 20  # decoded at a time where that is not possible in place


class MithrilStorageReader(StorageReader):
    """Reads checkpoints of `MithrilStorageWriter` with `torch.distributed.checkpoint.load`, onto any number of ranks.

    Args:
        path: The folder of the checkpoint.
        config: Only its `num_threads` matters; it overrides `thread_count`.
        thread_count: Threads per rank; fewer where `MITHRIL_NUM_THREADS` or the share of the rank in the cores is less.
        weights_only: Whether pickled objects are loaded only as far as `torch.load(weights_only=True)` permits. With False
            they are unpickled, which runs the code in them: only for checkpoints that you trust.

    Loading raises StorageNotFoundError, CorruptError, TruncatedError or UnsupportedError, naming the tensor or the file.
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
                errno.EBUSY, "the checkpoint was replaced while the ranks read its metadata; load it again", self.checkpoint_id
            )
        return plans

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> Future[None]:
        with picklable_errors():
            per_file: dict[DataFile, list[tuple[int, ReadItem]]] = {}
            for item in plan.items:
                file, entry = self._found_storage()[item.storage_index]
                per_file.setdefault(file, []).append((entry, item))
            for file in sorted(per_file):
                items = sorted(per_file[file], key=lambda each: (each[0], each[1].storage_offsets))
                self._read_file(file, items, planner)
        future: Future[None] = Future()
        future.set_result(None)
        return future

    def _found_storage(self) -> StorageData:
        if self._storage is None:
            raise InvalidArgumentError("set_up_storage_reader comes first")
        return self._storage

    def _read_file(self, file: DataFile, items: list[tuple[int, ReadItem]], planner: LoadPlanner) -> None:
        archive = self._open(file)
        batch: list[_Read] = []
        for read in self._reads(archive, items, planner):
            batch.append(read)
            if sum(...)
