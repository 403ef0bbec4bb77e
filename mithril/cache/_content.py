"""The content store: bytes under their BLAKE3 address, and groups of files under a key, checked at every read."""

import errno
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from blake3 import blake3

from mithril._errors import CorruptError, InvalidArgumentError, StorageError, TruncatedError, UntrustedError
from mithril._native import core
from mithril.cache._record import (
    MAX_RECORD_BYTES,
    Member,
    Record,
    decode_record,
    encode_record,
    make_record,
    record_name,
)
from mithril.cache._trust import Trust

_Tree = Literal["objects", "records"]
_MAX_OBJECT_BYTES = 8 << 30
_Buffer = Any  # bytes, bytearray, memoryview


@dataclass(frozen=True)
class StoreStats:
    """What a store holds, counted file by file."""

    objects: int
    records: int
    bytes: int
    """Of all files below the root but the few of the store itself."""
    files: int
    """Inodes: folders, temporary and quarantined files and the few of the store itself too."""
    max_size_bytes: int | None
    max_files: int | None
    quarantined: int


@dataclass(frozen=True)
class GcResult:
    """What a collection removed."""

    evicted: int
    """Objects and records beyond the quota."""
    evicted_bytes: int
    dropped: int
    """Records that could not be read, or whose objects are gone."""


@dataclass(frozen=True)
class VerifyResult:
    """What was read, and the names of what was found damaged; that is in quarantine now, if the store is writable."""

    objects: int
    records: int
    bytes: int
    damaged: tuple[str, ...]
    unreadable: tuple[str, ...]
    """Not readable for this user, or records that `trust` refuses: their damage is not known."""


@dataclass(frozen=True)
class Group:
    """A group as it was put: its record and all its members."""

    record: Record
    members: dict[str, bytes]


class ContentStore:
    """A folder of objects and records, shared by any number of processes, threads and users.

    Reading never raises for what is on disk: a damaged file is moved to quarantine and is a miss. Writing raises
    StorageError (full, read-only, not permitted) and leaves nothing behind. Beyond the quota the least recently used
    files are removed; `max_files` counts inodes, folders included (a new object needs up to three). A new root gets
    mode 0700, what is below it follows the umask: open the root to share it. Nothing is synced to the disk.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        max_size_bytes: int | None = None,
        max_files: int | None = None,
        read_only: bool = False,
        trust: Trust | None = None,
    ) -> None:
        """`read_only` neither makes the root (StorageNotFoundError) nor marks what is read as used."""
        for name, quota in (("max_size_bytes", max_size_bytes), ("max_files", max_files)):
            if quota is not None and (isinstance(quota, bool) or not isinstance(quota, int) or not 0 < quota < 1 << 60):
                raise InvalidArgumentError(f"{name} must be None or a positive integer, not {quota!r}")
        self.root = Path(root).absolute()
        self.max_size_bytes = max_size_bytes
        self.max_files = max_files
        self.read_only = read_only
        self.trust = trust or Trust()
        if not read_only:
            try:
                self.root.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StorageError(
                    error.errno, f"cannot make the folder of the store: {error.strerror}", str(self.root)
                ) from None
        self._files = core.ObjectStore(
            str(self.root), max_bytes=max_size_bytes or 0, max_files=max_files or 0, read_only=read_only
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return _open, (self.root, self.max_size_bytes, self.max_files, self.read_only, self.trust)

    @staticmethod
    def compute_address(data: _Buffer) -> str:
        """The address of these bytes: 64 hexadecimal digits of BLAKE3."""
        return blake3(data).hexdigest()

    def put(self, data: _Buffer) -> str:
        """Keep the bytes and return their address. Raises StorageError; EFBIG when larger than the quota."""
        address = blake3(data).hexdigest()
        self._files.put("objects", address, data)
        return address

    def get(self, address: str) -> bytes | None:
        """The bytes of that address, verified; None when absent, damaged or not readable."""
        return self._get(address, _MAX_OBJECT_BYTES)

    def _get(self, address: str, max_size: int) -> bytes | None:
        data = self._read("objects", address, max_size)
        if data is not None and blake3(data).hexdigest() != address:
            self._set_aside("objects", address)
            return None
        return data

    def exists(self, address: str) -> bool:
        """Whether an object is there; it is not read."""
        return self.size(address) is not None

    def size(self, address: str) -> int | None:
        """The bytes of an object, not read; None when absent."""
        with suppress(StorageError):
            return self._files.size("objects", address)
        return None

    def delete(self, address: str) -> bool:
        """Remove an object; False when it was not there. Raises StorageError."""
        return self._files.remove("objects", address)

    def addresses(self) -> Iterator[str]:
        """The addresses of all objects, ascending."""
        return self._names("objects")

    def put_group(
        self,
        namespace: str,
        key: str,
        members: Mapping[str, bytes],
        *,
        fingerprint: str = "",
        seconds: float = 0.0,
    ) -> Record:
        """Keep files as one group, which appears whole, in place of an earlier one of that key.

        `seconds` is what the group took to make. Raises StorageError, InvalidArgumentError for no members and
        CorruptError for names or sizes that a record cannot hold.
        """
        record = make_record(namespace, fingerprint, key, members, seconds=seconds)
        data = encode_record(record, self.trust)
        for member in record.members:
            if member.data is None:
                self._files.put("objects", member.address, members[member.name])
        self._files.put("records", record.name, data)
        return record

    def put_sealed_group(self, sealed: bytes, members: Mapping[str, bytes]) -> Record:
        """Keep a group as somebody else has sealed it: what others made is not signed here.

        Raises StorageError; CorruptError and UntrustedError for a record that cannot be read.
        """
        record = decode_record(sealed, self.trust)
        for member in record.members:
            if member.data is None:
                self.put(members[member.name])
        return self.put_record(record.name, sealed)

    def get_group(self, namespace: str, key: str, *, fingerprint: str = "") -> Group | None:
        """The group of that key with all its members verified, or None."""
        name = record_name(namespace, fingerprint, key)
        record = self._load(name)
        if record is None or (record.namespace, record.fingerprint, record.key) != (namespace, fingerprint, key):
            return None
        members = {}
        for member in record.members:
            data = self._get_member(member)
            if data is None:
                if not self._is_complete(record):
                    self._drop(name)
                return None
            members[member.name] = data
        return Group(record, members)

    def _get_member(self, member: Member) -> bytes | None:
        if member.data is not None:
            return member.data
        size = self.size(member.address)
        if size is None or size > member.size:  # a record may lie: not taken for damage of the object
            return None
        data = self._get(member.address, member.size)
        return data if data is not None and len(data) == member.size else None

    def has_group(self, namespace: str, key: str, *, fingerprint: str = "") -> bool:
        """Whether the record of a group and its objects are there; the objects are not read."""
        record = self._load(record_name(namespace, fingerprint, key))
        return record is not None and self._is_complete(record)

    def delete_group(self, namespace: str, key: str, *, fingerprint: str = "") -> bool:
        """Remove a group; False when it was not there. Its objects stay: others may name them. Raises StorageError."""
        return self._files.remove("records", record_name(namespace, fingerprint, key))

    def records(self) -> Iterator[Record]:
        """All records that can be read and that `trust` takes."""
        for name in self._names("records"):
            record = self._load(name, touch=False)
            if record is not None:
                yield record

    def put_record(self, name: str, data: bytes) -> Record:
        """Keep a sealed record from elsewhere. Raises CorruptError, UntrustedError, StorageError."""
        record = decode_record(data, self.trust)
        if record.name != name:
            raise CorruptError(f"record: it is {record.name}, not {name}")
        self._files.put("records", name, data)
        return record

    def get_record(self, name: str) -> bytes | None:
        """A record as it is sealed; None when absent, damaged or refused by `trust`."""
        loaded = self._load_sealed(name)
        return None if loaded is None else loaded[0]

    def stats(self) -> StoreStats:
        """Count what is there, file by file."""
        census = self._files.census()
        return StoreStats(
            census.objects,
            census.records,
            census.bytes,
            census.files,
            self.max_size_bytes,
            self.max_files,
            census.quarantined,
        )

    def gc(self) -> GcResult:
        """Count anew, evict to the quota, and drop leftovers: temporary files older than an hour, quarantined ones
        older than a day, records that cannot be read or whose objects are gone. Raises StorageError.
        """
        removed = self._files.gc()
        dropped = 0
        for name in self._names("records"):
            try:
                data = self._files.read("records", name, max_size=MAX_RECORD_BYTES, touch=False)
                if data is not None and not self._is_complete(decode_record(data, self.trust)):
                    dropped += self._files.remove("records", name)
            except (CorruptError, TruncatedError):
                dropped += self._set_aside("records", name)
            except (StorageError, UntrustedError):
                pass  # of others: not ours to judge
        return GcResult(removed.files, removed.bytes, dropped)

    def verify(self) -> VerifyResult:
        """Read everything, hash every object and decode every record."""
        damaged: list[str] = []
        unreadable: list[str] = []
        counts = {"objects": 0, "records": 0}
        total = 0
        trees: tuple[_Tree, ...] = ("objects", "records")
        for tree in trees:
            for name in self._names(tree):
                try:
                    data = self._files.read(tree, name, touch=False)
                    if data is None:
                        if self._files.size(tree, name) is not None:
                            unreadable.append(name)
                        continue
                    counts[tree] += 1
                    total += len(data)
                    if tree == "objects" and blake3(data).hexdigest() != name:
                        raise CorruptError(name)
                    if tree == "records" and decode_record(data, self.trust).name != name:
                        raise CorruptError(name)
                except (CorruptError, TruncatedError):
                    damaged.append(name)
                    self._set_aside(tree, name)
                except (StorageError, UntrustedError):
                    unreadable.append(name)
        return VerifyResult(counts["objects"], counts["records"], total, tuple(damaged), tuple(unreadable))

    def clear(self) -> None:
        """Remove all objects, records and quarantined files. Raises StorageError."""
        self._files.clear()

    def _names(self, tree: _Tree) -> Iterator[str]:
        for first in range(256):
            yield from self._files.names(tree, first)

    def _read(self, tree: _Tree, name: str, max_size: int, *, touch: bool = True) -> bytes | None:
        try:
            return self._files.read(tree, name, max_size=max_size, touch=touch)
        except (CorruptError, TruncatedError):
            self._set_aside(tree, name)
        except StorageError as error:
            if error.errno == errno.EIO:
                self._set_aside(tree, name)
        except MemoryError:
            pass
        return None

    def _load(self, name: str, *, touch: bool = True) -> Record | None:
        loaded = self._load_sealed(name, touch=touch)
        return None if loaded is None else loaded[1]

    def _load_sealed(self, name: str, *, touch: bool = True) -> tuple[bytes, Record] | None:
        data = self._read("records", name, MAX_RECORD_BYTES, touch=touch)
        if data is None:
            return None
        try:
            record = decode_record(data, self.trust)
        except CorruptError:
            record = None
        except UntrustedError:
            return None
        if record is None or record.name != name:
            self._set_aside("records", name)
            return None
        return data, record

    def _is_complete(self, record: Record) -> bool:
        return all(member.data is not None or self.size(member.address) == member.size for member in record.members)

    def _set_aside(self, tree: _Tree, name: str) -> bool:
        with suppress(StorageError):
            return self._files.quarantine(tree, name)
        return False

    def _drop(self, name: str) -> None:
        with suppress(StorageError):  # read-only, or of another user
            self._files.remove("records", name)


def _open(root: Path, max_size_bytes: int | None, max_files: int | None, read_only: bool, trust: Trust) -> ContentStore:
    return ContentStore(root, max_size_bytes=max_size_bytes, max_files=max_files, read_only=read_only, trust=trust)
