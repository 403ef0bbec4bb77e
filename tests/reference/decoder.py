"""An independent decoder of the mithril archive format, written from docs/format.md alone.

Plain Python: the standard library, `xxhash` and `zstandard`. It is slow, holds the whole archive in memory, and checks
everything that section 9 of the page lists. Section numbers in comments are those of the page.
"""

import math
import struct
from collections.abc import Container
from dataclasses import dataclass, field

import xxhash

from .errors import FormatError, require
from .planes import (
    CONTEXT_KINDS,
    DTYPES,
    MAX_BLOCK_BYTES,
    NOTHING,
    OTHER_PLANE,
    Dtype,
    Recipe,
    decode_planes,
    has_parameter,
    may_have_context,
    plane_bits,
)

HEADER_MAGIC = bytes.fromhex("894D43500D0A1A0A")
FOOTER_MAGIC = b"MCP-end\n"
ALIGNMENT, HEADER_SIZE, FOOTER_SIZE = 64, 64, 128
MAX_NAME = MAX_KEY = 4096
MAX_VALUE = 64 << 20
MAX_DIMS, MAX_RECIPES, MAX_PLANES, MAX_MODELS = 64, 256, 16, 65536

KINDS = ("tensor", "alias", "value", "foreign")
CODERS, TRANSFORMS, BASES, ENVELOPES, LAYOUTS = range(6), range(5), {0}, {0}, {0}  # known ids


@dataclass
class Entry:
    name: str
    kind: str
    dtype: Dtype
    shape: tuple[int, ...]
    dim_order: tuple[int, ...]
    position: int  # of the entry in the archive, for errors
    target: int | None = None
    frame_offset: int = 0
    table_offset: int = 0
    table_size: int = 0
    content_id: bytes = b""
    blocks: "list[Block]" = field(default_factory=list)
    raw: bytes = b""


@dataclass
class Archive:
    entries: list[Entry]
    metadata: dict[str, str]
    content_id: bytes
    zstd_version: int


def xxh3_64(data: bytes) -> int:
    return xxhash.xxh3_64_intdigest(data)


def xxh3_128(data: bytes) -> bytes:
    return xxhash.xxh3_128_intdigest(data).to_bytes(16, "little")


def align(offset: int) -> int:
    return -(-offset // ALIGNMENT) * ALIGNMENT


class Cursor:
    """Reads the fields of one structure, data[position:end]; a field that leads out of it is corrupt."""

    def __init__(self, data: bytes, position: int, end: int) -> None:
        self.data, self.position, self.end = data, position, end
        self.at = position  # offset of the last field read, for errors

    def take(self, size: int, field: str) -> bytes:
        self.at = self.position
        require(size <= self.end - self.position, field, self.at)
        self.position += size
        return self.data[self.at : self.position]

    def integer(self, width: int, field: str) -> int:
        return int.from_bytes(self.take(width, field), "little")

    def integers(self, count: int, width: int, field: str) -> tuple[int, ...]:
        data = self.take(count * width, field)
        return tuple(int.from_bytes(data[i : i + width], "little") for i in range(0, len(data), width))

    def zero(self, size: int, field: str) -> None:
        require(not any(self.take(size, field)), field, self.at)

    def count(self, field: str, smallest: int, limit: int | None = None) -> int:
        """A count of records of at least `smallest` bytes each."""
        count = self.integer(8, field)
        require(limit is None or count <= limit, field, self.at)
        require(count * smallest <= self.end - self.position, field, self.at)
        return count

    def text(self, field: str, limit: int) -> str:
        size = self.integer(8, f"{field}_size")
        require(size <= limit, f"{field}_size", self.at)
        data = self.take(size, f"{field}_size")
        try:
            return data.decode("utf-8", "strict")
        except UnicodeDecodeError:
            raise FormatError("corrupt", field, self.at) from None

    def known(self, width: int, field: str, known: Container[int]) -> int:
        """An id: those not in `known` are unsupported, whether reserved or unknown."""
        number = self.integer(width, field)
        require(number in known, field, self.at, "unsupported")
        return number

    def finish(self, field: str) -> None:
        require(self.position == self.end, field, self.position)


def check_magic_and_checksum(data: bytes, start: int, magic_at: int, magic: bytes, sum_at: int, what: str) -> None:
    require(data[start + magic_at :][: len(magic)] == magic, f"{what}.magic", start + magic_at)
    stored = int.from_bytes(data[start + sum_at : start + sum_at + 8], "little")
    require(stored == xxh3_64(data[start : start + sum_at]), f"{what}.checksum", start + sum_at)


def read_versions(cursor: Cursor, what: str) -> tuple[int, ...]:
    major = cursor.known(2, f"{what}.major", {1})
    minor, zstd = cursor.integer(2, f"{what}.minor"), cursor.integer(4, f"{what}.zstd")
    return major, minor, zstd, cursor.known(8, f"{what}.must_understand", {0}), cursor.integer(8, f"{what}.may_ignore")


def read_header(data: bytes) -> tuple[int, ...]:  # section 2
    check_magic_and_checksum(data, 0, 0, HEADER_MAGIC, 56, "header")
    cursor = Cursor(data, 8, 56)
    versions = read_versions(cursor, "header")
    cursor.zero(24, "header.reserved")
    return versions


def check_has_footer(data: bytes) -> None:  # section 9, last paragraph
    footer = data[-FOOTER_SIZE:]
    if len(data) >= FOOTER_SIZE:
        checksum_matches = int.from_bytes(footer[112:120], "little") == xxh3_64(footer[:112])
        if checksum_matches or footer[120:] == FOOTER_MAGIC:
            return
    if len(data) >= HEADER_SIZE:
        read_header(data)
    else:
        require(HEADER_MAGIC.startswith(data[:8]), "header.magic", 0)
    raise FormatError("truncated", "footer", max(len(data) - FOOTER_SIZE, 0))


def read_footer(data: bytes) -> tuple[int, int, bytes, tuple[int, ...]]:  # section 5
    start = len(data) - FOOTER_SIZE
    check_magic_and_checksum(data, start, 120, FOOTER_MAGIC, 112, "footer")
    cursor = Cursor(data, start, start + 112)
    require(cursor.integer(8, "footer.archive_size") == len(data), "footer.archive_size", start)
    index_offset = cursor.integer(8, "footer.index_offset")
    require(index_offset % ALIGNMENT == 0 and HEADER_SIZE <= index_offset <= start, "footer.index_offset", cursor.at)
    index_size = cursor.integer(8, "footer.index_size")
    require(align(index_offset + index_size) == start, "footer.index_size", cursor.at)
    cursor.zero(8, "footer.reserved")
    content_id = cursor.take(16, "footer.content_id")
    versions = read_versions(cursor, "footer")
    cursor.zero(40, "footer.reserved")
    return index_offset, index_size, content_id, versions


def read_metadata(cursor: Cursor, count: int) -> dict[str, str]:
    metadata: dict[str, str] = {}
    last = None
    for _ in range(count):
        key = cursor.text("metadata.key", MAX_KEY)
        require(last is None or last < key.encode(), "metadata.key", cursor.at)  # so keys are unique, too
        last = key.encode()
        metadata[key] = cursor.text("metadata.value", MAX_VALUE)
    return metadata


def read_entry(data: bytes, position: int, end: int, earlier: list[Entry]) -> tuple[Entry, int]:  # section 4
    size = Cursor(data, position, end).integer(8, "entry.entry_size")
    require(40 <= size <= end - position, "entry.entry_size", position)
    cursor = Cursor(data, position + size - 8, position + size)
    require(
        cursor.integer(8, "entry.checksum") == xxh3_64(data[position : position + size - 8]),
        "entry.checksum",
        cursor.at,
    )

    cursor = Cursor(data, position + 8, position + size - 8)
    kind = KINDS[cursor.known(2, "entry.kind", range(len(KINDS)))]
    plain = kind in ("value", "foreign")
    dtype = DTYPES[cursor.known(2, "entry.dtype", DTYPES)]
    require(not plain or dtype.name == "uint8", "entry.dtype", cursor.at)
    cursor.known(2, "entry.layout", LAYOUTS)
    ndim = cursor.integer(2, "entry.ndim")
    require(ndim <= MAX_DIMS and (not plain or ndim == 1), "entry.ndim", cursor.at)
    name = cursor.text("entry.name", MAX_NAME)
    require(all(name != entry.name for entry in earlier), "entry.name", cursor.at)
    shape = cursor.integers(ndim, 8, "entry.dims")
    require(math.prod(filter(None, shape)) * dtype.size < 1 << 63, "entry.dims", cursor.at)
    dim_order = cursor.integers(ndim, 1, "entry.dim_order")
    require(sorted(dim_order) == list(range(ndim)), "entry.dim_order", cursor.at)
    entry = Entry(name, kind, dtype, shape, dim_order, position)
    if kind == "alias":
        entry.target = cursor.integer(8, "entry.target")
        require(entry.target < len(earlier) and earlier[entry.target].kind == "tensor", "entry.target", cursor.at)
        target = earlier[entry.target]
        same = (target.dtype, target.shape, target.dim_order) == (dtype, shape, dim_order)
        require(same, "entry.target", cursor.at)
    else:
        entry.frame_offset = cursor.integer(8, "entry.frame_offset")
        entry.table_offset = cursor.integer(8, "entry.table_offset")
        entry.table_size = cursor.integer(8, "entry.table_size")
        entry.content_id = cursor.take(16, "entry.content_id")
    cursor.finish("entry.entry_size")
    return entry, position + size


def check_tiling(data: bytes, entries: list[Entry], index_offset: int) -> None:
    position = HEADER_SIZE
    for entry in entries:
        if entry.kind != "alias":
            require(entry.frame_offset == position, "entry.frame_offset", entry.position)
            inside = entry.frame_offset <= entry.table_offset <= index_offset
            require(inside and entry.table_offset % ALIGNMENT == 0, "entry.table_offset", entry.position)
            end = entry.table_offset + entry.table_size
            position = align(end)
            require(position <= index_offset, "entry.table_size", entry.position)
            Cursor(data, end, position).zero(position - end, "table.padding")
    require(position == index_offset, "footer.index_offset", position)


@dataclass
class Block:
    recipe: Recipe
    stored_size: int
    stored_checksum: int
    raw_checksum: int
    streams: list[tuple[int, int]]  # coder, size


def read_table(data: bytes, entry: Entry) -> int:  # 3.1
    """Reads `entry.blocks`; returns block_elements."""
    start, size = entry.table_offset, entry.table_size
    numel = math.prod(entry.shape)
    require(size >= 48, "entry.table_size", entry.position)
    check_magic_and_checksum(data, start, 0, b"MTBL", size - 8, "table")
    cursor = Cursor(data, start + 4, start + size - 8)
    cursor.known(2, "table.base_kind", BASES)
    cursor.zero(2, "table.reserved")
    block_elements = cursor.integer(8, "table.block_elements")
    within = 1 <= block_elements <= MAX_BLOCK_BYTES // entry.dtype.size
    require(within, "table.block_elements", cursor.at)
    block_count = cursor.count("table.block_count", 48)
    require(block_count == -(-numel // block_elements), "table.block_count", cursor.at)
    recipe_count = cursor.count("table.recipe_count", 12, MAX_RECIPES)
    model_count = cursor.count("table.model_count", 16, MAX_MODELS)
    require(model_count == 0, "table.model_count", cursor.at, "unsupported")
    recipes = [read_recipe(cursor, entry.dtype) for _ in range(recipe_count)]
    entry.blocks = [read_block_record(cursor, recipes) for _ in range(block_count)]
    cursor.finish("table.size")

    content = struct.pack(f"<HHI{len(entry.shape)}Q", entry.dtype.id, len(entry.shape), 0, *entry.shape)
    content += bytes(entry.dim_order) + struct.pack("<Q", block_elements)
    content += b"".join(struct.pack("<Q", block.raw_checksum) for block in entry.blocks)
    require(xxh3_128(content) == entry.content_id, "entry.content_id", entry.position)
    return block_elements


def read_recipe(cursor: Cursor, dtype: Dtype) -> Recipe:  # 3.2
    transform = cursor.known(2, "recipe.transform", TRANSFORMS)
    start = cursor.at
    parameter = cursor.integer(2, "recipe.parameter")
    require(parameter == 0 or has_parameter(transform), "recipe.parameter", cursor.at, "unsupported")
    fits = not dtype.exponent or plane_bits(transform, dtype, parameter) is not None
    require(not has_parameter(transform) or fits, "recipe.parameter", cursor.at)
    plane_count = cursor.integer(2, "recipe.plane_count")
    require(1 <= plane_count <= MAX_PLANES, "recipe.plane_count", cursor.at)
    cursor.zero(2, "recipe.reserved")
    bits, contexts = [], []
    for k in range(plane_count):
        bits.append(cursor.integer(1, "recipe.symbol_bits"))
        kind = cursor.known(1, "recipe.context_kind", CONTEXT_KINDS)
        require(kind == NOTHING or may_have_context(transform, k), "recipe.context_kind", cursor.at)
        plane = cursor.integer(2, "recipe.context_plane")
        require(k < plane < plane_count if kind == OTHER_PLANE else plane == 0, "recipe.context_plane", cursor.at)
        contexts.append((kind, plane))
    require(bits == plane_bits(transform, dtype, parameter), "recipe.planes", start)
    return Recipe(transform, parameter, bits, contexts)


def read_block_record(cursor: Cursor, recipes: list[Recipe]) -> Block:  # 3.3
    stored_size = cursor.integer(8, "block.stored_size")
    start = cursor.at
    stored_checksum, raw_checksum = cursor.integers(2, 8, "block.checksums")
    recipe = cursor.integer(2, "block.recipe")
    require(recipe < len(recipes), "block.recipe", cursor.at)
    cursor.known(2, "block.envelope", ENVELOPES)
    cursor.zero(4, "block.envelope_size")
    streams = []
    for _ in recipes[recipe].bits:
        coder = cursor.known(2, "plane.coder", CODERS)
        cursor.zero(2, "plane.reserved")
        cursor.zero(4, "plane.model")
        streams.append((coder, cursor.integer(8, "plane.stream_size")))
    require(sum(size for _, size in streams) == stored_size, "block.stored_size", start)
    return Block(recipes[recipe], stored_size, stored_checksum, raw_checksum, streams)


def decode_frame(data: bytes, entry: Entry) -> None:  # section 3
    block_elements = read_table(data, entry)
    position, left = entry.frame_offset, math.prod(entry.shape)
    for block in entry.blocks:
        cursor = Cursor(data, position, entry.table_offset)
        stored = cursor.take(block.stored_size, "block.stored_size")
        require(xxh3_64(stored) == block.stored_checksum, "block.stored_checksum", position)
        cursor.zero(align(cursor.position) - cursor.position, "block.padding")
        elements = min(block_elements, left)
        raw = decode_planes(block.recipe, block.streams, stored, position, elements, entry.dtype)
        require(xxh3_64(raw) == block.raw_checksum, "block.raw_checksum", position)
        entry.raw += raw
        position, left = cursor.position, left - elements
    require(position == entry.table_offset, "entry.table_offset", entry.position)


def decode(data: bytes) -> Archive:
    """Reads and checks a whole archive, and decodes every block."""
    check_has_footer(data)
    index_offset, index_size, content_id, versions = read_footer(data)
    require(read_header(data) == versions, "footer.major", len(data) - 80)

    end = index_offset + index_size
    index = data[index_offset:end]
    require(index[:4] == b"MIDX", "index.magic", index_offset)
    require(xxh3_128(index) == content_id, "footer.content_id", len(data) - 96)
    cursor = Cursor(data, end, len(data))
    cursor.zero(align(end) - end, "index.padding")
    cursor = Cursor(data, index_offset + 4, end)
    cursor.zero(4, "index.reserved")
    entry_count = cursor.count("index.entry_count", 40)
    metadata_count = cursor.count("index.metadata_count", 16)
    metadata = read_metadata(cursor, metadata_count)
    entries: list[Entry] = []
    for _ in range(entry_count):
        entry, cursor.position = read_entry(data, cursor.position, end, entries)
        entries.append(entry)
    cursor.finish("footer.index_size")

    check_tiling(data, entries, index_offset)
    for entry in entries:
        if entry.target is None:
            decode_frame(data, entry)
        else:
            target = entries[entry.target]
            entry.raw, entry.content_id = target.raw, target.content_id
    return Archive(entries, metadata, content_id, versions[2])
