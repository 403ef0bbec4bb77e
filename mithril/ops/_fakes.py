"""What tracing needs of each operator: the dtype, shape and strides of its results. Serves Meta tensors, too."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.library import get_ctx, register_fake

from mithril._errors import InvalidArgumentError, UnsupportedError
from mithril.ops._call import library


def _components(dtype: torch.dtype) -> int:
    return 2 if dtype.is_complex else 1


def _byte_group(x: Tensor, *, width: int = 0) -> Tensor:
    return x.new_empty((x.numel() * x.element_size(),), dtype=torch.uint8)


def _byte_ungroup(grouped: Tensor, *, dtype: torch.dtype | None = None, width: int = 0) -> Tensor:
    dtype = torch.uint8 if dtype is None else dtype
    return grouped.new_empty((grouped.numel() // dtype.itemsize,), dtype=dtype)


def _split_float_fields(x: Tensor) -> list[Tensor]:
    size = (x.numel() * _components(x.dtype),)
    return [x.new_empty(size, dtype=torch.uint8) for _ in library.float_field_bits(x.dtype)]


def _join_float_fields(planes: list[Tensor], dtype: torch.dtype) -> Tensor:
    return planes[0].new_empty((planes[0].numel() // _components(dtype),), dtype=dtype)


def _compress(
    x: Tensor, *, zstd_level: int = 3, split: bool = True, block_bytes: int = 524288, threads: int = 0
) -> Tensor:
    if x.is_meta:
        raise UnsupportedError("the tensor is on the meta device and has no data")
    return x.new_empty((get_ctx().new_dynamic_size(),), dtype=torch.uint8, device="cpu")


def _decompress(
    blob: Tensor,
    *,
    dtype: torch.dtype | None = None,
    shape: Sequence[int] | None = None,
    dim_order: Sequence[int] | None = None,
    threads: int = 0,
) -> Tensor:
    if dtype is None or shape is None:
        raise InvalidArgumentError("decompress needs dtype= and shape= to be traced")
    strides: list[int] = [1] * len(shape)
    stride = 1
    for dim in reversed(range(len(shape)) if dim_order is None else dim_order):
        strides[dim] = stride
        stride *= torch.sym_max(1, shape[dim])  # type: ignore[no-untyped-call]
    return blob.new_empty_strided(shape, strides, dtype=dtype)


def _decompress_into(blob: Tensor, out: Tensor, *, threads: int = 0) -> None:
    pass


def _minhash(
    tokens: Tensor, offsets: Tensor, *, ngram_size: int = 1, num_permutations: int = 128, seed: int = 1
) -> Tensor:
    return tokens.new_empty((offsets.shape[0] - 1, num_permutations), dtype=torch.int64)


def _minhash_bands(minima: Tensor, *, num_bands: int, num_rows: int) -> Tensor:
    return minima.new_empty((minima.shape[0], num_bands), dtype=torch.int64)


def register() -> None:
    for fake in (
        _byte_group,
        _byte_ungroup,
        _split_float_fields,
        _join_float_fields,
        _compress,
        _decompress,
        _decompress_into,
        _minhash,
        _minhash_bands,
    ):
        register_fake(f"mithril::{fake.__name__[1:]}", fake)
