"""A small writer of mithril archives in plain Python: any transform and coder that the format allows, and broken ones.

`changes` replaces single fields while all checksums and ids that cover them are computed from what is written, so that
an archive can be wrong in one field alone. Its keys are paths such as `header.minor`, `entry0.dims`,
`frame0.block1.stored_size` or `frame0.block0.plane2.stream`; its values are the new value, or a function of the right
one. A key that names no field is an error.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import zstandard

from .decoder import FOOTER_MAGIC, HEADER_MAGIC, align, xxh3_64, xxh3_128
from .keys import form_of, split_keys, split_mask
from .planes import DTYPES, Dtype, index_bits, plane_bits
from .rans import NO_CONTEXT, NOTHING, OTHER_PLANE, Context, context_rans_stream, rans_stream

DTYPES_BY_NAME = {dtype.name: dtype for dtype in DTYPES.values()}
KINDS = {"tensor": 0, "alias": 1, "value": 2, "foreign": 3}
TRANSFORMS = {"identity": 0, "byte_planes": 1, "float_fields": 2, "float_keys": 3, "nonzero_keys": 4}
CODERS = {"raw": 0, "constant": 1, "zstd": 2, "rans": 3, "context_rans": 4, "palette": 5}
MINOR = 1  # version


@dataclass(frozen=True)
class Coder:
    """A coder with options: of `context_rans_stream`, or `inner` for a palette."""

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)


class Coding(NamedTuple):
    """Of a block. `coders`: one for all planes, or one for each. `contexts`: (kind, plane) by the number of the plane
    that has it."""

    transform: str
    coders: str | Coder | Sequence[str | Coder]
    parameter: int = 0
    contexts: Mapping[int, tuple[int, int]] = {}

    def recipe(self) -> tuple[str, int, tuple[tuple[int, tuple[int, int]], ...]]:
        return self.transform, self.parameter, tuple(sorted(self.contexts.items()))


@dataclass
class Item:
    """An entry to write. `codings` holds those of the blocks in turn, as Coding or as a plain tuple, the last one for
    all the rest. Coder "smallest" takes what is smallest for the plane; the others become raw where the plane is not
    for them, or where their stream would be longer than the raw one, which the format forbids."""

    name: str = ""
    dtype: str = "uint8"
    shape: Sequence[int] = ()
    data: bytes = b""
    kind: str = "tensor"
    dim_order: Sequence[int] | None = None
    block_elements: int | None = None
    codings: Sequence[Coding | tuple[Any, ...]] = (Coding("identity", "raw"),)
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
    structure.integer(2, "minor", MINOR)
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
        codings = [Coding(*item.codings[min(k, len(item.codings) - 1)]) for k in range(count)]
        recipes = {coding.recipe(): coding for coding in codings}
        numbers = list(recipes)
        records = b""
        for k, coding in enumerate(codings):
            raw = item.data[k * self.block_elements * size :][: self.block_elements * size]
            records += self.write_block(k, raw, numbers.index(coding.recipe()), coding)

        table = Structure(self.changes, f"{self.name}.table")
        table.octets("magic", b"MTBL")
        table.integer(2, "base_kind", 0)
        table.integer(2, "reserved", 0)
        self.block_elements = table.integer(8, "block_elements", self.block_elements)
        table.integer(8, "block_count", count)
        table.integer(8, "recipe_count", len(recipes))
        table.integer(8, "model_count", 0)
        table.octets("base", b"")
        for k, coding in enumerate(recipes.values()):
            table.data += self.write_recipe(k, coding)
        table.octets("models", b"")
        table.data += records
        table.octets("extra", b"")
        table.checksum()
        self.table_offset, self.table_size = self.offset + len(self.data), len(table.data)
        self.data = self.changes.apply(f"{self.name}.data", self.data + table.padded(self.table_offset))

    def write_recipe(self, number: int, coding: Coding) -> bytes:
        recipe = Structure(self.changes, f"{self.name}.recipe{number}")
        transform = TRANSFORMS[coding.transform]
        bits = plane_bits(transform, self.dtype, coding.parameter)
        assert bits, f"{coding.transform}, parameter {coding.parameter} is not for {self.dtype.name}"
        bits = self.changes.apply(f"{recipe.name}.symbol_bits", bits)
        recipe.integer(2, "transform", transform)
        recipe.integer(2, "parameter", coding.parameter)
        recipe.integer(2, "plane_count", len(bits))
        recipe.integer(2, "reserved", 0)
        for k, symbol_bits in enumerate(bits):
            recipe.integer(1, f"plane{k}.symbol_bits", symbol_bits)
            kind, plane = coding.contexts.get(k, (NOTHING, 0))
            recipe.integer(1, f"plane{k}.context_kind", kind)
            recipe.integer(2, f"plane{k}.context_plane", plane)
        return bytes(recipe.data)

    def write_block(self, number: int, raw: bytes, recipe: int, coding: Coding) -> bytes:
        """Adds the block to the frame, and returns its record."""
        name = f"{self.name}.block{number}"
        block, streams = Structure(self.changes, name), []
        planes = split(raw, coding, self.dtype)
        coders = coding.coders
        coders = [coders] * len(planes) if isinstance(coders, (str, Coder)) else coders
        for k, ((bits, symbols), coder) in enumerate(zip(planes, coders, strict=True)):
            kind, other = coding.contexts.get(k, (NOTHING, 0))
            context = Context(kind, b"".join(planes[other][1]) if kind == OTHER_PLANE else b"")
            name_of_coder, stream = encode_stream(coder, symbols, bits, context)
            streams.append((name_of_coder, block.octets(f"plane{k}.stream", stream)))
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


def split(raw: bytes, coding: Coding, dtype: Dtype) -> list[tuple[int, list[bytes]]]:
    """The planes of a block: symbol bits, and the symbols as ceil(bits / 8) bytes each."""
    transform = coding.transform
    if transform == "identity":
        return [(8 * dtype.size, [raw[i : i + dtype.size] for i in range(0, len(raw), dtype.size)])]
    width, planes = dtype.component, []
    components = [int.from_bytes(raw[i : i + width], "little") for i in range(0, len(raw), width)]
    if transform == "byte_planes":
        return [(8, symbols_of([x >> 8 * k & 255 for x in components])) for k in range(width)]
    if transform in ("float_keys", "nonzero_keys"):
        if transform == "nonzero_keys":
            mask, components = split_mask(components, dtype)
            planes.append(mask)
        planes += split_keys(components, form_of(coding.parameter), dtype)
        bits = plane_bits(TRANSFORMS[transform], dtype, coding.parameter)
        assert bits
        return [(b, symbols_of(plane)) for b, plane in zip(bits, planes, strict=True)]

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


def encode_stream(
    coder: str | Coder, symbols: list[bytes], bits: int, context: Context = NO_CONTEXT
) -> tuple[str, bytes]:
    coder = Coder(coder) if isinstance(coder, str) else coder
    name, options = coder.name, dict(coder.options)
    if context.kind == NOTHING:
        options.pop("classes", None)
    if name == "smallest":
        names = [name for name in CODERS if name != "constant" or len(set(symbols)) <= 1]
        streams = [encode_stream(name, symbols, bits, context) for name in names]
        return min(streams, key=lambda stream: len(stream[1]))
    if name == "constant" and symbols:
        assert len(set(symbols)) == 1, "the symbols of the plane differ"
        return name, symbols[0]
    raw = pack(symbols, bits)
    stream = raw + b"."  # too long: not for this plane
    if name == "zstd":
        stream = zstandard.ZstdCompressor(level=3).compress(b"".join(symbols))
    elif name == "rans" and bits <= 8:
        stream = rans_stream(b"".join(symbols), **options)
    elif name == "context_rans" and bits <= 8:
        stream = context_rans_stream(b"".join(symbols), context, **options)
    elif name == "palette" and bits > 8 and 0 < len(set(symbols)) <= 256:
        stream = palette_stream(symbols, **options)
    return (name, stream) if len(stream) <= len(raw) else ("raw", raw)


def palette_stream(symbols: list[bytes], inner: str | Coder = "raw") -> bytes:
    values = sorted(set(symbols))
    name, stream = encode_stream(inner, symbols_of([values.index(s) for s in symbols]), index_bits(len(values)))
    return bytes([len(values) - 1, CODERS[name], 0, 0]) + b"".join(values) + stream


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
