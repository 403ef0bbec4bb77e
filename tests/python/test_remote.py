"""The remote tier against a server that fails in every way: no exception, no wrong bytes, no wait over the budget."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("obstore")

from mithril import InvalidArgumentError
from mithril.cache._record import INLINE_BYTES, decode_record, encode_record, make_record, record_name
from mithril.cache._remote.copy import RemoteTier
from mithril.cache._remote.tier import object_path, record_path
from mithril.cache._trust import Trust
from mithril.storage import LocalByteStore, open_store
from tests.python.fault_server import FAULTS, FaultServer, deaf_endpoint, give_credentials, running
from tests.python.test_remote_breaker import FakeClock

MEMBERS = {
    "graph": bytes(range(256)) * 100,
    "kernel/code.so": b"\x7fELF" * 5000,
    "kernel/copy.so": b"\x7fELF" * 5000,
    "small": b"inline",
    "empty": b"",
}
NAME = record_name("space", "print", "key")


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    give_credentials(monkeypatch)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with running() as server:
        yield server


def tier(server: FaultServer, trust: Trust | None = None, *, timeout_seconds: float = 2, **options) -> RemoteTier:
    """A tier that waits as long as needed, unless told otherwise."""
    store = open_store("s3://bucket", endpoint=server.endpoint, timeout_seconds=timeout_seconds)
    return RemoteTier(store, trust, **{"budget_seconds": 30, **options})


def put(remote: RemoteTier, key: str = "key", members: dict[str, bytes] = MEMBERS) -> bool:
    assert remote.push_group("space", key, members, fingerprint="print", seconds=2.5)
    return remote.flush(30)


def get(remote: RemoteTier, key: str = "key") -> dict[str, bytes] | None:
    found = remote.fetch_group("space", "print", key)
    return None if found is None else found[1]


def eventually(condition: Callable[[], bool]) -> None:
    """Background threads come to this."""
    for _ in range(1000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it never came to that")


def test_a_group_comes_back(server) -> None:
    assert put(tier(server))
    remote = tier(server)
    found = remote.fetch_group("space", "print", "key")
    assert found is not None
    record, members, _ = found
    assert members == MEMBERS
    assert (record.namespace, record.fingerprint, record.key, record.seconds) == ("space", "print", "key", 2.5)
    for wrong in (("other", "print", "key"), ("space", "", "key"), ("space", "print", "other")):
        assert remote.fetch_group(*wrong) is None
    stats = remote.stats()
    assert (stats.gets, stats.hits, stats.misses, stats.errors, stats.rejected) == (4, 1, 3, 0, 0)
    assert stats.bytes_in == sum(map(len, server.objects.values()))


def test_the_record_is_written_last_and_objects_once(server) -> None:
    put(tier(server))
    written = [request.path for request in server.requests if request.method == "PUT"]
    assert len(written) == 3, "two objects, although three members are large, and a record"
    assert written[-1].endswith(record_path(NAME))
    assert sorted(server.objects) == sorted(path.removeprefix("/bucket/") for path in written)
    remote = tier(server)
    put(remote)
    stats = remote.stats()
    assert stats.bytes_out == len(server.objects[record_path(NAME)]), "objects that are there are not sent again"
    assert (stats.puts, stats.dropped) == (1, 0)


@pytest.mark.parametrize("kind", FAULTS)
def test_lookups_while_the_server_fails(kind, server) -> None:
    put(tier(server))
    server.fail(kind, method="GET")
    remote = tier(server, budget_seconds=0.05 if kind in ("slow", "silent") else 30)
    for _ in range(5):
        assert get(remote) in (None, MEMBERS)
    stats = remote.stats()
    assert stats.gets == stats.hits + stats.misses == 5
    if kind in ("slow", "silent"):
        assert stats.timeouts, "it returned while the server hangs"
        assert server.faults
    elif kind in ("wrong", "long"):
        assert stats.rejected == 5
        assert stats.breaker == "closed", "it has answered"
    else:
        assert stats.errors == 3
        assert stats.skipped == 2
        assert stats.breaker == "open"
    server.heal()
    assert get(tier(server)) == MEMBERS


@pytest.mark.parametrize("kind", FAULTS)
def test_uploads_while_the_server_fails(kind, server) -> None:
    """Afterwards all is there or can be put, and a record is never there without its objects."""
    server.fail(kind, method="PUT")
    remote = tier(server, timeout_seconds=0.1)
    assert remote.push_group("space", "key", MEMBERS, fingerprint="print")
    remote.flush(0.3)
    assert_records_are_whole(server)
    server.heal()
    remote = tier(server)
    assert put(remote)
    assert remote.stats().errors == 0
    assert_records_are_whole(server)
    assert get(remote) == MEMBERS


def assert_records_are_whole(server: FaultServer) -> None:
    for path, data in list(server.objects.items()):
        if path.startswith("records/"):
            for member in decode_record(data, Trust()).members:
                if member.data is None:
                    assert len(server.objects[object_path(member.address)]) == member.size


def test_nobody_listens(server) -> None:
    with deaf_endpoint() as server.endpoint:
        remote = tier(server, budget_seconds=0.05, timeout_seconds=0.2)
        assert [get(remote) for _ in range(5)] == [None] * 5
        assert remote.push_group("space", "key", MEMBERS)
        assert not remote.flush(), "the lookups are late: it is not worth waiting"
        eventually(lambda: remote.stats().breaker == "open")


def test_the_breaker_keeps_the_peace_and_one_probe_ends_it(server) -> None:
    clock = FakeClock()
    put(tier(server))
    remote = tier(server, clock=clock)
    server.fail("503")
    for _ in range(3):
        assert get(remote) is None
    assert remote.stats().breaker == "open"
    asked = len(server.requests)
    assert get(remote) is None
    assert put(remote, "other") is False, "uploads wait, and nobody waits for them"
    assert len(server.requests) == asked
    clock.now += 31
    eventually(lambda: remote.stats().breaker == "open" and len(server.requests) > asked)  # a probe has failed
    server.heal()
    clock.now += 31
    eventually(lambda: remote.stats().breaker == "closed")
    assert remote.flush(30)
    assert get(remote) == get(remote, "other") == MEMBERS


def test_without_patience_lookups_go_on_until_one_hits(server) -> None:
    """They cost no time any more; the first hit shows that waiting is worth it."""
    put(tier(server))
    server.fail("silent", 1, method="GET")
    remote = tier(server, budget_seconds=0.2, timeout_seconds=30)
    assert get(remote) is None
    assert remote._patience.left <= 0
    assert get(remote) is None, "no patience left"
    eventually(lambda: remote._patience.left > 0)  # the answer was a hit
    eventually(lambda: get(remote) == MEMBERS)
    assert server.faults[0].count == 0
    assert remote.stats().errors == 0, "the first is still not answered"


def test_a_stuck_server_takes_no_more_than_its_threads(server) -> None:
    server.fail("silent")
    remote = tier(server, budget_seconds=0, timeout_seconds=30, max_concurrent=2)
    before = lookups()
    for _ in range(50):
        assert get(remote) is None
    stats = remote.stats()
    assert (stats.timeouts, stats.skipped) == (2, 48)
    assert len(lookups() - before) == 2
    server.heal()
    eventually(lambda: not lookups() - before)


def lookups() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "mithril-lookup"}


def test_members_are_read_at_once(server) -> None:
    """The server holds back each object until the last is asked for."""
    members = {str(i): bytes([i]) * 5000 for i in range(6)}
    put(tier(server), members=members)
    server.fail("silent", 5, method="GET", part="objects/")
    remote = tier(server, timeout_seconds=30)
    looked = threading.Thread(target=get, args=(remote,))
    looked.start()
    eventually(lambda: server.count("GET", "objects/") == 6)
    server.heal()
    looked.join()


def test_damage_is_a_miss_and_is_repaired(server) -> None:
    put(tier(server))
    for path in list(server.objects):
        whole = server.objects[path]
        for damaged in (whole[:-1], whole + b"x", b"", bytes([whole[0] ^ 1]) + whole[1:]):
            server.objects[path] = damaged
            remote = tier(server)
            assert get(remote) is None
            stats = remote.stats()
            assert (stats.rejected, stats.errors, stats.breaker) == (1, 0, "closed")
            put(remote)
            assert server.objects[path] == whole
            assert get(remote) == MEMBERS


def test_an_object_that_is_gone_is_a_miss(server) -> None:
    put(tier(server))
    del server.objects[next(path for path in server.objects if path.startswith("objects/"))]
    remote = tier(server)
    assert get(remote) is None
    assert remote.stats().errors == 0
    put(remote)
    assert get(remote) == MEMBERS


def test_a_record_under_the_name_of_another(server) -> None:
    put(tier(server), "key")
    server.objects[record_path(record_name("space", "print", "victim"))] = server.objects[record_path(NAME)]
    remote = tier(server)
    assert get(remote, "victim") is None
    assert remote.stats().rejected == 1


def test_sizes_that_records_claim_are_not_believed(server) -> None:
    """Nothing is fetched for a record that names more than a group may have."""
    record = make_record("space", "print", "key", {"big": bytes(INLINE_BYTES + 1)})
    for size in (1 << 50, (1 << 30) + 1):
        lie = encode_record(record, Trust()).replace(b"4097,", b"%d," % size)
        (member,) = record.members
        lying = type(record)("space", "print", "key", (type(member)("big", size, member.address),))
        assert len(lie)
        server.objects[record_path(NAME)] = encode_record(lying, Trust())
        remote = tier(server)
        assert get(remote) is None
        assert remote.stats().rejected == 1
        assert server.count("GET", "objects/") == 0
    server.objects[record_path(NAME)] = bytes((16 << 20) + 1)
    remote = tier(server)
    assert get(remote) is None
    assert (remote.stats().rejected, remote.stats().bytes_in) == (1, 0)


KEYS = [bytes([i]) * 32 for i in range(3)]


@pytest.mark.parametrize(
    ("writer", "reader", "is_taken"),
    [
        (Trust(), Trust(), True),
        (Trust(), Trust("prefer", (KEYS[0],)), True),
        (Trust(), Trust("require", (KEYS[0],)), False),
        (Trust("require", (KEYS[0],)), Trust("require", (KEYS[0],)), True),
        (Trust("require", (KEYS[0],)), Trust("require", (KEYS[1], KEYS[0])), True),
        (Trust("require", (KEYS[0],)), Trust("require", (KEYS[1],)), False),
        (Trust("require", (KEYS[0],)), Trust(), True),
    ],
)
def test_whom_to_trust(writer, reader, is_taken, server) -> None:
    put(tier(server, writer))
    before = server.count("GET", "objects/")
    remote = tier(server, reader)
    assert get(remote) == (MEMBERS if is_taken else None)
    assert remote.stats().rejected == (not is_taken)
    assert (server.count("GET", "objects/") > before) == is_taken, "objects of strangers are not even fetched"


def test_read_only_writes_nothing(server) -> None:
    put(tier(server))
    remote = tier(server, read_only=True)
    asked = server.count("PUT")
    assert not remote.push_group("space", "other", MEMBERS)
    assert remote.flush(0)
    assert get(remote) == MEMBERS
    assert server.count("PUT") == asked
    assert remote.stats().dropped == 0


def test_what_does_not_fit_is_dropped_and_counted(server) -> None:
    server.fail("silent", 1, method="PUT")
    size = sum(map(len, MEMBERS.values()))
    remote = tier(server, timeout_seconds=30, queue_bytes=2 * size + 100)
    queued = [remote.push_group("space", str(i), MEMBERS) for i in range(5)]
    assert queued == [True, True, False, False, False]
    assert remote.stats().dropped == 3
    server.heal()


def test_groups_that_no_record_can_hold(server) -> None:
    remote = tier(server)
    for members in ({}, {"../escape": b"x"}, {str(i): b"" for i in range(5000)}):
        assert put(remote, members=members)
    assert server.objects == {}
    assert (remote.stats().errors, remote.stats().dropped, remote.stats().breaker) == (3, 3, "closed")


def test_uploads_are_tried_again(server) -> None:
    server.fail("drop", 8, method="PUT")  # a store itself tries four times
    remote = tier(server)
    assert put(remote)
    assert (remote.stats().puts, remote.stats().errors, remote.stats().dropped) == (1, 2, 0)
    assert get(remote) == MEMBERS


def test_many_threads(server) -> None:
    remote = tier(server, max_concurrent=4, timeout_seconds=10)
    contents = {str(i): {"a": bytes([i]) * 5000, "b": b"%d" % i} for i in range(20)}
    failures: list[str] = []

    def work(seed: int) -> None:
        for key in itertools.islice(itertools.cycle(contents), seed, seed + 20):
            remote.push_group("space", key, contents[key], fingerprint="print")
            if get(remote, key) not in (None, contents[key]):
                failures.append(key)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert remote.flush(60)
    assert failures == []
    assert all(get(remote, key) == content for key, content in contents.items())
    stats = remote.stats()
    assert (stats.puts, stats.errors, stats.rejected) == (80, 0, 0)
    assert stats.gets == stats.hits + stats.misses == 100


@pytest.mark.parametrize("options", [{"budget_seconds": -1}, {"queue_bytes": -1}, {"max_concurrent": 0}])
def test_bad_options(options, tmp_path) -> None:
    with pytest.raises(InvalidArgumentError, match="out of range"):
        RemoteTier(LocalByteStore(tmp_path), **options)


_STUCK_EXIT = """
import sys
from mithril.cache._remote.copy import RemoteTier
from mithril.storage import open_store
remote = RemoteTier(open_store("s3://bucket", endpoint=sys.argv[1], timeout_seconds=1000), budget_seconds=0.05)
assert remote.fetch_group("space", "print", "key") is None
assert remote.push_group("space", "key", {"x": bytes(10000)})
assert not remote.flush()
print(remote.stats().timeouts)
"""


@pytest.mark.distributed
def test_a_process_ends_while_the_server_hangs(server, run_python) -> None:
    server.fail("silent")
    assert run_python(_STUCK_EXIT, server.endpoint) == "1\n"
    assert server.requests
    assert server.faults, "it hangs still"


_FORK = """
import os, sys, threading
from mithril.cache._remote.copy import RemoteTier
from mithril.storage import LocalByteStore
remote = RemoteTier(LocalByteStore(sys.argv[1]), budget_seconds=30)
assert remote.push_group("space", "key", {"x": bytes(10000)}) and remote.flush(30)
with remote._lock, remote._queue._changed:  # as a thread of the parent may hold them
    child = os.fork()
    if child == 0:
        assert remote.stats().puts == 0
        assert remote.fetch_group("space", "", "key")[1] == {"x": bytes(10000)}
        assert remote.push_group("space", "child", {"x": bytes(5000)}) and remote.flush(30)
        os._exit(7)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert remote.fetch_group("space", "", "child")[1] == {"x": bytes(5000)}
assert remote.stats().puts == 1
"""


@pytest.mark.distributed
def test_a_forked_child_starts_afresh(run_python, tmp_path: Path) -> None:
    run_python(_FORK, tmp_path)


def test_importing_the_tier_imports_no_client(run_python) -> None:
    run_python(
        "import sys, mithril.cache._remote.copy as r; assert not {'obstore', 'torch', 'numpy'} & set(sys.modules)"
    )
