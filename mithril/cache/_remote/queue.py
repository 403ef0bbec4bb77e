"""Write-behind: uploads that wait in a bounded queue for threads of their own."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")
_ATTEMPTS = 3
# How often threads look whether a closed road is open again.
_LOOK_SECONDS = 0.1


class WriteBehind(Generic[T]):
    """A queue of at most `max_entries` entries and `max_bytes` bytes, those being uploaded included.

    `upload` returns False for a failure that may pass: the entry goes to the end of the queue, three times in all.
    Entries wait while `may_start` says False; who got True must upload. Threads are daemons, started when there is
    work and gone when there is none.
    """

    def __init__(
        self,
        upload: Callable[[T], bool],
        may_start: Callable[[], bool],
        *,
        max_bytes: int,
        max_entries: int,
        threads: int,
    ) -> None:
        self._upload = upload
        self._may_start = may_start
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._max_threads = threads
        self._changed = threading.Condition()
        self._queue: deque[tuple[T, int, int]] = deque()
        self._entries = 0
        self._bytes = 0
        self._threads = 0
        self.lost = 0
        """Entries given up after the last attempt."""

    def put(self, entry: T, size: int) -> bool:
        """Queue an entry of `size` bytes; False when it does not fit."""
        with self._changed:
            if self._entries >= self._max_entries or self._bytes + size > self._max_bytes:
                return False
            self._entries += 1
            self._bytes += size
            self._queue.append((entry, size, 1))
            if self._threads < min(self._max_threads, len(self._queue)):
                thread = threading.Thread(target=self._run, name="mithril-upload", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # no more threads, or the interpreter is about to end
                    if not self._threads:
                        self._queue.pop()
                        self._forget(size)
                        return False
                else:
                    self._threads += 1
            return True

    def flush(self, seconds: float, give_up: Callable[[], bool] = lambda: False) -> bool:
        """Wait until all is uploaded or lost, `seconds` pass or `give_up` says so. Returns whether nothing is left."""
        with self._changed:
            self._changed.wait_for(lambda: not self._entries or give_up(), seconds)
            return not self._entries

    def _run(self) -> None:
        while (taken := self._take()) is not None:
            entry, size, attempt = taken
            done = False
            try:
                done = self._upload(entry)
            finally:
                with self._changed:
                    if done or attempt == _ATTEMPTS:
                        self.lost += not done
                        self._forget(size)
                    else:
                        self._queue.append((entry, size, attempt + 1))
                    self._changed.notify_all()

    def _take(self) -> tuple[T, int, int] | None:
        with self._changed:
            while self._queue:
                if self._may_start():
                    return self._queue.popleft()
                self._changed.wait(_LOOK_SECONDS)
            self._threads -= 1
            return None

    def _forget(self, size: int) -> None:
        self._entries -= 1
        self._bytes -= size
