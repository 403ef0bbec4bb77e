"""The seam between torch tensors and the native core, which knows only bytes, dtype names, shapes and memory orders.

A memory order (`dim_order`) lists the dimensions from the outermost to the innermost: `(0, 1, 2, 3)` is row-major,
`(0, 2, 3, 1)` channels_last. Dense tensors keep theirs, and their memory is handed over as it is; others are copied.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mithril._errors import InvalidArgumentError, UnsupportedError
from mithril._native import core

# Reading elements as integers makes copies exact and available for every dtype (fp4 and complex32 lack most operators).
_CARRIERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64, 16: torch.complex128}


class Description(NamedTuple):
    """A tensor as the core takes it: `writer.add(name, d.data, d.dtype, d.shape, dim_order=d.dim_order)`."""

    data: Tensor
    """The elements in physical order: a flat uint8 tensor on the CPU that shares the tensor's memory where possible."""
    dtype: str
    shape: tuple[int, ...]
    dim_order: tuple[int, ...]


@functools.cache
def _dtype_names() -> frozenset[str]:
    return frozenset(name for name, _, _ in core.dtypes())


def dtype_name(dtype: torch.dtype) -> str:
    """The name of a dtype in the format; raises UnsupportedError for a dtype that the format lacks."""
    name = str(dtype).removeprefix("torch.")
    if name not in _dtype_names():
        raise UnsupportedError(f"dtype {dtype} is not supported")
    return name


def torch_dtype(name: str) -> torch.dtype:
    """The torch dtype of a format name; raises UnsupportedError when this torch, or the format, lacks it."""
    dtype = getattr(torch, name, None) if name in _dtype_names() else None
    if not isinstance(dtype, torch.dtype):
        raise UnsupportedError(f"dtype {name} is not supported by PyTorch {torch.__version__}")
    return dtype


def carrier(tensor: Tensor) -> Tensor:
    """The same elements and strides, as numbers of their width: exact to index and to copy, whatever the dtype."""
    return tensor.view(_CARRIERS[tensor.element_size()])


def require_plain(tensor: Tensor, name: str) -> None:
    """Raise UnsupportedError, naming the tensor and the reason, unless it is a strided tensor with data."""
    reason = _refusal(tensor)
    if reason is not None:
        raise UnsupportedError(f"tensor {name!r} cannot be saved: {reason}")


def _refusal(tensor: object) -> str | None:
    if not isinstance(tensor, Tensor):
        return f"it is not a tensor but {type(tensor).__qualname__}"
    if type(tensor).__name__ == "DTensor":
        return "it is a DTensor, one shard of a distributed tensor; use save_compressed"
    if tensor.is_nested:
        return "nested tensors are not supported"
    if type(tensor) not in (Tensor, torch.nn.Parameter):
        return f"the tensor subclass {type(tensor).__qualname__} is not supported"
    if tensor.layout != torch.strided:
        return f"the layout {tensor.layout} is not supported"
    if tensor.is_quantized:
        return f"quantized tensors ({tensor.dtype}) are not supported"
    if tensor.is_meta:
        return "it is on the meta device and has no data"
    if str(tensor.dtype).removeprefix("torch.") not in _dtype_names():
        return f"dtype {tensor.dtype} is not supported"
    if _needed_bytes(tensor) > tensor.untyped_storage().nbytes():
        return "its storage has been freed"
    return None


def _needed_bytes(tensor: Tensor) -> int:
    if tensor.numel() == 0:
        return 0
    last = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return (int(tensor.storage_offset()) + last + 1) * tensor.element_size()


def describe(tensor: Tensor, name: str) -> Description:
    """What the core needs to save a tensor.

    The data shares the tensor's memory when that is dense, on the CPU, and free of pending conjugation and negation;
    else it is a copy of the elements of this view only. `name` is for messages. Raises UnsupportedError for sparse,
    quantized, nested and meta tensors, tensor subclasses and unknown dtypes: nothing is ever densified or dequantized.
    """
    require_plain(tensor, name)
    order = _dense_order(tensor)
    if order is None:
        order = tuple(range(tensor.dim()))
    return Description(flat_bytes(tensor.permute(order), name), dtype_name(tensor.dtype), tuple(tensor.shape), order)


def flat_bytes(tensor: Tensor, name: str) -> Tensor:
    """The elements in row-major order as a flat uint8 tensor on the CPU; it shares memory that is already so.

    Raises UnsupportedError as `describe` does.
    """
    require_plain(tensor, name)
    plain = carrier(tensor.detach().resolve_conj().resolve_neg()).contiguous()
    if plain.device.type != "cpu":
        host = torch.empty(plain.shape, dtype=plain.dtype, device="cpu", pin_memory=plain.is_cuda)
        plain = host.copy_(plain)
    return _as_bytes(plain)


def allocate(dtype: str, shape: Sequence[int], dim_order: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
    """A dense tensor with uninitialised memory in the order `dim_order`; `dtype` is a name of the format."""
    inverse = [0] * len(dim_order)
    for position, dim in enumerate(dim_order):
        inverse[dim] = position
    target = torch_dtype(dtype)
    # As numbers of the same width first: torch.empty warns of complex32.
    physical = torch.empty([shape[dim] for dim in dim_order], dtype=_CARRIERS[target.itemsize], device=device)
    return physical.view(target).permute(inverse)


def memory(tensor: Tensor) -> Tensor:
    """All memory of a dense CPU tensor in physical order, as a flat uint8 tensor to write into.

    Asking for it counts as an in-place change of the tensor for autograd. Raises InvalidArgumentError for a tensor that
    is not dense, not on the CPU, or of a kind that `describe` refuses.
    """
    order = None if not _is_direct(tensor) else _dense_order(tensor)
    if order is None:
        raise InvalidArgumentError("only the memory of dense plain CPU tensors can be written directly")
    torch.autograd.graph.increment_version(tensor)
    return _as_bytes(tensor.detach().permute(order))


def _as_bytes(contiguous: Tensor) -> Tensor:
    # Not reshape, which may leave one element with a stride that view refuses.
    return contiguous.as_strided((contiguous.numel(),), (1,)).view(torch.uint8)


def is_in_order(tensor: Tensor, dim_order: Sequence[int]) -> bool:
    """Whether elements in the order `dim_order` can be written straight into `memory(tensor)`."""
    return _is_direct(tensor) and tensor.dim() == len(dim_order) and _is_dense(tensor, dim_order)


def _is_direct(tensor: Tensor) -> bool:
    return _refusal(tensor) is None and tensor.device.type == "cpu" and not tensor.is_conj() and not tensor.is_neg()


def _dense_order(tensor: Tensor) -> tuple[int, ...] | None:
    """The memory order of a tensor without gaps and overlaps; None for other views."""
    if tensor.is_contiguous():  # also settles empty tensors, and the order of dimensions of size 1
        return tuple(range(tensor.dim()))
    strides = tensor.stride()
    order = tuple(sorted(range(tensor.dim()), key=lambda dim: -strides[dim]))
    return order if _is_dense(tensor, order) else None


def _is_dense(tensor: Tensor, dim_order: Sequence[int]) -> bool:
    if tensor.numel() == 0:
        return True
    expected = 1
    for dim in reversed(dim_order):
        size, stride = tensor.size(dim), tensor.stride(dim)
        if size != 1 and stride != expected:  # the stride of a dimension of size 1 means nothing
            return False
        expected *= size
    return True


def find_aliases(tensors: Mapping[str, Tensor]) -> dict[str, str]:
    """Names whose tensor is the very memory of an earlier one, with the name of that one: tied weights.

    Tied are tensors of one place, dtype, shape and strides; never empty tensors, nor views that overlap in part.
    """
    first: dict[tuple[object, ...], str] = {}
    aliases: dict[str, str] = {}
    for name, tensor in tensors.items():
        if tensor.numel() == 0:
            continue
        place = (tensor.device, tensor.data_ptr(), tensor.is_conj(), tensor.is_neg())
        owner = first.setdefault((*place, tensor.dtype, tensor.shape, tensor.stride()), name)
        if owner != name:
            aliases[name] = owner
    return aliases
