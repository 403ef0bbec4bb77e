"""Reads and changes index files as docs/dedup-index-format.md describes them: the standard library and `xxhash`."""

import struct
from collections.abc import Iterator

import xxhash

SECTIONS = ("ids", "id_bytes", "digests", "hashes", "hash_numbers", "text_offsets", "text_bytes")
DIRECTORY = "<IIIIQIBBBxBBBB4xdQQ"
FIELDS = (
    *("sketch_version", "permutations", "bands", "rows", "seed", "ngram_size"),
    *("form", "fold_case", "ignore_punctuation", "measure", "verify", "stores_texts", "ids"),
    *("threshold", "documents", "seen"),
)


def align(offset: int) -> int:
    return -offset % 64 + offset


def directory_of(data: bytes) -> tuple[int, int]:
    return struct.unpack_from("<QQ", data, len(data) - 56)


def places(data: bytes) -> dict[str, tuple[int, int]]:
    """Offset and size of each section."""
    offset, size = directory_of(data)
    names = [*SECTIONS, *(f"band {b}" for b in range((size - 64) // 24 - len(SECTIONS)))]
    return {name: struct.unpack_from("<QQ", data, offset + 64 + 24 * i) for i, name in enumerate(names)}


def read_index(data: bytes) -> tuple[dict[str, float], dict[str, bytes]]:
    """Fields of the directory, and the sections; all checksums and places are checked."""
    assert data[:8] == b"\x89MDI\r\n\x1a\n"
    assert struct.unpack_from("<HH", data, 8) == (1, 0)
    assert not any(data[12:56])
    assert data[-8:] == b"MDI-end\n"
    assert len(data) == struct.unpack_from("<Q", data, len(data) - 64)[0]
    assert all(data[at : at + 8] == sum_ for at, sum_ in sums(data))
    offset, size = directory_of(data)
    fields = dict(zip(FIELDS, struct.unpack_from(DIRECTORY, data, offset), strict=True))
    assert size == 64 + 24 * (len(SECTIONS) + fields["bands"])
    end, sections = 64, {}
    for name, (begin, length) in places(data).items():
        assert begin == end
        sections[name] = data[begin : begin + length]
        end = align(begin + length)
        assert not any(data[begin + length : end])
    assert (end, align(offset + size)) == (offset, len(data) - 64)
    return fields, sections


def sums(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Where each checksum stands and what it should be, those that others cover first."""

    def xxh3(begin: int, end: int) -> bytes:
        return struct.pack("<Q", xxhash.xxh3_64_intdigest(data[begin:end]))

    offset, size = directory_of(data)
    yield 56, xxh3(0, 56)
    for i, (begin, length) in enumerate(places(data).values()):
        yield offset + 64 + 24 * i + 16, xxh3(begin, begin + length)
    yield len(data) - 40, xxh3(offset, offset + size)
    yield len(data) - 16, xxh3(len(data) - 64, len(data) - 16)


def changed(data: bytes, at: int, form: str, value: float) -> bytes:
    """`data` with one value changed and all checksums right again."""
    changed = bytearray(data)
    struct.pack_into(form, changed, at, value)
    for _ in range(3):  # a checksum may cover others
        for where, sum_ in list(sums(bytes(changed))):
            changed[where : where + 8] = sum_
    return bytes(changed)
