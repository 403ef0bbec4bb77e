"""A small writer of mithril archives in plain Python: any transform and coder that the format allows, and broken ones.

`changes` replaces single fields while all checksums and ids that cover them are computed from what is written, so that
an archive can be wrong in one field alone. Its keys are paths such as `header.minor`, `entry0.dims`,
`frame0.block1.stored_size` or `frame0.block0.plane2.stream`; its values are the new value, or a function of the right
one. A key that names no field is an error.
"""

import math
import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import zstandard

from .decoder import FOOTER_MAGIC, HEADER_MAGIC, align, xxh3_64, xxh3_128
from .planes import DTYPES, Dtype, plane_bits

DTYPES_BY_NAME = {dtype.name: dtype for dtype in DTYPES.values()}
KINDS = {"tensor": 0, "alias": 1, "value": 2, "foreign": 3}
TRANSFORMS = {"identity": 0, "byte_planes": 1, "float_fields": 2}
CODERS = {"raw": 0, "constant": 1, "zstd": 2, "rans": 3}


@dataclass
class Item:
    """An entry to write. `codings` holds (transform, coder or coder per plane) of the blocks in turn, the last one for
    all the rest. Coder "smallest" takes what is smallest for the plane; "zstd" and "rans" become raw where their stream
    would be longer than the raw one, which the format forbids, and rans on planes of more than 8 bits."""

    name: str = ""
    dtype: str = "uint8"
    shape: Sequence[int] = ()
    data: bytes = b""
    kind: str = "tensor"
    dim_order: Sequence[int] | None = None
    block_elements: int | None = None
    codings: Sequence[tuple[str, str | Sequence[str]]] = (("identity", "raw"),)
    target: int = 0


class Changes:
    def __init__(self, changes: Mapping[str, Any]) -> None:
        self.changes = changes
        self.fields: dict[str, Any] = {}  # all there are, as they were before the change

    def apply(self, path: str, value: Any) -> Any:
        self.fields[path] = value
        change = self.changes.get(path, value)
        return change(value) if callable(change) else change


class Structure:
    """The bytes of one structure, field by field; every method returns what it really wrote."""

    def __init__(self, changes: Changes, name: str) -> None:
        self.changes, self.name, self.data = changes, name, bytearray()

    def integer(self, width: int, field: str, value: int) -> int:
        value = self.changes.apply(f"{self.name}.{field}", value)
        self.data += value.to_bytes(width, "little")
        return value

    def octets(self, field: str, value: bytes) -> bytes:
        value = self.changes.apply(f"{self.name}.{field}", value)
        self.data += value
        return value

    def sized(self, field: str, value: bytes) -> None:
        """A size and as many bytes."""
        value = self.changes.apply(f"{self.name}.{field}", value)
        self.integer(8, f"{field}_size", len(value))
        self.data += value

    def checksum(self) -> None:
        self.integer(8, "checksum", xxh3_64(bytes(self.data)))

    def padded(self, position: int) -> bytes:
        """The structure with the padding behind it, when it begins at `position`."""
        end = position + len(self.data)
        padding: bytes = self.changes.apply(f"{self.name}.padding", bytes(align(end) - end))
        return bytes(self.data) + padding


def encode(
    items: Sequence[Item],
    metadata: Mapping[str, str] | Sequence[tuple[bytes, bytes]] = (),
    *,
    zstd: int = 10507,
    changes: Mapping[str, Any] | None = None,
) -> bytes:
    """An archive. Metadata given as a mapping is sorted; a sequence of byte pairs is written as it is."""
    change = Changes(changes or {})
    archive = write_archive(change, items, metadata, zstd)
    unknown = set(change.changes) - set(change.fields)
    if unknown:
        raise KeyError(f"no such field: {sorted(unknown)}")
    return archive


def fields(items: Sequence[Item], metadata: Mapping[str, str]) -> dict[str, Any]:
    """The fields of an archive and their values: what `changes` can replace."""
    change = Changes({})
    write_archive(change, items, metadata, 10507)
    return change.fields


def write_archive(
    change: Changes, items: Sequence[Item], metadata: Mapping[str, str] | Sequence[tuple[bytes, bytes]], zstd: int
) -> bytes:
    header = Structure(change, "header")
    header.octets("magic", HEADER_MAGIC)
    write_versions(header, zstd)
    header.octets("reserved", bytes(24))
    header.checksum()
    archive = bytes(header.data)

    entries = b""
    for number, item in enumerate(items):
        frame = Frame(change, number, item) if item.kind != "alias" else None
        if frame:
            archive += change.apply(f"frame{number}.gap", b"")
            frame.start(len(archive))
            archive += frame.data
        entries += write_entry(change, number, item, frame)

    index = Structure(change, "index")
    index_offset = len(archive)
    index.octets("magic", b"MIDX")
    index.integer(4, "reserved", 0)
    if isinstance(metadata, Mapping):
        metadata = sorted((key.encode(), value.encode()) for key, value in metadata.items())
    index.integer(8, "entry_count", len(items))
    index.integer(8, "metadata_count", len(metadata))
    for number, (key, value) in enumerate(metadata):
        index.sized(f"metadata{number}.key", key)
        index.sized(f"metadata{number}.value", value)
    index.data += entries
    index.octets("extra", b"")
    archive += index.padded(index_offset)

    footer = Structure(change, "footer")
    footer.integer(8, "archive_size", len(archive) + 128)
    footer.integer(8, "index_offset", index_offset)
    footer.integer(8, "index_size", len(index.data))
    footer.integer(8, "reserved", 0)
    footer.octets("content_id", xxh3_128(bytes(index.data)))
    write_versions(footer, zstd)
    footer.octets("reserved2", bytes(40))
    footer.checksum()
    footer.octets("magic", FOOTER_MAGIC)
    return archive + bytes(footer.data)


def write_versions(structure: Structure, zstd: int) -> None:
    structure.integer(2, "major", 1)
    structure.integer(2, "minor", 0)
    structure.integer(4, "zstd", zstd)
    structure.integer(8, "must_understand", 0)
    structure.integer(8, "may_ignore", 0)


class Frame:
    """The blocks and the table of one item; `start` lays them out."""

    def __init__(self, changes: Changes, number: int, item: Item) -> None:
        self.changes, self.name, self.item = changes, f"frame{number}", item
        self.dtype = DTYPES_BY_NAME[item.dtype]
        self.numel = math.prod(item.shape)
        assert len(item.data) == self.numel * self.dtype.size, "data is not that of the shape"
        self.raw_checksums: list[int] = []
        self.data = b""
        self.table_offset = self.table_size = self.block_elements = self.offset = 0

    def start(self, offset: int) -> None:
        self.offset = offset
        item, size = self.item, self.dtype.size
        self.block_elements = item.block_elements or (1 << 20) // size
        count = -(-self.numel // self.block_elements)
        codings = [item.codings[min(k, len(item.codings) - 1)] for k in range(count)]
        transforms = list(dict.fromkeys(transform for transform, _ in codings))
        records = b""
        for k, (transform, coders) in enumerate(codings):
            raw = item.data[k * self.block_elements * size :][: self.block_elements * size]
            records += self.write_block(k, raw, transforms.index(transform), transform, coders)

        table = Structure(self.changes, f"{self.name}.table")
        table.octets("magic", b"MTBL")
        table.integer(2, "base_kind", 0)
        table.integer(2, "reserved", 0)
        self.block_elements = table.integer(8, "block_elements", self.block_elements)
        table.integer(8, "block_count", count)
        table.integer(8, "recipe_count", len(transforms))
        table.integer(8, "model_count", 0)
        table.octets("base", b"")
        for k, transform in enumerate(transforms):
            table.data += self.write_recipe(k, transform)
        table.octets("models", b"")
        table.data += records
        table.octets("extra", b"")
        table.checksum()
        self.table_offset, self.table_size = self.offset + len(self.data), len(table.data)
        self.data = self.changes.apply(f"{self.name}.data", self.data + table.padded(self.table_offset))

    def write_recipe(self, number: int, transform: str) -> bytes:
        recipe = Structure(self.changes, f"{self.name}.recipe{number}")
        bits = plane_bits(TRANSFORMS[transform], self.dtype)
        assert bits, f"{transform} is not for {self.dtype.name}"
        bits = self.changes.apply(f"{recipe.name}.symbol_bits", bits)
        recipe.integer(2, "transform", TRANSFORMS[transform])
        recipe.integer(2, "parameter", 0)
        recipe.integer(2, "plane_count", len(bits))
        recipe.integer(2, "reserved", 0)
        for k, symbol_bits in enumerate(bits):
            recipe.integer(1, f"plane{k}.symbol_bits", symbol_bits)
            recipe.integer(1, f"plane{k}.context_kind", 0)
            recipe.integer(2, f"plane{k}.context_plane", 0)
        return bytes(recipe.data)

    def write_block(self, number: int, raw: bytes, recipe: int, transform: str, coders: str | Sequence[str]) -> bytes:
        """Adds the block to the frame, and returns its record."""
        name = f"{self.name}.block{number}"
        block, streams = Structure(self.changes, name), []
        planes = split(raw, transform, self.dtype)
        coders = [coders] * len(planes) if isinstance(coders, str) else coders
        for k, ((bits, symbols), coder) in enumerate(zip(planes, coders, strict=True)):
            coder, stream = encode_stream(coder, symbols, bits)
            streams.append((coder, block.octets(f"plane{k}.stream", stream)))
        self.data += block.padded(self.offset + len(self.data))

        record = Structure(self.changes, name)
        record.integer(8, "stored_size", len(block.data))
        record.integer(8, "stored_checksum", xxh3_64(bytes(block.data)))
        self.raw_checksums.append(record.integer(8, "raw_checksum", xxh3_64(raw)))
        record.integer(2, "recipe", recipe)
        record.integer(2, "envelope", 0)
        record.integer(4, "envelope_size", 0)
        record.octets("envelope_field", b"")
        for k, (coder, stream) in enumerate(streams):
            record.integer(2, f"plane{k}.coder", CODERS[coder])
            record.integer(2, f"plane{k}.reserved", 0)
            record.integer(4, f"plane{k}.model", 0)
            record.integer(8, f"plane{k}.stream_size", len(stream))
        record.octets("extra", b"")
        return bytes(record.data)


def split(raw: bytes, transform: str, dtype: Dtype) -> list[tuple[int, list[bytes]]]:
    """The planes of a block: symbol bits, and the symbols as ceil(bits / 8) bytes each."""
    if transform == "identity":
        return [(8 * dtype.size, [raw[i : i + dtype.size] for i in range(0, len(raw), dtype.size)])]
    width, planes = dtype.component, []
    components = [int.from_bytes(raw[i : i + width], "little") for i in range(0, len(raw), width)]
    if transform == "byte_planes":
        fields = [(8 * k, 8) for k in range(width)]  # lowest bit and bits of each plane
        planes = [[x >> low & (1 << bits) - 1 for x in components] for low, bits in fields]
        return [(8, symbols_of(plane)) for plane in planes]

    mantissa, exponent = dtype.mantissa, dtype.exponent
    top = mantissa % 8
    exponents = [x >> mantissa & (1 << exponent) - 1 for x in components]
    result = [(min(exponent, 8), symbols_of([e % 256 for e in exponents]))]
    if exponent > 8:
        result.append((exponent - 8, symbols_of([e // 256 for e in exponents])))
    signs = [x >> (8 * width - 1) << top | x % (1 << mantissa) >> (mantissa - top) for x in components]
    result.append((top + 1, symbols_of(signs)))
    for low in range(mantissa - top - 8, -1, -8):
        result.append((8, symbols_of([x >> low & 255 for x in components])))
    return result


def symbols_of(plane: list[int]) -> list[bytes]:
    return [bytes([symbol]) for symbol in plane]


def encode_stream(coder: str, symbols: list[bytes], bits: int) -> tuple[str, bytes]:
    if coder == "smallest":
        streams = [encode_stream(name, symbols, bits) for name in ("raw", "zstd", "rans")]
        if len(set(symbols)) == 1:
            streams.append(encode_stream("constant", symbols, bits))
        return min(streams, key=lambda stream: len(stream[1]))
    if coder == "raw":
        return coder, pack(symbols, bits)
    if coder == "constant":
        assert len(set(symbols)) == 1, "the symbols of the plane differ"
        return coder, symbols[0]
    raw = pack(symbols, bits)
    if coder == "rans":
        stream = rans_stream(b"".join(symbols)) if bits <= 8 else raw + b"."
    else:
        stream = zstandard.ZstdCompressor(level=3).compress(b"".join(symbols))
    return (coder, stream) if len(stream) <= len(raw) else ("raw", raw)


def rans_stream(symbols: bytes, lanes: int = 64, table: int = 16) -> bytes:
    """Section 6.5: the commonest values in the table, the next 15 as nibbles."""
    common = [value for value, _ in Counter(symbols).most_common(table - 1 + 15)] or [0]
    values, rare = common[: table - 1], bytes(common[table - 1 :])
    size = len(values) + 1
    shares = [1 + 255 * symbols.count(value) // (len(symbols) + 1) * (256 - size) // 256 for value in values]
    frequencies = [256 - 1 - sum(shares[1:]), *shares[1:], 1]
    states, coded, escapes = [256] * lanes, bytearray(), []
    padded = symbols + bytes(values[:1]) * (-len(symbols) % lanes)
    for j in reversed(range(len(padded))):
        k = values.index(padded[j]) if padded[j] in values else size - 1
        if k == size - 1:
            escapes.insert(0, padded[j])
        if states[j % lanes] // 256 >= frequencies[k]:
            coded.insert(0, states[j % lanes] % 256)
            states[j % lanes] //= 256
        head, rest = divmod(states[j % lanes], frequencies[k])
        states[j % lanes] = 256 * head + sum(frequencies[:k]) + rest
    numbers = [rare.index(value) if value in rare else 15 for value in escapes]
    numbers += [0] * (len(numbers) % 2)
    raw = bytes(value for value in escapes if value not in rare)
    head = struct.pack("<BBHIII", lanes, size, 0, len(escapes), len(raw), len(coded)) + bytes(values + frequencies)
    head += bytes(state >> 8 for state in states) + bytes(state & 255 for state in states)
    nibbles = bytes(a | b << 4 for a, b in zip(numbers[::2], numbers[1::2], strict=True))
    return head + (rare.ljust(15, b"\0") if escapes else b"") + nibbles + raw + bytes(coded)


def pack(symbols: list[bytes], bits: int) -> bytes:
    if bits % 8 == 0:
        return b"".join(symbols)
    packed = 0
    for i, symbol in enumerate(symbols):
        packed |= symbol[0] << i * bits
    return packed.to_bytes(-(-len(symbols) * bits // 8), "little")


def write_entry(changes: Changes, number: int, item: Item, frame: Frame | None) -> bytes:
    entry = Structure(changes, f"entry{number}")
    body = Structure(changes, entry.name)
    body.integer(2, "kind", KINDS[item.kind])
    dtype = body.integer(2, "dtype", DTYPES_BY_NAME[item.dtype].id)
    body.integer(2, "layout", 0)
    dims = changes.apply(f"{entry.name}.dims", list(item.shape))
    dim_order = changes.apply(
        f"{entry.name}.dim_order", list(range(len(dims)) if item.dim_order is None else item.dim_order)
    )
    ndim = body.integer(2, "ndim", len(dims))
    body.sized("name", item.name.encode())
    content = Structure(changes, f"{entry.name}.content")
    content.data += dtype.to_bytes(2, "little") + ndim.to_bytes(2, "little") + bytes(4)
    shape = b"".join(dim.to_bytes(8, "little") for dim in dims) + bytes(dim_order)
    body.data += shape
    content.data += shape
    if frame is None:
        body.integer(8, "target", item.target)
    else:
        body.integer(8, "frame_offset", frame.offset)
        body.integer(8, "table_offset", frame.table_offset)
        body.integer(8, "table_size", frame.table_size)
        for term in (frame.block_elements, *frame.raw_checksums):
            content.data += term.to_bytes(8, "little")
        body.octets("content_id", xxh3_128(bytes(content.data)))
    body.octets("extra", b"")
    entry.integer(8, "entry_size", 8 + len(body.data) + 8)
    entry.data += body.data
    entry.checksum()
    return bytes(entry.data)
