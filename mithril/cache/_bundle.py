"""Bundles: records and objects of a store in one file, to carry a cache to where there is no network.

The layout is in docs/cache-format.md. Each record keeps its own seal; the list of contents is sealed once more, so
that a signed bundle cannot be shortened or mixed unnoticed. Writer first, reader after.
"""

import json
import os
import struct
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from blake3 import blake3

from mithril._errors import CorruptError, StorageError, StorageNotFoundError, TruncatedError, UntrustedError
from mithril.cache._record import MAX_RECORD_BYTES, Record, decode_record, record_name
from mithril.cache._trust import TAG_BYTES, Trust

if TYPE_CHECKING:
    from mithril.cache._content import ContentStore

MAGIC = b"MITHBUN1"
# magic, checksum of all that follows up to the end of the list, identity of the key, tag of the list, its bytes
_HEAD = struct.Struct(f"<8s32s8s{TAG_BYTES}sQ")
_MAX_LIST_BYTES = 256 << 20
_MAX_OBJECT_BYTES = 4 << 30

Key = tuple[str, str, str]
"""Namespace, fingerprint, key."""


@dataclass(frozen=True)
class BundleStats:
    """What went out or came in."""

    records: int
    objects: int
    bytes: int
    skipped: int
    """Records without all their objects (export); that this side does not trust, cannot read or has better (import)."""


def export_bundle(
    store: "ContentStore", path: str | os.PathLike[str], keys: Iterable[Key] | None = None, *, trust: Trust
) -> BundleStats:
    """Write the groups of `keys`, or all, to `path`, which appears whole or not at all.

    Raises StorageError when the system refuses.
    """
    records, objects, skipped = _choose(store, keys)
    contents = {
        "records": [[name, len(data)] for name, data in records.items()],
        "objects": [[address, size] for address, size in objects.items()],
    }
    text = json.dumps(contents, separators=(",", ":")).encode()
    identity, tag = trust.sign(text)
    path = Path(path)
    total = 0
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                rest = identity + tag + struct.pack("<Q", len(text)) + text
                file.write(MAGIC + blake3(rest).digest() + rest)
                for data in records.values():
                    file.write(data)
                for address, size in objects.items():
                    file.write(_object(store, address, size))
                total = file.tell()
                file.flush()
                os.fsync(file.fileno())
                os.chmod(file.name, 0o644)
                os.replace(file.name, path)
            except BaseException:
                with suppress(OSError):
                    os.unlink(file.name)
                raise
    except OSError as error:
        raise StorageError(error.errno, f"bundle not written: {error.strerror}", os.fspath(path)) from error
    return BundleStats(len(records), len(objects), total, skipped)


def _choose(store: "ContentStore", keys: Iterable[Key] | None) -> tuple[dict[str, bytes], dict[str, int], int]:
    """Sealed records by name, sizes of the objects that they name by address, and how many had to be left out."""
    records: dict[str, bytes] = {}
    objects: dict[str, int] = {}
    skipped = 0
    chosen = ((r.namespace, r.fingerprint, r.key) for r in store.records()) if keys is None else iter(keys)
    for namespace, fingerprint, key in chosen:
        group = store.get_group(namespace, key, fingerprint=fingerprint)
        name = record_name(namespace, fingerprint, key)
        data = store.get_record(name)
        if group is None or data is None:
            skipped += 1
            continue
        records[name] = data
        objects.update({m.address: m.size for m in group.record.members if m.data is None})
    return records, objects, skipped


def _object(store: "ContentStore", address: str, size: int) -> bytes:
    data = store.get(address)
    if data is None or len(data) != size:
        raise StorageNotFoundError(2, "object went away while it was exported; try again", address)
    return data


def import_bundle(store: "ContentStore", path: str | os.PathLike[str], *, trust: Trust) -> BundleStats:
    """Put what a bundle holds into the store: objects first, each checked against its address, then the records.

    Raises CorruptError or TruncatedError when the bundle is damaged (what was whole before the damage is kept),
    UntrustedError when its list needs a signature that it lacks, StorageError when the file cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return _import(store, file, trust)
    except (CorruptError, TruncatedError, UntrustedError) as error:
        raise type(error)(f"bundle {os.fspath(path)}: {error}") from None
    except StorageError:  # of the store, which names its own file
        raise
    except OSError as error:
        kind = StorageNotFoundError if isinstance(error, FileNotFoundError) else StorageError
        raise kind(error.errno, f"bundle not read: {error.strerror}", os.fspath(path)) from error


def _import(store: "ContentStore", file: BinaryIO, trust: Trust) -> BundleStats:
    head = _read(file, _HEAD.size)
    magic, checksum, identity, tag, length = _HEAD.unpack(head)
    if magic != MAGIC:
        raise CorruptError(f"magic {magic!r} at offset 0 instead of {MAGIC!r}")
    if length > _MAX_LIST_BYTES:
        raise CorruptError(f"list of {length} bytes, more than the limit of {_MAX_LIST_BYTES}")
    text = _read(file, length)
    if blake3(head[40:] + text).digest() != checksum:
        raise CorruptError("checksum at offset 8 does not match")
    trust.check(text, identity, tag)
    names, addresses = _contents(text)
    sealed = [(name, _read(file, size)) for name, size in names]
    held = 0
    for address, size in addresses:
        data = _read(file, size)
        if blake3(data).hexdigest() != address:
            raise CorruptError(f"object {address} at offset {file.tell() - size} is not what its address says")
        store.put(data)
        held += size
    if file.read(1):
        raise CorruptError(f"bytes after the last object, at offset {file.tell() - 1}")
    skipped = 0
    signed = Trust("require", trust.keys) if trust.keys else None
    for name, data in sealed:
        ours = store.get_record(name) if signed else None
        # What is signed with a key of ours is not given up for what is not.
        is_worse = signed and ours and _readable(name, ours, signed) and not _readable(name, data, signed)
        if is_worse or _readable(name, data, trust) is None:
            skipped += 1
        else:
            store.put_record(name, data)
    return BundleStats(len(sealed) - skipped, len(addresses), held + sum(len(d) for _, d in sealed), skipped)


def _readable(name: str, data: bytes, trust: Trust) -> Record | None:
    try:
        record = decode_record(data, trust)
    except (CorruptError, UntrustedError):
        return None
    return record if record.name == name else None


def _contents(text: bytes) -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    try:
        contents = json.loads(text)
        return (
            list(_rows(contents["records"], MAX_RECORD_BYTES)),
            list(_rows(contents["objects"], _MAX_OBJECT_BYTES)),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, CorruptError):
            raise
        raise CorruptError(f"list cannot be read ({error})") from None


def _rows(rows: list[list[object]], limit: int) -> Iterator[tuple[str, int]]:
    for name, size in rows:
        if (
            not isinstance(name, str)
            or len(name) != 64
            or set(name) - set("0123456789abcdef")
            or type(size) is not int
            or not 0 <= size <= limit
        ):
            raise CorruptError(f"entry {str([name, size])[:100]} in the list")
        yield name, size


def _read(file: BinaryIO, size: int) -> bytes:
    """Exactly `size` bytes. Memory grows with what is there, not with what a list claims."""
    offset = file.tell()
    parts = []
    left = size
    while left:
        part = file.read(min(left, 16 << 20))
        if not part:
            raise TruncatedError(f"ends at offset {offset + size - left}; {left} bytes more were to come")
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
