"""The remote tier: groups in a byte store that many hosts share, asked and filled without holding up a compile.

    records/<ab>/<64 hex>    sealed records by the name of their key; the last one written stands
    objects/<ab>/<64 hex>    members too large for a record, by their BLAKE3 address; never replaced unless damaged

The objects of a record are written before it: a record is there when all that it names is. What is read is checked
against the record, and the record by `Trust`: nothing else says what bytes are worth.
"""

import dataclasses
import errno
import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from blake3 import blake3

from mithril._errors import CorruptError, InvalidArgumentError, StorageError, UntrustedError
from mithril.cache._record import (
    MAX_RECORD_BYTES,
    Member,
    Record,
    decode_record,
    encode_record,
    make_record,
    record_name,
)
from mithril.cache._remote.breaker import Breaker, Clock, Patience, State
from mithril.cache._remote.queue import WriteBehind
from mithril.cache._trust import Trust
from mithril.storage import ByteStore

T = TypeVar("T")
MAX_GROUP_BYTES = 1 << 30
_QUEUE_ENTRIES = 10_000
_FLUSH_SECONDS = 5.0
_log = logging.getLogger("mithril.cache")
_live: "weakref.WeakSet[RemoteTier]" = weakref.WeakSet()


@dataclass(frozen=True)
class RemoteStats:
    """What the remote tier did in this process."""

    gets: int = 0
    hits: int = 0
    misses: int = 0
    """Gets that found nothing, for whatever reason: the five that follow, or there is nothing."""
    skipped: int = 0
    """Not asked for: the breaker is open, or all threads are busy."""
    timeouts: int = 0
    """Not there in the time that was left to wait."""
    errors: int = 0
    """Lookups and uploads that the store failed."""
    rejected: int = 0
    """Records and objects that are damaged, or that the trust policy refuses."""
    puts: int = 0
    """Groups uploaded."""
    dropped: int = 0
    """Groups not uploaded: the queue was full, or the store failed three times."""
    bytes_in: int = 0
    bytes_out: int = 0
    breaker: State = "closed"


class FoundGroup(NamedTuple):
    """A group of the remote tier, verified."""

    record: Record
    members: dict[str, bytes]
    sealed: bytes
    """The record as its maker sealed it: to be kept as it is, since nobody may sign here what somebody else made."""


class RemoteTier:
    """Groups in the byte store `store`. Nothing here raises for what the store does or holds.

    Lookups run in threads of their own, of which `max_concurrent` are at work at once. A process waits for them
    `budget_seconds` in all, what its hits have saved not counted; after that, lookups go on without being waited for,
    until one of them hits. Three failures in a row open a circuit breaker for 30 s. Uploads are queued, `queue_bytes`
    at most. A forked child starts afresh.
    """

    def __init__(
        self,
        store: ByteStore,
        trust: Trust | None = None,
        *,
        read_only: bool = False,
        budget_seconds: float = 0.5,
        queue_bytes: int = 256 << 20,
        max_concurrent: int = 8,
        clock: Clock = time.monotonic,
    ) -> None:
        if not (budget_seconds >= 0 and queue_bytes >= 0 and max_concurrent >= 1):
            raise InvalidArgumentError(
                f"budget_seconds={budget_seconds!r}, queue_bytes={queue_bytes!r} or max_concurrent={max_concurrent!r}"
                " is out of range"
            )
        self.store = store
        self.trust = trust or Trust()
        self.read_only = read_only
        self.max_concurrent = max_concurrent
        self._budget_seconds = budget_seconds
        self._queue_bytes = queue_bytes
        self._clock = clock
        self._start()
        _live.add(self)

    def _start(self) -> None:
        """In a forked child too: locks may be held there by threads that are not."""
        self._lock = threading.Lock()
        self._stats = RemoteStats()
        self._damaged: set[str] = set()
        self._last_answer: bool | None = None
        self._late: Future[FoundGroup | None] | None = None
        self._slots = threading.Semaphore(self.max_concurrent)
        self._breaker = Breaker(clock=self._clock)
        self._patience = Patience(self._budget_seconds, clock=self._clock)
        self._queue = WriteBehind(
            self._upload,
            self._breaker.allow,
            max_bytes=self._queue_bytes,
            max_entries=_QUEUE_ENTRIES,
            threads=self.max_concurrent,
        )

    def stats(self) -> RemoteStats:
        """The numbers until now."""
        with self._lock:
            stats = self._stats
        return dataclasses.replace(stats, dropped=stats.dropped + self._queue.lost, breaker=self._breaker.state)

    def fetch_group(self, namespace: str, fingerprint: str, key: str) -> "FoundGroup | None":
        """The group of that key with all members verified, or None: absent, refused, or not to be had in time."""
        found = None
        answer = self._ask(namespace, fingerprint, key)
        if answer is None:
            self._count(skipped=1)
        elif self._patience.wait(answer) is None:
            self._late = answer
            self._count(timeouts=1)
        else:
            found = answer.result()
        self._count(gets=1, hits=found is not None, misses=found is None)
        return found

    def push_group(
        self,
        namespace: str,
        key: str,
        members: Mapping[str, bytes],
        *,
        fingerprint: str = "",
        seconds: float = 0.0,
    ) -> bool:
        """Queue a group for upload; False when read-only or the queue is full."""
        if self.read_only:
            return False
        queued = self._queue.put(
            (namespace, fingerprint, key, dict(members), seconds), sum(map(len, members.values())) + len(key)
        )
        self._count(dropped=not queued)
        return queued

    def flush(self, seconds: float | None = None) -> bool:
        """Wait for queued uploads. Returns whether none is left.

        By default 5 s when the store has answered the last request, `budget_seconds` when none was made, and not at all
        when it failed or is late. What is left goes on in the background.
        """
        if seconds is None:
            is_answering = self._last_answer if self._late is None or self._late.done() else False
            seconds = {True: _FLUSH_SECONDS, None: self._budget_seconds, False: 0.0}[is_answering]
        return self._queue.flush(seconds, give_up=lambda: self._breaker.state == "open")

    def read_record(self, name: str) -> tuple[Record, bytes] | None:
        """A record, checked, and its sealed bytes; None when absent.

        Raises StorageError, CorruptError, UntrustedError.
        """
        data = self._get(record_path(name), MAX_RECORD_BYTES)
        if data is None:
            return None
        record = decode_record(data, self.trust)
        if record.name != name:
            raise CorruptError(f"record: it is {record.name}, not {name}")
        return record, data

    def read_object(self, address: str, size: int) -> bytes | None:
        """An object, verified; None when absent. Raises StorageError, CorruptError."""
        if size > MAX_GROUP_BYTES:
            raise CorruptError(f"object {address}: {size} bytes, more than the limit of {MAX_GROUP_BYTES}")
        try:
            data = self._get(object_path(address), size)
            if data is not None and (len(data) != size or blake3(data).hexdigest() != address):
                raise CorruptError(f"object {address}: not what its address says")
        except CorruptError:
            with self._lock:
                self._damaged.add(address)
            raise
        return data

    def is_damaged(self, address: str) -> bool:
        """Whether an object was found damaged, and not yet replaced, by this process."""
        return address in self._damaged

    def write_object(self, address: str, data: bytes, *, replace: bool = False) -> bool:
        """Write an object unless it is there; one that was found damaged is replaced. Raises StorageError."""
        if replace or self.is_damaged(address):
            self.store.put(object_path(address), data)
            self._damaged.discard(address)
        elif not self.store.put_if_absent(object_path(address), data):
            return False
        self._count(bytes_out=len(data))
        return True

    def write_record(self, name: str, data: bytes) -> None:
        """Write a sealed record, whose objects have been written. Raises StorageError."""
        self.store.put(record_path(name), data)
        self._count(bytes_out=len(data))

    def _ask(self, namespace: str, fingerprint: str, key: str) -> "Future[FoundGroup | None] | None":
        """The future answer to a lookup; None when it cannot be made now."""
        if not self._breaker.allow():
            return None
        answer = self._in_thread(self._look_up, namespace, fingerprint, key)
        if answer is None:
            self._breaker.withdrawn()
        return answer

    def _look_up(self, namespace: str, fingerprint: str, key: str) -> "FoundGroup | None":
        """In a thread: fetch a group, and say how that went. Raises nothing."""
        try:
            found = self._fetch(record_name(namespace, fingerprint, key))
        except (CorruptError, UntrustedError) as error:
            _log.debug("refused %s %s: %s", namespace, key, error)
            self._count(rejected=1)
            found = None
        except BaseException as error:  # obstore is not above a panic, which is no Exception
            self._failed("get", error)
            return None
        self._answered()
        if found is not None:
            self._patience.gain(found.record.seconds)
        return found

    def _fetch(self, name: str) -> "FoundGroup | None":
        read = self.read_record(name)
        if read is None:
            return None
        record, sealed = read
        objects = {member.address: member for member in record.members if member.data is None}
        if sum(member.size for member in objects.values()) > MAX_GROUP_BYTES:
            raise CorruptError(f"record: members of more than {MAX_GROUP_BYTES} bytes")
        # Those for which there is no thread are read here, so that lookups cannot wait for each other.
        answers = {address: self._in_thread(self._read_member, member) for address, member in objects.items()}
        contents = {
            address: self._read_member(objects[address]) if answer is None else answer.result()
            for address, answer in sorted(answers.items(), key=lambda item: item[1] is not None)
        }
        members = {}
        for member in record.members:
            data = contents[member.address] if member.data is None else member.data
            if data is None:
                return None
            members[member.name] = data
        return FoundGroup(record, members, sealed)

    def _read_member(self, member: Member) -> bytes | None:
        return self.read_object(member.address, member.size)

    def _get(self, path: str, limit: int) -> bytes | None:
        try:
            data = self.store.get(path, limit=limit)
        except StorageError as error:
            if error.errno == errno.EFBIG:
                raise CorruptError(f"{path}: {error.strerror}") from None
            raise
        self._count(bytes_in=len(data or b""))
        return data

    def _upload(self, entry: "_Entry") -> bool:
        """In a thread: write a group. Returns False when it may go better later."""
        namespace, fingerprint, key, members, seconds = entry
        try:
            record = make_record(namespace, fingerprint, key, members, seconds=seconds)
            sealed = encode_record(record, self.trust)
            objects = {member.address: members[member.name] for member in record.members if member.data is None}
            for address, data in objects.items():
                self.write_object(address, data)
            self.write_record(record.name, sealed)
        except (CorruptError, InvalidArgumentError) as error:  # a group that no record can hold
            self._breaker.withdrawn()
            _log.warning("not uploaded: %s %s: %s", namespace, key, error)
            self._count(errors=1, dropped=1)
            return True
        except BaseException as error:
            self._failed("put", error)
            return False
        self._answered()
        self._count(puts=1)
        return True

    def _in_thread(self, work: Callable[..., T], *arguments: object) -> "Future[T] | None":
        """Start `work` at once in a daemon thread, which an exit of the process does not wait for; None when too many
        are busy."""
        slots = self._slots
        if not slots.acquire(blocking=False):
            return None
        answer: Future[T] = Future()

        def run() -> None:
            try:
                answer.set_result(work(*arguments))
            except BaseException as error:
                answer.set_exception(error)
            finally:
                slots.release()

        try:
            threading.Thread(target=run, name="mithril-lookup", daemon=True).start()
        except RuntimeError:  # no more threads, or the interpreter is about to end
            slots.release()
            return None
        return answer

    def _answered(self) -> None:
        self._last_answer = True
        self._breaker.succeeded()

    def _failed(self, what: str, error: BaseException) -> None:
        self._last_answer = False
        self._breaker.failed()
        self._count(errors=1)
        # Every request may fail while the network is away: say it once.
        level = logging.DEBUG if self._stats.errors > 1 else logging.WARNING
        _log.log(level, "%s: %s: %s: %s", self.store.url, what, type(error).__name__, error)

    def _count(self, **more: int) -> None:
        with self._lock:
            self._stats = dataclasses.replace(
                self._stats, **{name: getattr(self._stats, name) + value for name, value in more.items()}
            )


_Entry = tuple[str, str, str, dict[str, bytes], float]


def record_path(name: str) -> str:
    """Where the byte store keeps a record."""
    return f"records/{name[:2]}/{name}"


def object_path(address: str) -> str:
    """Where the byte store keeps an object."""
    return f"objects/{address[:2]}/{address}"


def _after_fork() -> None:
    for tier in _live:
        tier._start()


os.register_at_fork(after_in_child=_after_fork)
