"""The registries: dtypes, and what the transforms and coders make of a block (docs/format.md, section 6)."""

from typing import NamedTuple

import zstandard

from .errors import FormatError, require

MAX_BLOCK_BYTES = 1 << 20
IDENTITY, BYTE_PLANES, FLOAT_FIELDS = 0, 1, 2  # transforms
RAW, CONSTANT, ZSTD = 0, 1, 2  # coders


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


def plane_bits(transform: int, dtype: Dtype) -> list[int] | None:
    """symbol_bits of each plane (6.2, 6.3), or None where the transform does not apply to the dtype."""
    if transform == IDENTITY:
        return [8 * dtype.size]
    if transform == BYTE_PLANES:
        return [8] * dtype.component if dtype.component > 1 else None
    if not dtype.exponent:
        return None
    high = [dtype.exponent - 8] if dtype.exponent > 8 else []
    return [min(dtype.exponent, 8), *high, dtype.mantissa % 8 + 1, *[8] * (dtype.mantissa // 8)]


def decode_planes(
    transform: int, streams: list[tuple[int, int]], stored: bytes, offset: int, elements: int, dtype: Dtype
) -> bytes:
    """The raw bytes of a block from its streams (coder, size), which lie at `offset`."""
    bits_of_planes = plane_bits(transform, dtype)
    assert bits_of_planes is not None
    count = elements if transform == IDENTITY else elements * dtype.size // dtype.component
    planes, at = [], 0
    for bits, (coder, size) in zip(bits_of_planes, streams, strict=True):
        planes.append(decode_stream(coder, stored[at : at + size], count, bits, offset + at))
        at += size
    if transform == IDENTITY:
        return planes[0]
    if transform == FLOAT_FIELDS:
        return join_float_fields(planes, dtype)
    raw = bytearray(count * dtype.component)
    for k, plane in enumerate(planes):
        raw[k :: dtype.component] = plane
    return bytes(raw)


def decode_stream(coder: int, stream: bytes, count: int, bits: int, offset: int) -> bytes:  # 6.4
    """The symbols of a plane, ceil(bits / 8) bytes each."""
    width, raw_size = -(-bits // 8), -(-count * bits // 8)
    require(len(stream) <= raw_size, "stream.size", offset)
    if coder == RAW:
        require(len(stream) == raw_size, "stream.size", offset)
        symbols = stream if bits % 8 == 0 else unpack(stream, count, bits, offset)
    elif coder == CONSTANT:
        require(len(stream) == width, "stream.size", offset)
        symbols = stream * count
    else:
        symbols = decode_zstd(stream, count * width, offset)
    require(bits >= 8 or all(symbol < 1 << bits for symbol in symbols), "stream.symbol", offset)
    return symbols


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
