"""Plain values and checkpoint folders (docs/format.md, sections 7 and 8), next to the decoder of archives.

What only torch has comes as a tagged tuple: ("dtype", "float32"), ("size", (2, 3)), ("device", "cpu"). A tuple of the
value itself is a `Tuple`, so that the two cannot be confused.
"""

import base64
import json
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .decoder import Archive, Entry, decode
from .errors import FormatError, require
from .planes import DTYPES

MAX_DEPTH, MAX_DIGITS = 64, 4300


class Tuple(tuple[Any, ...]):
    """A tuple of the value, as against a tagged tuple."""


class Pairs(list[tuple[str, Any]]):
    """A JSON object as it was written."""


def parse_integer(text: str) -> int:
    require(len(text.lstrip("-")) <= MAX_DIGITS, "value.integer", 0)
    return int(text)


def reject_literal(text: str) -> None:
    raise ValueError(text)


def decode_value(raw: bytes) -> Any:
    """The Python value of an entry of kind value."""
    try:
        text = raw.decode("utf-8", "strict")
        tree = json.loads(text, object_pairs_hook=Pairs, parse_int=parse_integer, parse_constant=reject_literal)
    except (ValueError, RecursionError):
        raise FormatError("corrupt", "value.json", 0) from None
    try:
        return build(tree, 0)
    except (ValueError, TypeError):  # of int, float, base64; unhashable keys
        raise FormatError("corrupt", "value", 0) from None


def build(tree: Any, depth: int) -> Any:
    if isinstance(tree, Pairs):
        require(len(tree) == 1, "value.object", 0)
        key, content = tree[0]
        require(key.startswith("$"), "value.object", 0)
        require(key in OBJECTS, "value.object", 0, "unsupported")
        return OBJECTS[key](content, depth)
    if isinstance(tree, list):
        return build_list(tree, depth)
    require(not isinstance(tree, float) or math.isfinite(tree), "value.float", 0)  # 1e999
    return tree


def build_list(tree: Any, depth: int) -> list[Any]:
    require(isinstance(tree, list), "value.list", 0)
    require(depth < MAX_DEPTH, "value.depth", 0)
    return [build(item, depth + 1) for item in tree]


def build_set(make: Callable[[list[Any]], Any]) -> Callable[[Any, int], Any]:
    def build_members(tree: Any, depth: int) -> Any:
        members = build_list(tree, depth)
        require(len(set(members)) == len(members), "value.set", 0)
        return make(members)

    return build_members


def build_dict(tree: Any, depth: int) -> dict[Any, Any]:
    require(isinstance(tree, list) and all(type(pair) is list and len(pair) == 2 for pair in tree), "value.dict", 0)
    require(depth < MAX_DEPTH, "value.depth", 0)
    result = {build(key, depth + 1): build(value, depth + 1) for key, value in tree}
    require(len(result) == len(tree), "value.dict", 0)
    return result


def build_float(tree: Any, depth: int) -> float:
    require(tree in ("nan", "inf", "-inf"), "value.float", 0)
    return float(tree)


def build_complex(tree: Any, depth: int) -> complex:
    require(type(tree) is list and len(tree) == 2, "value.complex", 0)
    parts = [build(part, depth) for part in tree]
    require(all(isinstance(part, float) for part in parts), "value.complex", 0)
    return complex(*parts)


def build_bytes(tree: Any, depth: int) -> bytes:
    require(isinstance(tree, str), "value.bytes", 0)
    return base64.b64decode(tree, validate=True)


def build_dtype(tree: Any, depth: int) -> tuple[str, str]:
    require(isinstance(tree, str), "value.dtype", 0)
    require(any(dtype.name == tree for dtype in DTYPES.values()), "value.dtype", 0, "unsupported")
    return "dtype", tree


def build_size(tree: Any, depth: int) -> tuple[str, tuple[int, ...]]:
    require(type(tree) is list and all(type(dim) is int and 0 <= dim < 1 << 63 for dim in tree), "value.size", 0)
    return "size", tuple(tree)


def build_device(tree: Any, depth: int) -> tuple[str, str]:
    require(isinstance(tree, str), "value.device", 0)
    return "device", tree


OBJECTS: dict[str, Callable[[Any, int], Any]] = {
    "$float": build_float,
    "$tuple": lambda tree, depth: Tuple(build_list(tree, depth)),
    "$set": build_set(set),
    "$frozenset": build_set(frozenset),
    "$dict": build_dict,
    "$bytes": build_bytes,
    "$complex": build_complex,
    "$dtype": build_dtype,
    "$size": build_size,
    "$device": build_device,
}


def read_checkpoint(folder: Path) -> dict[str, Any]:
    """`metadata.mcp` of a checkpoint folder as a plain dict; the data files are not read."""
    archive = decode((folder / "metadata.mcp").read_bytes())
    require(archive.metadata.get("mithril.kind") == "checkpoint", "mithril.kind", 0)
    require(archive.metadata.get("mithril.version") == "1", "mithril.version", 0, "unsupported")
    files = [tuple(row) for row in read_value(archive, "files")]
    rows = read_value(archive, "tensors")
    numbers = {name: read_int64(archive, name) for name in ("chunk_count", "chunk_offset", "chunk_size")}
    numbers |= {name: read_int64(archive, name) for name in ("chunk_file", "chunk_entry", "value_file", "value_entry")}
    require(len(numbers["chunk_count"]) == len(rows), "chunk_count", 0)

    tensors, chunk, dim = {}, 0, 0
    for (fqn, dtype, dims, requires_grad, pin_memory, memory_format), count in zip(
        rows, numbers["chunk_count"], strict=True
    ):
        chunks = []
        for _ in range(count):
            end = dim + len(dims)
            box = (tuple(numbers["chunk_offset"][dim:end]), tuple(numbers["chunk_size"][dim:end]))
            chunks.append((*box, numbers["chunk_file"][chunk], numbers["chunk_entry"][chunk]))
            chunk, dim = chunk + 1, end
        tensors[fqn] = {
            "dtype": dtype,
            "shape": tuple(dims),
            "requires_grad": requires_grad,
            "pin_memory": pin_memory,
            "memory_format": memory_format,
            "chunks": chunks,  # offset, size, file, entry
        }
    require(chunk == len(numbers["chunk_file"]) == len(numbers["chunk_entry"]), "chunk_file", 0)
    require(dim == len(numbers["chunk_offset"]) == len(numbers["chunk_size"]), "chunk_offset", 0)
    places = list(zip(numbers["value_file"], numbers["value_entry"], strict=True))
    values = dict(zip(read_value(archive, "values"), places, strict=True))
    for number in (*numbers["chunk_file"], *numbers["value_file"]):
        require(0 <= number < len(files), "chunk_file", 0)
    return {"planner_data": read_value(archive, "planner_data"), "files": files, "tensors": tensors, "values": values}


def find(archive: Archive, name: str, kind: str) -> Entry:
    for entry in archive.entries:
        if entry.name == name and entry.kind == kind:
            return entry
    raise FormatError("corrupt", name, 0)


def read_value(archive: Archive, name: str) -> Any:
    return decode_value(find(archive, name, "value").raw)


def read_int64(archive: Archive, name: str) -> list[int]:
    raw = find(archive, name, "tensor").raw
    return list(struct.unpack(f"<{len(raw) // 8}q", raw))
