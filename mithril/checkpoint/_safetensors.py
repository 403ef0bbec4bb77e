"""The safetensors format, written tensor by tensor: https://huggingface.co/docs/safetensors/index#format

Order and header are those of the safetensors library, so that a file it wrote comes back byte for byte; except that it
leaves the order of several metadata entries to chance, and here they are sorted.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from math import prod
from typing import NamedTuple

from torch import Tensor

from mithril._errors import UnsupportedError
from mithril._native import core
from mithril.checkpoint._tensors import flat_bytes, torch_dtype

# In the order in which the library lays tensors out: wide elements first, which aligns them.
_DTYPES = {
    "uint64": "U64",
    "int64": "I64",
    "float64": "F64",
    "complex64": "C64",
    "float32": "F32",
    "uint32": "U32",
    "int32": "I32",
    "bfloat16": "BF16",
    "float16": "F16",
    "uint16": "U16",
    "int16": "I16",
    "float8_e5m2fnuz": "F8_E5M2FNUZ",
    "float8_e4m3fnuz": "F8_E4M3FNUZ",
    "float8_e8m0fnu": "F8_E8M0",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "int8": "I8",
    "uint8": "U8",
    "float4_e2m1fn_x2": "F4",
    "bool": "BOOL",
}
_RANK = {dtype: rank for rank, dtype in enumerate(_DTYPES)}


class Item(NamedTuple):
    """A tensor to write, fetched when its turn comes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    fetch: Callable[[], Tensor]


def write_safetensors(file: core.OutputFile, items: Iterable[Item], metadata: Mapping[str, str]) -> None:
    """Write a whole safetensors file; the caller commits it.

    Raises UnsupportedError for dtypes that safetensors lacks (complex32, complex128), before anything is written.
    """
    items = list(items)
    for item in items:
        if item.dtype not in _DTYPES:
            raise UnsupportedError(f"tensor {item.name!r}: safetensors has no dtype for {item.dtype}")
        if item.name == "__metadata__":
            raise UnsupportedError("safetensors cannot hold a tensor named '__metadata__'")
    items.sort(key=lambda item: (_RANK[item.dtype], item.name.encode()))
    header = _header(items, metadata)
    file.write(len(header).to_bytes(8, "little"))
    file.write(header)
    for item in items:
        file.write(flat_bytes(item.fetch(), item.name))


def _header(items: list[Item], metadata: Mapping[str, str]) -> bytes:
    fields: dict[str, object] = {}
    if metadata:
        fields["__metadata__"] = dict(sorted(metadata.items()))
    offset = 0
    for item in items:
        end = offset + prod(item.shape) * torch_dtype(item.dtype).itemsize
        fields[item.name] = {
            "dtype": _DTYPES[item.dtype],
            "shape": _shape(item),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % 8)


def _shape(item: Item) -> list[int]:
    # safetensors counts 4-bit values, torch bytes with two of them
    return [*item.shape[:-1], item.shape[-1] * 2] if item.dtype == "float4_e2m1fn_x2" else list(item.shape)
