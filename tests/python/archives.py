"""Archives of the native writer and reader, beside those of the reference."""

import math
from collections.abc import Sequence
from typing import Any

from mithril._native import core
from tests.reference.decoder import Archive
from tests.reference.encoder import Item


def read_entry(reader: Any, number: int) -> bytes:
    reader.check(number)
    entry = reader.entry(number)
    output = bytearray(entry.raw_size)
    reader.read([(number, output, 0, math.prod(entry.shape))])
    return bytes(output)


def read_all(archive: bytes) -> list[bytes]:
    """Everything the native reader can say about an archive: the raw bytes of all entries, after all checks."""
    reader = core.ArchiveReader.from_buffer(archive)
    data = [read_entry(reader, number) for number in range(len(reader))]
    reader.verify()
    reader.verify(decode=True)
    return data


def write(items: Sequence[Item], metadata: dict[str, str] | None = None, part: int = 1 << 20, **options: Any) -> bytes:
    """An archive of the native writer; the codings of the items are its own choice."""
    writer = core.ArchiveWriter(**options)
    for item in items:
        if item.kind == "alias":
            writer.add_alias(item.name, item.target)
        else:
            writer.add(item.name, item.data, item.dtype, item.shape, dim_order=item.dim_order, kind=item.kind)
    writer.finish(metadata or {})
    archive = b""
    while (piece := writer.next_part(part)) is not None:
        archive += memoryview(piece)
    assert writer.archive_size == len(archive)
    assert writer.content_id == archive[-96:-80].hex()
    return archive


def assert_same(reference: Archive, archive: bytes) -> None:
    """The native reader says of the archive what the reference decoder says."""
    reader = core.ArchiveReader.from_buffer(archive)
    assert reader.metadata() == reference.metadata
    assert reader.content_id == reference.content_id.hex()
    assert reader.archive_size == len(archive)
    assert reader.names() == [entry.name for entry in reference.entries]
    for number, entry in enumerate(reference.entries):
        native = reader.entry(number)
        assert (native.name, native.kind, native.dtype) == (entry.name, entry.kind, entry.dtype.name)
        assert (native.shape, native.dim_order, native.target) == (entry.shape, entry.dim_order, entry.target)
        assert (native.raw_size, native.content_id) == (len(entry.raw), entry.content_id.hex())
        assert reader.find(entry.name) == number
    assert read_all(archive) == [entry.raw for entry in reference.entries]


def assert_holds(reference: Archive, items: Sequence[Item]) -> None:
    assert len(reference.entries) == len(items)
    for entry, item in zip(reference.entries, items, strict=True):
        source = items[item.target] if item.kind == "alias" else item
        assert (entry.name, entry.kind) == (item.name, item.kind)
        assert (entry.dtype.name, entry.shape, entry.raw) == (source.dtype, tuple(source.shape), source.data)
        assert entry.dim_order == tuple(range(len(source.shape)) if source.dim_order is None else source.dim_order)
