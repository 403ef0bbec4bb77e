"""Copying between a local store and the remote tier: push, pull, sync and warm-up.

Unlike lookups, these are asked for by somebody who waits for them: they take their time and say what failed. A record
is copied as it is sealed, after its objects: nobody signs here what somebody else has made.
"""

import dataclasses
import logging
import re
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from mithril._errors import CorruptError, InvalidArgumentError, StorageError, UntrustedError
from mithril.cache._content import ContentStore
from mithril.cache._record import Record, decode_record, record_name
from mithril.cache._remote.breaker import Breaker
from mithril.cache._remote.tier import RemoteStats, RemoteTier, object_path, record_path

__all__ = ["PullStats", "PushStats", "RemoteStats", "RemoteTier", "SyncStats", "pull", "push", "sync", "warmup"]

Progress = Callable[[int, int, int], None]
"""Called with the records done, all records, and the bytes copied until then; from one thread."""
_log = logging.getLogger("mithril.cache")
_NAME = re.compile(r"records/[0-9a-f]{2}/([0-9a-f]{64})")
# So many failures in a row, and the rest is not tried.
_FAILURES = 20


@dataclass(frozen=True)
class PushStats:
    """What a push did."""

    objects: int = 0
    """Copied: what was there already is not counted."""
    records: int = 0
    """Copied."""
    bytes: int = 0
    """Copied, of both."""
    skipped: int = 0
    """Records that are there already, are not asked for, are no longer whole here, or exceed the quota."""
    failed: int = 0
    """Records not copied because a store failed, or because they or their objects are missing, damaged or untrusted."""
    seconds: float = 0.0


@dataclass(frozen=True)
class PullStats(PushStats):
    """What a pull or a warm-up did."""


@dataclass(frozen=True)
class SyncStats:
    """What a sync did."""

    pull: PullStats
    push: PushStats


def push(
    local: ContentStore,
    remote: RemoteTier,
    namespaces: Iterable[str] | None = None,
    *,
    progress: Progress | None = None,
) -> PushStats:
    """Copy the records of `local`, or those of these namespaces, that are not in good order in `remote`.

    Raises InvalidArgumentError when `remote` is read-only, StorageError when it cannot be listed.
    """
    if remote.read_only:
        raise InvalidArgumentError(f"the remote store {remote.store.url} is read-only here")
    there = {info.name: info.size for info in remote.store.list()}

    def copy(name: str) -> PushStats:
        sealed = local.get_record(name)
        record = sealed and decode_record(sealed, local.trust)
        if not sealed or not record or _is_there(remote, name, sealed, there):
            return PushStats(skipped=1)
        objects = size = 0
        for address, member_size in _objects(record).items():
            path = object_path(address)
            if there.get(path) == member_size and not remote.is_damaged(address):
                continue
            data = local.get(address)
            if data is None:
                return PushStats(objects, 0, size, skipped=1)
            if remote.write_object(address, data, replace=path in there):
                objects += 1
                size += member_size
        remote.write_record(name, sealed)
        return PushStats(objects, 1, size + len(sealed))

    wanted = None if namespaces is None else frozenset(namespaces)
    names = [record.name for record in local.records() if wanted is None or record.namespace in wanted]
    return _for_each(names, copy, remote.max_concurrent, progress)


def pull(local: ContentStore, remote: RemoteTier, *, progress: Progress | None = None) -> PullStats:
    """Copy the records of `remote` that `local` does not have, until its quota is reached.

    Raises StorageError when `remote` cannot be listed.
    """
    return warmup(local, remote, progress=progress)


def sync(local: ContentStore, remote: RemoteTier, *, progress: Progress | None = None) -> SyncStats:
    """Pull, then push."""
    pulled = pull(local, remote, progress=progress)
    return SyncStats(pulled, push(local, remote, progress=progress))


def warmup(
    local: ContentStore,
    remote: RemoteTier,
    namespaces: Iterable[str] | None = None,
    keys: Iterable[tuple[str, str, str]] | None = None,
    *,
    progress: Progress | None = None,
) -> PullStats:
    """Pull the records of these namespaces, or of these keys: (namespace, fingerprint, key); None means all.

    Keys are fetched without listing `remote`. Raises StorageError when it cannot be listed.
    """
    wanted = None if namespaces is None else frozenset(namespaces)
    if keys is not None:
        names = [record_name(*key) for key in keys]
    else:
        matches = (_NAME.fullmatch(info.name) for info in remote.store.list("records"))
        names = [match[1] for match in matches if match]
    room = _Room(local)

    def copy(name: str) -> PushStats:
        if _is_whole(local, name):
            return PushStats(skipped=1)
        read = remote.read_record(name)
        if read is None or (wanted is not None and read[0].namespace not in wanted):
            return PushStats(skipped=1)
        record, sealed = read
        missing = {a: size for a, size in _objects(record).items() if local.size(a) != size}
        if not room.take(sum(missing.values()) + len(sealed)):
            return PushStats(skipped=1)
        for address, member_size in missing.items():
            data = remote.read_object(address, member_size)
            if data is None:
                raise CorruptError(f"object {address} is missing")
            local.put(data)
        local.put_record(name, sealed)
        return PushStats(len(missing), 1, sum(missing.values()) + len(sealed))

    return PullStats(*dataclasses.astuple(_for_each(names, copy, remote.max_concurrent, progress)))


class _Room:
    """The bytes that a store may still take before it evicts."""

    def __init__(self, store: ContentStore) -> None:
        self._left = None if store.max_size_bytes is None else store.max_size_bytes - store.stats().bytes
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        with self._lock:
            if self._left is None:
                return True
            if size > self._left:
                return False
            self._left -= size
            return True


def _for_each(names: list[str], copy: Callable[[str], PushStats], threads: int, progress: Progress | None) -> PushStats:
    """The sum of what `copy` did for all names. Once the stores fail every time, the rest counts as failed."""
    start = time.monotonic()
    breaker = Breaker(failures=_FAILURES)

    def attempt(name: str) -> PushStats:
        if not breaker.allow():
            return PushStats(failed=1)
        done = PushStats(failed=1)
        try:
            done = copy(name)
        except (CorruptError, UntrustedError) as error:
            _log.warning("record %s is not copied: %s", name, error)
        except StorageError as error:
            _log.warning("record %s is not copied: %s", name, error)
            breaker.failed()
            return done
        breaker.succeeded()
        return done

    total = PushStats()
    executor = ThreadPoolExecutor(threads, thread_name_prefix="mithril-copy")
    try:
        for count, done in enumerate(as_completed([executor.submit(attempt, name) for name in names]), 1):
            total = PushStats(
                *map(sum, zip(dataclasses.astuple(total), dataclasses.astuple(done.result()), strict=True))
            )
            if progress is not None:
                progress(count, len(names), total.bytes)
    finally:
        executor.shutdown(cancel_futures=True)
    return dataclasses.replace(total, seconds=time.monotonic() - start)


def _objects(record: Record) -> dict[str, int]:
    """The members that are not in the record itself: address and size."""
    return {member.address: member.size for member in record.members if member.data is None}


def _is_there(remote: RemoteTier, name: str, sealed: bytes, there: dict[str, int]) -> bool:
    """Whether the remote has a good record of that name with its objects, and as good a signature as `sealed`."""
    if record_path(name) not in there:
        return False
    trust = remote.trust
    if trust.policy == "prefer" and trust.keys:
        strict = dataclasses.replace(trust, policy="require")
        try:
            decode_record(sealed, strict)
        except UntrustedError:
            pass
        else:
            trust = strict
    try:
        read = remote.read_record(name)
        if read is None:
            return False
        decode_record(read[1], trust)
    except (CorruptError, UntrustedError):
        return False
    return all(
        there.get(object_path(address)) == size and not remote.is_damaged(address)
        for address, size in _objects(read[0]).items()
    )


def _is_whole(local: ContentStore, name: str) -> bool:
    sealed = local.get_record(name)
    if sealed is None:
        return False
    return all(local.size(a) == size for a, size in _objects(decode_record(sealed, local.trust)).items())
