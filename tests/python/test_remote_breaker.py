"""The circuit breaker, the account of time waited, and the queue of uploads, by themselves."""

import threading
from concurrent.futures import Future

import pytest

from mithril.cache._remote.breaker import Breaker, Patience
from mithril.cache._remote.queue import WriteBehind


class FakeClock:
    """A clock that stands still until told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_the_breaker_opens_after_failures_in_a_row() -> None:
    clock = FakeClock()
    breaker = Breaker(failures=3, open_seconds=30, clock=clock)
    for _ in range(5):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()
    assert breaker.state == "closed"
    for _ in range(3):
        assert breaker.allow()
        breaker.failed()
    assert breaker.state == "open"
    assert not breaker.allow()


def test_one_probe_decides_whether_it_closes() -> None:
    clock = FakeClock()
    breaker = Breaker(failures=1, open_seconds=30, clock=clock)
    breaker.failed()
    clock.now += 29
    assert not breaker.allow()
    clock.now += 1
    assert breaker.state == "half-open"
    assert [breaker.allow() for _ in range(3)] == [True, False, False]
    assert breaker.state == "half-open"
    breaker.failed()
    assert breaker.state == "open"
    clock.now += 30
    assert breaker.allow()
    breaker.withdrawn()  # the probe was not made, so another may be
    assert breaker.allow()
    breaker.succeeded()
    assert breaker.state == "closed"
    assert breaker.allow()
    assert breaker.allow()


class Answer(Future[str]):
    """An answer on a fake clock: it comes after `seconds`, or the waiter gives up."""

    def __init__(self, clock: FakeClock, seconds: float) -> None:
        super().__init__()
        self._clock, self._seconds = clock, seconds

    def exception(self, timeout: float | None = None) -> BaseException | None:
        assert timeout is not None
        assert timeout >= 0
        self._clock.now += min(timeout, self._seconds)
        if self._seconds > timeout:
            raise TimeoutError
        return None


def test_waiting_ends_when_the_budget_does() -> None:
    clock = FakeClock()
    patience = Patience(0.5, clock=clock)
    start = clock.now
    answers = [patience.wait(Answer(clock, 0.2)) for _ in range(5)]
    assert [answer is not None for answer in answers] == [True, True, False, False, False]
    assert clock.now - start == pytest.approx(0.5)
    clock.now += 1000
    assert patience.wait(Answer(clock, 0.2)) is None, "time alone brings nothing back"


def test_hits_are_added_up_to_the_budget() -> None:
    clock = FakeClock()
    patience = Patience(0.5, clock=clock)
    patience.wait(Answer(clock, 100))
    assert patience.left == pytest.approx(0)
    patience.gain(0.3)
    assert patience.left == pytest.approx(0.3)
    patience.gain(1000)
    assert patience.left == pytest.approx(0.5)
    patience.wait(Answer(clock, 100))
    patience.gain(0)  # a hit of unknown worth
    assert patience.left == pytest.approx(0.5)


def test_threads_that_wait_at_once_are_counted_once() -> None:
    clock = FakeClock()
    patience = Patience(10, clock=clock)
    answers: list[Future[str]] = [Future() for _ in range(4)]
    threads = [threading.Thread(target=patience.wait, args=(answer,)) for answer in answers]
    for thread in threads:
        thread.start()
    while patience._waiting < 4:
        pass
    clock.now += 3
    for answer in answers:
        answer.set_result("")
    for thread in threads:
        thread.join()
    assert patience.left == pytest.approx(7)


def queue(upload, *, may_start=lambda: True, max_bytes=1000, max_entries=10, threads=1) -> WriteBehind[str]:
    return WriteBehind(upload, may_start, max_bytes=max_bytes, max_entries=max_entries, threads=threads)


def test_a_full_queue_refuses_the_newest() -> None:
    go = threading.Event()
    done: list[str] = []

    def upload(entry: str) -> bool:
        go.wait()
        done.append(entry)
        return True

    full = queue(upload, max_bytes=100, max_entries=3)
    assert full.put("a", 60)
    assert not full.put("b", 41)
    assert full.put("c", 40)
    assert not full.put("d", 1)
    assert not full.flush(0)
    go.set()
    assert full.flush(10)
    assert done == ["a", "c"]
    go.clear()
    assert [full.put(str(i), 0) for i in range(5)] == [True, True, True, False, False]
    go.set()
    assert full.flush(10)


def test_failures_are_tried_three_times() -> None:
    tried: list[str] = []

    def upload(entry: str) -> bool:
        tried.append(entry)
        return entry == "good" or (entry == "late" and tried.count("late") == 3)

    work = queue(upload)
    for entry in ("bad", "late", "good"):
        assert work.put(entry, 1)
    assert work.flush(10)
    assert [tried.count(entry) for entry in ("bad", "late", "good")] == [3, 3, 1]
    assert work.lost == 1
    assert work.put("x" * 3, 1000), "nothing is left of them"


def test_entries_wait_until_they_may_start() -> None:
    closed = threading.Event()
    closed.set()
    done: list[str] = []
    work = queue(lambda entry: not done.append(entry), may_start=lambda: not closed.is_set(), threads=3)
    for entry in "abc":
        work.put(entry, 1)
    assert not work.flush(60, give_up=closed.is_set)
    assert done == []
    closed.clear()
    assert work.flush(10)
    assert sorted(done) == ["a", "b", "c"]


def test_many_threads_upload_everything_once() -> None:
    done: list[str] = []
    work = queue(lambda entry: not done.append(entry), max_entries=10_000, max_bytes=1 << 20, threads=8)
    for i in range(2000):
        assert work.put(str(i), 1)
    assert work.flush(30)
    assert sorted(done, key=int) == [str(i) for i in range(2000)]
    assert work._bytes == work._entries == 0
