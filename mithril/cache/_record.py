"""Records: what a key of the cache stands for, sealed. Byte layout in docs/cache-format.md; writer first, reader after.

A record names the members of one group (a compiled graph, a kernel's files) by size and BLAKE3 address, and carries
small members itself. It is one file, so a group appears whole or not at all.
"""

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from blake3 import blake3

from mithril._errors import CorruptError, InvalidArgumentError
from mithril.cache._trust import TAG_BYTES, Trust

MAGIC = b"MITHREC1"
INLINE_BYTES = 4096
MAX_RECORD_BYTES = 16 << 20
_MAX_MEMBERS = 4096
_MAX_TEXT = 4096
# magic, checksum of all that follows, identity of the key, tag of the body, bytes of JSON
_HEAD = struct.Struct(f"<8s32s8s{TAG_BYTES}sI")


@dataclass(frozen=True)
class Member:
    """One file of a group. `data` is there when it is carried in the record itself."""

    name: str
    size: int
    address: str
    data: bytes | None = None


@dataclass(frozen=True)
class Record:
    """What (namespace, fingerprint, key) stands for."""

    namespace: str
    fingerprint: str
    key: str
    members: tuple[Member, ...]
    seconds: float = 0.0
    """What it took to make: what a hit saves."""

    @property
    def name(self) -> str:
        return record_name(self.namespace, self.fingerprint, self.key)


def record_name(namespace: str, fingerprint: str, key: str) -> str:
    """The name under which stores keep the record: 64 hexadecimal digits."""
    return blake3("\0".join(("mithril record", namespace, fingerprint, key)).encode()).hexdigest()


def make_record(
    namespace: str,
    fingerprint: str,
    key: str,
    members: Mapping[str, bytes],
    *,
    seconds: float = 0.0,
) -> Record:
    """The record of these members; those of at most INLINE_BYTES are carried in it."""
    if not members:
        raise InvalidArgumentError(f"group {namespace}/{key} has no members")
    return Record(
        namespace,
        fingerprint,
        key,
        tuple(
            Member(name, len(data), blake3(data).hexdigest(), bytes(data) if len(data) <= INLINE_BYTES else None)
            for name, data in sorted(members.items())
        ),
        seconds,
    )


def encode_record(record: Record, trust: Trust) -> bytes:
    """The bytes of a record, sealed with the signing key of `trust` if it has one."""
    description = {
        "namespace": record.namespace,
        "fingerprint": record.fingerprint,
        "key": record.key,
        "seconds": round(record.seconds, 3),
        "members": [[m.name, m.size, m.address, m.data is not None] for m in record.members],
    }
    text = json.dumps(description, separators=(",", ":"), sort_keys=True).encode()
    body = text + b"".join(m.data for m in record.members if m.data is not None)
    identity, tag = trust.sign(body)
    rest = identity + tag + struct.pack("<I", len(text)) + body
    data = MAGIC + blake3(rest).digest() + rest
    # What could not be read again must not be written.
    decode_record(data, trust)
    return data


def decode_record(data: bytes, trust: Trust) -> Record:
    """Read and check a record. Raises CorruptError, or UntrustedError where `trust` demands a signature it lacks."""
    if len(data) < _HEAD.size:
        raise CorruptError(f"record: {len(data)} bytes, fewer than its head of {_HEAD.size}")
    if len(data) > MAX_RECORD_BYTES:
        raise CorruptError(f"record: {len(data)} bytes, more than the limit of {MAX_RECORD_BYTES}")
    magic, checksum, identity, tag, text_bytes = _HEAD.unpack_from(data)
    if magic != MAGIC:
        raise CorruptError(f"record: magic {magic!r} at offset 0 instead of {MAGIC!r}")
    if blake3(memoryview(data)[len(MAGIC) + 32 :]).digest() != checksum:
        raise CorruptError("record: checksum at offset 8 does not match")
    body = data[_HEAD.size :]
    trust.check(body, identity, tag)
    if text_bytes > len(body):
        raise CorruptError(f"record: {text_bytes} bytes of description, {len(body)} are there")
    return _parse(body[:text_bytes], body[text_bytes:])


def _parse(text: bytes, inline: bytes) -> Record:
    try:
        fields = json.loads(text)
        texts = [fields[name] for name in ("namespace", "fingerprint", "key")]
        seconds, rows = fields["seconds"], fields["members"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CorruptError(f"record: description cannot be read ({error})") from None
    if not all(isinstance(t, str) and len(t) <= _MAX_TEXT and _is_unicode(t) for t in texts):
        raise CorruptError("record: namespace, fingerprint or key is no text or too long")
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds < 1e9:
        raise CorruptError(f"record: seconds {seconds!r}")
    if not isinstance(rows, list) or not 0 < len(rows) <= _MAX_MEMBERS:
        raise CorruptError("record: members is no list of 1 to 4096")
    members = []
    offset = 0
    for row in rows:
        if not (isinstance(row, list) and [type(field) for field in row] == [str, int, str, bool]):
            raise CorruptError(f"record: member {str(row)[:100]}")
        name, size, address, is_inline = row
        if not is_member_name(name) or len(address) != 64 or set(address) - set("0123456789abcdef") or size < 0:
            raise CorruptError(f"record: member {name!r:.100} of {size} bytes at {address!r:.70}")
        part = None
        if is_inline:
            part = inline[offset : offset + size]
            offset += size
            if len(part) != size or blake3(part).hexdigest() != address:
                raise CorruptError(f"record: member {name!r} is not what its address says")
        members.append(Member(name, size, address, part))
    if offset != len(inline) or len({m.name for m in members}) != len(members):
        raise CorruptError("record: bytes beyond its members, or a member twice")
    namespace, fingerprint, key = texts
    return Record(namespace, fingerprint, key, tuple(members), float(seconds))


def is_member_name(name: str) -> bool:
    """Whether `name` is a relative path that stays below where it is put: names may come from a shared store."""
    parts = name.split("/")
    return (
        0 < len(name) <= _MAX_TEXT
        and _is_unicode(name)
        and not {"\0", "\\"} & set(name)
        and not {"", ".", ".."} & set(parts)
    )


def _is_unicode(text: str) -> bool:
    """JSON can hold half a surrogate pair, which cannot be encoded again."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
