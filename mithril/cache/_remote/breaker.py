"""What keeps a bad network from costing more than it may: a circuit breaker, and an account of the time waited."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Literal, TypeVar

T = TypeVar("T")
Clock = Callable[[], float]
State = Literal["closed", "open", "half-open"]


class Breaker:
    """Closed, it lets every request through; after `failures` in a row it opens and lets none through for
    `open_seconds`, then one: when that one succeeds it closes, else it stays open as long again.

    Who got True from `allow` calls one of `succeeded`, `failed` and `withdrawn`. Safe to use from threads.
    """

    def __init__(self, *, failures: int = 3, open_seconds: float = 30.0, clock: Clock = time.monotonic) -> None:
        self._failures = failures
        self._open_seconds = open_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._in_a_row = 0
        self._opens_until: float | None = None
        self._is_probing = False

    @property
    def state(self) -> State:
        """What the next request meets; "half-open" while a probe is due or on its way."""
        with self._lock:
            if self._opens_until is None:
                return "closed"
            return "half-open" if self._is_probing or self._clock() >= self._opens_until else "open"

    def allow(self) -> bool:
        """Whether a request may be made now."""
        with self._lock:
            if self._opens_until is None:
                return True
            if self._is_probing or self._clock() < self._opens_until:
                return False
            self._is_probing = True
            return True

    def succeeded(self) -> None:
        """The store has answered."""
        with self._lock:
            self._in_a_row = 0
            self._opens_until = None
            self._is_probing = False

    def failed(self) -> None:
        """The store has failed, or has not answered."""
        with self._lock:
            self._in_a_row += 1
            if self._opens_until is not None or self._in_a_row >= self._failures:
                self._opens_until = self._clock() + self._open_seconds
            self._is_probing = False

    def withdrawn(self) -> None:
        """The request has not been made after all."""
        with self._lock:
            self._is_probing = False


class Patience:
    """The seconds that this process may still wait for lookups: `budget` at most.

    Waiting takes from it, once for all threads that wait at the same time. What a hit saves is added, so waiting costs
    a process never more than `budget` beyond what it has gained.
    """

    def __init__(self, budget: float, *, clock: Clock = time.monotonic) -> None:
        self._budget = budget
        self._clock = clock
        self._lock = threading.Lock()
        self._left = budget
        self._waiting = 0
        self._since = 0.0

    @property
    def left(self) -> float:
        """Seconds."""
        with self._lock:
            return self._settle()

    def wait(self, answer: "Future[T]") -> "Future[T] | None":
        """`answer` when it is there in time, else None."""
        with self._lock:
            left = self._settle()
            self._waiting += 1
        try:
            answer.exception(timeout=max(left, 0.0))
        except FutureTimeout:
            return None
        finally:
            with self._lock:
                self._settle()
                self._waiting -= 1
        return answer

    def gain(self, seconds: float) -> None:
        """A hit has saved so many seconds; 0: nobody knows how many, which counts as enough."""
        with self._lock:
            self._left = min(self._budget, self._settle() + (seconds or self._budget))

    def _settle(self) -> float:
        now = self._clock()
        if self._waiting:
            self._left -= now - self._since
        self._since = now
        return self._left
