"""The transforms of the format as operators: docs/format.md 6.2 (byte planes) and 6.3 (float fields)."""

import ctypes
from collections.abc import Sequence
from typing import Any, overload

import torch
from torch import Tensor

from mithril._errors import InvalidArgumentError
from mithril.ops._call import call, library

Bytes = bytes | bytearray | memoryview


def byte_group(x: Tensor, *, width: int = 0) -> Tensor:
    """The bytes of `x` in row-major order, grouped: byte 0 of every word, then byte 1 of every word, and so on.

    `x` has any dtype and shape; the result is uint8 of shape [numel × itemsize]. Words have `width` bytes, 2, 4 or 8;
    0 means the width of the dtype (of a component, for complex), and 2 for dtypes of one byte. So bfloat16, or its raw
    bytes as uint8, gives the even bytes and then the odd ones. These are the planes of the format's byte_planes, one
    after the other (docs/format.md 6.2).

    Raises InvalidArgumentError when the bytes are no multiple of the width, and for another width.
    """
    result: Tensor = call(library.byte_group, x, width=width)
    return result


def byte_ungroup(grouped: Tensor, *, dtype: torch.dtype | None = None, width: int = 0) -> Tensor:
    """The inverse of `byte_group`: uint8 of any shape to `dtype` (uint8 if None), of shape [bytes ÷ itemsize].

    `width` is as in `byte_group`, for `dtype`. Raises InvalidArgumentError for another dtype than uint8, and when the
    bytes are no multiple of the width or not a whole number of elements.
    """
    result: Tensor = call(library.byte_ungroup, grouped, dtype=dtype, width=width)
    return result


@overload
def byte_group_bf16(data: Tensor) -> Tensor: ...
@overload
def byte_group_bf16(data: Bytes) -> bytes: ...
def byte_group_bf16(data: Tensor | Bytes) -> Tensor | bytes:
    """`byte_group` of bfloat16: the low bytes, then the high ones. Bytes-like data give bytes, tensors uint8 tensors.

    Tensors are bfloat16, or uint8 that holds the raw bytes. Raises InvalidArgumentError for another dtype and for an
    odd number of bytes.
    """
    if not isinstance(data, Tensor):
        return _bytes_of(byte_group(_tensor_of(data)))
    if data.dtype not in (torch.bfloat16, torch.uint8):
        raise InvalidArgumentError(f"a bfloat16 or uint8 tensor is expected, not {data.dtype}")
    return byte_group(data)


@overload
def byte_ungroup_bf16(data: Tensor) -> Tensor: ...
@overload
def byte_ungroup_bf16(data: Bytes) -> bytes: ...
def byte_ungroup_bf16(data: Tensor | Bytes) -> Tensor | bytes:
    """The inverse of `byte_group_bf16`: bytes-like data give bytes, uint8 tensors a bfloat16 tensor of one dimension.

    Raises InvalidArgumentError for another dtype than uint8 and for an odd number of bytes.
    """
    if isinstance(data, Tensor):
        return byte_ungroup(data, dtype=torch.bfloat16)
    return _bytes_of(byte_ungroup(_tensor_of(data)))


def split_float_fields(x: Tensor) -> list[Tensor]:
    """The sign, exponent and mantissa fields of floats, as planes of one symbol a byte (docs/format.md 6.3).

    `x` is of a floating or complex dtype with exponent and mantissa, of any shape and read in row-major order. The
    planes, one uint8 tensor of shape [components] each, are: exponent; for float64 the high bits of the exponent;
    sign and top mantissa bits; the rest of the mantissa from its most significant byte down. A complex element has two
    components. `float_field_bits` tells how many planes there are, and the bits of their symbols.

    Raises InvalidArgumentError for a dtype without these fields.
    """
    result: list[Tensor] = call(library.split_float_fields, x)
    return result


def join_float_fields(planes: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """The inverse of `split_float_fields`: uint8 planes of n symbols to `dtype`, of shape [n] (complex: [n ÷ 2]).

    Raises InvalidArgumentError when there is another number of planes than `dtype` has, when they differ in size or are
    not uint8, and when a symbol has more bits than its plane.
    """
    if not planes:
        raise InvalidArgumentError("there are no planes")
    result: Tensor = call(library.join_float_fields, list(planes), dtype)
    return result


def float_field_bits(dtype: torch.dtype) -> list[int]:
    """Bits of a symbol for each plane of `split_float_fields`: [5, 3, 8] for float16.

    Raises InvalidArgumentError for a dtype without these fields.
    """
    result: list[int] = call(library.float_field_bits, dtype)
    return result


def _tensor_of(data: Any) -> Tensor:
    view = memoryview(data)
    if view.nbytes == 0:  # which frombuffer refuses
        return torch.empty(0, dtype=torch.uint8)
    # Torch has no read-only tensors: such memory is copied, so that nobody could write to it.
    return torch.frombuffer(bytearray(view) if view.readonly or not view.c_contiguous else view, dtype=torch.uint8)


def _bytes_of(tensor: Tensor) -> bytes:
    return ctypes.string_at(tensor.data_ptr(), tensor.numel())
