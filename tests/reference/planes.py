"""The registries: dtypes, and what the transforms and coders make of a block (docs/format.md, section 6); keys and
rans have files of their own."""

from collections.abc import Sequence
from typing import NamedTuple

import zstandard

from .errors import FormatError, require
from .keys import MASK_BITS, form_of, join_keys, key_bits, spread
from .rans import NO_CONTEXT, NOTHING, OTHER_PLANE, SAME_LANE, Context, decode_context_rans, decode_rans

MAX_BLOCK_BYTES = 1 << 20
IDENTITY, BYTE_PLANES, FLOAT_FIELDS, FLOAT_KEYS, NONZERO_KEYS = range(5)  # transforms
RAW, CONSTANT, ZSTD, RANS, CONTEXT_RANS, PALETTE = range(6)  # coders
CONTEXT_KINDS = (NOTHING, OTHER_PLANE, SAME_LANE)


class Dtype(NamedTuple):
    id: int
    name: str
    size: int  # bytes of an element
    component: int  # bytes of a component
    exponent: int = 0  # bits
    mantissa: int = 0


DTYPES = {  # 6.1
    dtype.id: dtype
    for dtype in (
        Dtype(1, "bool", 1, 1),
        Dtype(2, "uint8", 1, 1),
        Dtype(3, "int8", 1, 1),
        Dtype(4, "uint16", 2, 2),
        Dtype(5, "int16", 2, 2),
        Dtype(6, "uint32", 4, 4),
        Dtype(7, "int32", 4, 4),
        Dtype(8, "uint64", 8, 8),
        Dtype(9, "int64", 8, 8),
        Dtype(10, "float16", 2, 2, 5, 10),
        Dtype(11, "bfloat16", 2, 2, 8, 7),
        Dtype(12, "float32", 4, 4, 8, 23),
        Dtype(13, "float64", 8, 8, 11, 52),
        Dtype(14, "complex32", 4, 2, 5, 10),
        Dtype(15, "complex64", 8, 4, 8, 23),
        Dtype(16, "complex128", 16, 8, 11, 52),
        Dtype(17, "float8_e4m3fn", 1, 1, 4, 3),
        Dtype(18, "float8_e4m3fnuz", 1, 1, 4, 3),
        Dtype(19, "float8_e5m2", 1, 1, 5, 2),
        Dtype(20, "float8_e5m2fnuz", 1, 1, 5, 2),
        Dtype(21, "float8_e8m0fnu", 1, 1),
        Dtype(22, "float4_e2m1fn_x2", 1, 1),
    )
}


class Recipe(NamedTuple):  # 3.2
    transform: int
    parameter: int
    bits: list[int]
    contexts: list[tuple[int, int]]  # kind and plane, for each plane


def has_parameter(transform: int) -> bool:
    return transform in (FLOAT_KEYS, NONZERO_KEYS)


def plane_bits(transform: int, dtype: Dtype, parameter: int = 0) -> list[int] | None:
    """symbol_bits of each plane (6.2 to 6.4), or None where the transform does not apply to the dtype."""
    if transform == IDENTITY:
        return [8 * dtype.size]
    if transform == BYTE_PLANES:
        return [8] * dtype.component if dtype.component > 1 else None
    if not dtype.exponent or (has_parameter(transform) and not form_of(parameter).fits(dtype)):
        return None
    if has_parameter(transform):
        return [MASK_BITS] * (transform == NONZERO_KEYS) + key_bits(form_of(parameter), dtype)
    high = [dtype.exponent - 8] if dtype.exponent > 8 else []
    return [min(dtype.exponent, 8), *high, dtype.mantissa % 8 + 1, *[8] * (dtype.mantissa // 8)]


def may_have_context(transform: int, plane: int) -> bool:
    return transform != IDENTITY and (transform, plane) != (NONZERO_KEYS, 0)


def decode_planes(
    recipe: Recipe, streams: Sequence[tuple[int, int]], stored: bytes, offset: int, elements: int, dtype: Dtype
) -> bytes:
    """The raw bytes of a block from its streams (coder, size), which lie at `offset`."""
    count = elements if recipe.transform == IDENTITY else elements * dtype.size // dtype.component
    ends = [0]
    for _, size in streams:
        ends.append(ends[-1] + size)
    planes = [b""] * len(streams)

    def decode_plane(k: int) -> bytes:
        kind, other = recipe.contexts[k]
        context = Context(kind, planes[other] if kind == OTHER_PLANE else b"")
        stream = stored[ends[k] : ends[k + 1]]
        return decode_stream(streams[k][0], stream, count, recipe.bits[k], offset + ends[k], context)

    later = range(len(planes))
    if recipe.transform == NONZERO_KEYS:  # the mask says how many symbols the others have
        planes[0] = decode_plane(0)
        require(3 not in planes[0], "stream.mask", offset)
        count, later = planes[0].count(1), later[1:]
    for k in reversed(later):  # contexts are later planes
        planes[k] = decode_plane(k)

    if recipe.transform == IDENTITY:
        return planes[0]
    if recipe.transform == FLOAT_FIELDS:
        return join_float_fields(planes, dtype)
    if recipe.transform == BYTE_PLANES:
        return bytes(byte for component in zip(*planes, strict=True) for byte in component)
    components = join_keys(planes[later.start :], form_of(recipe.parameter), dtype)
    if recipe.transform == NONZERO_KEYS:
        components = spread(components, planes[0], dtype)
    return b"".join(x.to_bytes(dtype.component, "little") for x in components)


def decode_stream(
    coder: int, stream: bytes, count: int, bits: int, offset: int, context: Context = NO_CONTEXT
) -> bytes:  # 6.5
    """The symbols of a plane, ceil(bits / 8) bytes each."""
    width, raw_size = -(-bits // 8), -(-count * bits // 8)
    require(len(stream) <= raw_size, "stream.size", offset)
    require(coder not in (RANS, CONTEXT_RANS) or bits <= 8, "stream.coder", offset)
    require(coder != PALETTE or bits > 8, "stream.coder", offset)
    if coder == RAW:
        require(len(stream) == raw_size, "stream.size", offset)
        symbols = stream if bits % 8 == 0 else unpack(stream, count, bits, offset)
    elif coder == CONSTANT:
        require(len(stream) == width, "stream.size", offset)
        symbols = stream * count
    elif coder == ZSTD:
        symbols = decode_zstd(stream, count * width, offset)
    elif coder == RANS:
        symbols = decode_rans(stream, count, offset)
    elif coder == CONTEXT_RANS:
        symbols = decode_context_rans(stream, count, bits, context, offset)
    else:
        symbols = decode_palette(stream, count, width, offset)
    require(bits >= 8 or all(symbol < 1 << bits for symbol in symbols), "stream.symbol", offset)
    return symbols


def decode_palette(stream: bytes, count: int, width: int, offset: int) -> bytes:
    require(len(stream) >= 4, "palette.value_count", offset)
    value_count, coder = stream[0] + 1, stream[1]
    require(coder in (RAW, ZSTD, CONTEXT_RANS), "palette.coder", offset + 1)
    require(stream[2:4] == bytes(2), "palette.reserved", offset + 2)
    end = 4 + value_count * width
    require(end <= len(stream), "palette.values", offset + 4)
    values = [stream[at : at + width] for at in range(4, end, width)]
    indices = decode_stream(coder, stream[end:], count, index_bits(value_count), offset + end)
    require(not indices or max(indices) < value_count, "palette.index", offset + end)
    return b"".join(values[index] for index in indices)


def index_bits(value_count: int) -> int:
    return max(1, (value_count - 1).bit_length())


def unpack(stream: bytes, count: int, bits: int, offset: int) -> bytes:
    packed = int.from_bytes(stream, "little")
    require(packed >> count * bits == 0, "stream.unused_bits", offset)
    digits = f"{packed:0{count * bits}b}"[::-1]  # digit i is bit i of the stream
    return bytes(int(digits[i : i + bits][::-1], 2) for i in range(0, count * bits, bits))


def decode_zstd(stream: bytes, size: int, offset: int) -> bytes:
    require(stream[:4] == zstandard.FRAME_HEADER, "zstd.magic", offset)  # nor a skippable frame
    try:
        frame = zstandard.get_frame_parameters(stream)
        require(frame.content_size == size, "zstd.content_size", offset)
        require(frame.window_size <= MAX_BLOCK_BYTES, "zstd.window_size", offset)
        require(frame.dict_id == 0, "zstd.dictionary", offset)
        symbols = zstandard.ZstdDecompressor().decompress(stream, max_output_size=size, allow_extra_data=False)
    except zstandard.ZstdError:
        raise FormatError("corrupt", "zstd.frame", offset) from None
    require(len(symbols) == size, "zstd.content_size", offset)
    return symbols


def join_float_fields(planes: list[bytes], dtype: Dtype) -> bytes:  # 6.3
    """Undoes the split: exponent planes, then sign and top mantissa bits, then the rest of the mantissa."""
    head = 2 if dtype.exponent > 8 else 1
    top = dtype.mantissa % 8
    raw = bytearray()
    for i in range(len(planes[0])):
        exponent = planes[0][i] | (planes[1][i] << 8 if head == 2 else 0)
        sign, mantissa = planes[head][i] >> top, planes[head][i] & (1 << top) - 1
        for plane in planes[head + 1 :]:
            mantissa = mantissa << 8 | plane[i]
        component = sign << 8 * dtype.component - 1 | exponent << dtype.mantissa | mantissa
        raw += component.to_bytes(dtype.component, "little")
    return bytes(raw)
