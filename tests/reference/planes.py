"""The registries: dtypes, and what the transforms and coders make of a block (docs/format.md, section 6)."""

from typing import NamedTuple

import zstandard

from .errors import FormatError, require

MAX_BLOCK_BYTES = 1 << 20
IDENTITY, BYTE_PLANES, FLOAT_FIELDS = 0, 1, 2  # transforms
RAW, CONSTANT, ZSTD, RANS = 0, 1, 2, 3  # coders


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
    elif coder == ZSTD:
        symbols = decode_zstd(stream, count * width, offset)
    else:
        require(bits <= 8, "stream.coder", offset)
        symbols = decode_rans(stream, count, offset)
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


def decode_rans(stream: bytes, count: int, offset: int) -> bytes:  # 6.5
    at = 0

    def take(size: int, field: str) -> bytes:
        nonlocal at
        require(size <= len(stream) - at, f"rans.{field}", offset + at)
        at += size
        return stream[at - size : at]

    lanes, size = take(1, "lanes")[0], take(1, "table_size")[0]
    require(lanes in (64, 128), "rans.lanes", offset)
    require(2 <= size <= 32, "rans.table_size", offset + 1)
    require(take(2, "reserved") == bytes(2), "rans.reserved", offset + 2)
    fields = ("escape_count", "raw_escape_count", "rans_size")
    escape_count, raw_count, rans_size = (int.from_bytes(take(4, field), "little") for field in fields)
    require(escape_count <= count, "rans.escape_count", offset + 4)
    values = take(size - 1, "values")
    require(len(set(values)) == size - 1, "rans.values", offset + 16)
    frequencies = take(size, "frequencies")
    require(0 not in frequencies and sum(frequencies) == 256, "rans.frequencies", offset + 15 + size)
    high, low = take(lanes, "high"), take(lanes, "low")
    require(0 not in high, "rans.high", offset + 15 + 2 * size)
    rare, nibbles = take(15 if escape_count else 0, "rare"), take(-(-escape_count // 2), "nibbles")
    raw, data = take(raw_count, "raw_escapes"), take(rans_size, "bytes")
    require(at == len(stream), "rans.size", offset)

    numbers = [half for byte in nibbles for half in (byte & 15, byte >> 4)]
    require(not any(numbers[escape_count:]), "rans.nibbles", offset)
    require(numbers.count(15) == raw_count, "rans.raw_escape_count", offset + 8)
    in_full = iter(raw)
    escapes = iter([rare[number] if number < 15 else next(in_full) for number in numbers[:escape_count]])
    slots = [k for k, frequency in enumerate(frequencies) for _ in range(frequency)]
    starts = [sum(frequencies[:k]) for k in range(size)]
    states, coded, symbols = [256 * x + y for x, y in zip(high, low, strict=True)], iter(data), bytearray()
    try:
        for j in range(-(-count // lanes) * lanes):
            head, slot = divmod(states[j % lanes], 256)
            k = slots[slot]
            state = frequencies[k] * head + slot - starts[k]
            states[j % lanes] = state if state >= 256 else 256 * state + next(coded)
            require(k < size - 1 or j < count, "rans.padding", offset)
            symbols.append(values[k] if k < size - 1 else next(escapes))
    except StopIteration:
        raise FormatError("corrupt", "rans.bytes", offset) from None
    require(states == [256] * lanes, "rans.states", offset)
    require(next(coded, None) is None and next(escapes, None) is None, "rans.bytes", offset)
    return bytes(symbols[:count])


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
