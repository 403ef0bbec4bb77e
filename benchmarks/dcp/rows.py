"""A layout that wants some rows of each tensor: what a rank of another world size asks for."""

from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.metadata import ChunkStorageMetadata, MetadataIndex


class Rows(Tensor):
    """Rows `first` and following of a tensor of shape `whole`, to be loaded into `local`."""

    local: Tensor
    first: int

    @staticmethod
    def __new__(cls, whole: torch.Size, first: int, local: Tensor) -> "Rows":
        rows = Tensor._make_wrapper_subclass(cls, whole, dtype=local.dtype)
        rows.local, rows.first = local, first
        return rows

    @classmethod
    def __torch_dispatch__(cls, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError

    def __create_chunk_list__(self) -> list[ChunkStorageMetadata]:
        return [ChunkStorageMetadata(torch.Size([self.first] + [0] * (self.local.dim() - 1)), self.local.shape)]

    def __get_tensor_shard__(self, index: MetadataIndex) -> Tensor:
        return self.local
