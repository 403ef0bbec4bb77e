"""Push, pull, sync and warm-up between a local store and a bucket, with a real server and with one that fails."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("obstore")

from mithril import InvalidArgumentError, StorageError
from mithril.cache._content import ContentStore
from mithril.cache._record import decode_record, record_name
from mithril.cache._remote.copy import PullStats, PushStats, RemoteTier, pull, push, sync, warmup
from mithril.cache._remote.s3 import RemoteCacheConfig, S3RemoteCache
from mithril.cache._remote.tier import object_path, record_path
from mithril.cache._trust import Trust
from mithril.storage import open_store
from tests.python.fault_server import FAULTS, FaultServer, give_credentials, running
from tests.python.moto_server import bucket_server

GROUPS = {
    f"key {i}": {"large": bytes([i]) * 6000, "shared": b"shared" * 1000, "small": b"%d" % i, "empty": b""}
    for i in range(5)
}


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    give_credentials(monkeypatch)


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    with bucket_server() as endpoint:
        yield endpoint


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with running() as server:
        yield server


def tier(endpoint: str, prefix: str = "", trust: Trust | None = None, **options) -> RemoteTier:
    return RemoteTier(open_store(f"s3://bucket/{prefix}", endpoint=endpoint, timeout_seconds=5), trust, **options)


def filled(path: Path, trust: Trust | None = None) -> ContentStore:
    store = ContentStore(path, trust=trust)
    for key, members in GROUPS.items():
        store.put_group("space", key, members, fingerprint="print", seconds=1.5)
    return store


def contents(store: ContentStore) -> dict[str, dict[str, bytes]]:
    found = {}
    for record in store.records():
        group = store.get_group(record.namespace, record.key, fingerprint=record.fingerprint)
        if group is not None:
            found[record.key] = group.members
    return found


def numbers(stats: PushStats) -> tuple[int, int, int, int]:
    return stats.objects, stats.records, stats.skipped, stats.failed


def assert_whole(server: FaultServer) -> int:
    """Every record in the bucket has its objects. Returns how many there are."""
    records = [decode_record(data, Trust()) for path, data in server.objects.items() if path.startswith("records/")]
    for record in records:
        for member in record.members:
            if member.data is None:
                assert ContentStore.compute_address(server.objects[object_path(member.address)]) == member.address
    return len(records)


def test_there_and_back(s3_endpoint: str, tmp_path: Path) -> None:
    local, remote = filled(tmp_path / "a"), tier(s3_endpoint, "there")
    seen: list[tuple[int, int, int]] = []
    pushed = push(local, remote, progress=lambda *now: seen.append(now))
    assert numbers(pushed) == (6, 5, 0, 0)
    assert [now[:2] for now in seen] == [(i, 5) for i in range(1, 6)]
    assert seen[-1][2] == pushed.bytes == sum(info.size for info in remote.store.list())
    assert numbers(push(local, remote)) == (0, 0, 5, 0)

    other = ContentStore(tmp_path / "b")
    pulled = pull(other, tier(s3_endpoint, "there"))
    assert isinstance(pulled, PullStats)
    assert numbers(pulled) in {(n, 5, 0, 0) for n in range(6, 11)}  # threads may fetch the shared one at once
    assert contents(other) == GROUPS
    assert {r.seconds for r in other.records()} == {1.5}
    assert numbers(pull(other, remote)) == (0, 0, 5, 0)


def test_sync_makes_both_the_same(s3_endpoint: str, tmp_path: Path) -> None:
    here, there = ContentStore(tmp_path / "a"), ContentStore(tmp_path / "b")
    remote = tier(s3_endpoint, "sync")
    here.put_group("space", "mine", {"x": bytes(5000)})
    there.put_group("space", "yours", {"x": bytes(6000)})
    sync(there, remote)
    stats = sync(here, remote)
    assert numbers(stats.pull) == (*numbers(stats.push)[:2], 0, 0) == (1, 1, 0, 0)
    assert numbers(stats.push)[2] == 1
    sync(there, remote)
    assert contents(here) == contents(there) == {"mine": {"x": bytes(5000)}, "yours": {"x": bytes(6000)}}


def test_warmup_fetches_what_is_asked_for(server: FaultServer, tmp_path: Path) -> None:
    local = filled(tmp_path / "a")
    local.put_group("other", "else", {"x": bytes(7000)})
    push(local, tier(server.endpoint))
    warm = ContentStore(tmp_path / "b")
    assert numbers(warmup(warm, tier(server.endpoint), ["other"])) == (1, 1, 5, 0)
    assert contents(warm) == {"else": {"x": bytes(7000)}}
    server.requests.clear()
    keys = [("space", "print", "key 1"), ("space", "print", "key 2"), ("space", "print", "absent")]
    assert numbers(warmup(warm, tier(server.endpoint), keys=keys))[1:] == (2, 1, 0)
    assert server.count("GET", "list-type") == 0
    assert set(contents(warm)) == {"else", "key 1", "key 2"}
    assert numbers(warmup(warm, tier(server.endpoint)))[1:] == (3, 3, 0)


def test_pull_stops_at_the_quota(server: FaultServer, tmp_path: Path) -> None:
    big = ContentStore(tmp_path / "a")
    for i in range(8):
        big.put_group("space", str(i), {"x": bytes([i]) * (1 << 20)})
    push(big, tier(server.endpoint))
    small = ContentStore(tmp_path / "b", max_size_bytes=4 << 20)
    stats = pull(small, tier(server.endpoint))
    assert 1 <= stats.records <= 4
    assert stats.records + stats.skipped == 8
    assert stats.failed == 0
    assert len(contents(small)) == stats.records, "nothing was evicted again"


def test_damage_in_the_bucket(server: FaultServer, tmp_path: Path) -> None:
    """Pulling counts it and takes the rest; pushing repairs it."""
    local = filled(tmp_path / "a")
    push(local, tier(server.endpoint))
    whole = dict(server.objects)
    names = {key: record_name("space", "print", key) for key in GROUPS}
    address = {key: ContentStore.compute_address(GROUPS[key]["large"]) for key in GROUPS}
    server.objects[record_path(names["key 0"])] = b"damaged"
    server.objects[object_path(address["key 1"])] = b"short"
    server.objects[object_path(address["key 2"])] = bytes(6000)
    del server.objects[object_path(address["key 3"])]
    other = ContentStore(tmp_path / "b")
    stats = pull(other, remote := tier(server.endpoint))
    assert (stats.records, stats.failed) == (1, 4)
    assert contents(other) == {"key 4": GROUPS["key 4"]}
    # An object of the right size looks right in a listing: only who has read it knows.
    assert numbers(push(local, tier(server.endpoint)))[1:] == (3, 2, 0)
    assert numbers(push(local, remote)) == (2, 2, 3, 0)
    assert server.objects == whole
    assert numbers(pull(other, remote))[1:] == (4, 1, 0)
    assert contents(other) == GROUPS


def test_what_has_gone_here_is_skipped(server: FaultServer, tmp_path: Path) -> None:
    local = filled(tmp_path / "a")
    local.delete(ContentStore.compute_address(GROUPS["key 2"]["large"]))
    assert numbers(push(local, tier(server.endpoint)))[1:] == (4, 1, 0)
    assert assert_whole(server) == 4


KEY = bytes(range(32))


def test_signed_records_replace_unsigned_ones(server: FaultServer, tmp_path: Path) -> None:
    signing, strict = Trust("prefer", (KEY,)), Trust("require", (KEY,))
    push(filled(tmp_path / "a"), tier(server.endpoint))
    assert numbers(pull(ContentStore(tmp_path / "b", trust=strict), tier(server.endpoint, trust=strict)))[1:] == (
        0,
        0,
        5,
    )
    signed = filled(tmp_path / "c", signing)
    assert numbers(push(signed, tier(server.endpoint, trust=signing))) == (0, 5, 0, 0)
    assert numbers(push(signed, tier(server.endpoint, trust=signing))) == (0, 0, 5, 0)
    unsigned = ContentStore(tmp_path / "a", trust=signing)
    assert numbers(push(unsigned, tier(server.endpoint, trust=signing))) == (0, 0, 5, 0)
    assert numbers(pull(ContentStore(tmp_path / "b", trust=strict), tier(server.endpoint, trust=strict)))[1:] == (
        5,
        0,
        0,
    )


def test_copying_signs_nothing(server: FaultServer, tmp_path: Path) -> None:
    """What a stranger made does not become trusted by passing through a store that has the key."""
    push(filled(tmp_path / "stranger"), tier(server.endpoint))
    signing = Trust("prefer", (KEY,))
    local = ContentStore(tmp_path / "a", trust=signing)
    assert numbers(pull(local, tier(server.endpoint, trust=signing)))[1:] == (5, 0, 0)
    with running() as second:
        assert numbers(push(local, tier(second.endpoint, trust=signing)))[1:] == (5, 0, 0)
        strict = Trust("require", (KEY,))
        clean = ContentStore(tmp_path / "b", trust=strict)
        assert numbers(pull(clean, tier(second.endpoint, trust=strict))) == (0, 0, 0, 5)


def test_a_bucket_that_cannot_be_listed(server: FaultServer, tmp_path: Path) -> None:
    server.fail("500")
    for copy in (push, pull, sync, warmup):
        with pytest.raises(StorageError):
            copy(filled(tmp_path / "a"), tier(server.endpoint))


def test_nothing_is_pushed_read_only(server: FaultServer, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match="read-only"):
        push(filled(tmp_path / "a"), tier(server.endpoint, read_only=True))
    assert server.requests == []


@pytest.mark.parametrize("kind", [kind for kind in FAULTS if kind not in ("slow", "silent", "500")])
@pytest.mark.parametrize("after", [1, 4])
def test_a_push_that_fails_is_completed_by_the_next(kind: str, after: int, server: FaultServer, tmp_path: Path) -> None:
    local = filled(tmp_path / "a")
    server.fail(kind, 10, method="PUT", skip=after)
    first = push(local, tier(server.endpoint, max_concurrent=1))
    assert first.records + first.failed == 5
    assert_whole(server)
    second = push(local, tier(server.endpoint))
    assert (second.records + second.skipped, second.failed) == (5, 0)
    assert assert_whole(server) == 5
    other = ContentStore(tmp_path / "b")
    assert numbers(pull(other, tier(server.endpoint)))[1:] == (5, 0, 0)
    assert contents(other) == GROUPS


def test_a_dead_bucket_is_not_asked_for_every_record(server: FaultServer, tmp_path: Path) -> None:
    local = ContentStore(tmp_path / "a")
    for i in range(100):
        local.put_group("space", str(i), {"x": b"%d" % i})
    server.fail("500", method="PUT")
    stats = push(local, tier(server.endpoint, max_concurrent=4))
    assert stats.failed == 100
    assert server.count("PUT") <= 4 * (20 + 4)


_PUSH = """
import sys
import time
from mithril.cache._content import ContentStore
from mithril.cache._remote.copy import RemoteTier, push
from mithril.storage import open_store
push(ContentStore(sys.argv[1]), RemoteTier(open_store("s3://bucket", endpoint=sys.argv[2]), max_concurrent=2))
"""


@pytest.mark.distributed
@pytest.mark.parametrize("kind", ["silent", "lost"])
def test_killed_in_the_middle_of_a_push(kind: str, server: FaultServer, tmp_path: Path) -> None:
    """Killed at a request that was not done, or was but not acknowledged: no record is there without its objects."""
    local = filled(tmp_path / "a")
    for done in (0, 1, 3, 6, 9):
        server.objects.clear()
        server.requests.clear()
        server.fail(kind, 1, method="PUT", skip=done)
        server.fail("silent", method="PUT", skip=done)
        with subprocess.Popen([sys.executable, "-c", _PUSH, tmp_path / "a", server.endpoint]) as pushing:
            while server.count("PUT") <= done:
                assert pushing.poll() is None
                time.sleep(0.005)
            pushing.kill()
        server.heal()
        assert len(server.objects) < 11
        assert_whole(server)
    push(local, tier(server.endpoint))
    assert assert_whole(server) == 5


def test_values_shared_through_a_bucket(s3_endpoint: str, tmp_path: Path) -> None:
    def cache(folder: str, **options) -> S3RemoteCache:
        return S3RemoteCache(
            tmp_path / folder, "bucket", "values", endpoint=s3_endpoint, config=RemoteCacheConfig(**options)
        )

    with cache("a", auto_push=True) as first:
        first.put("pushed", b"1")
        first.put("large", bytes(10_000))
    with cache("b") as second:
        assert (second.get("pushed"), second.get("large"), second.get("absent")) == (b"1", bytes(10_000), None)
        second.put("kept", b"2")
        assert second.push().records == 1
    with cache("c", lazy_pull=False) as third:
        assert third.get("kept") is None
        assert third.warmup(["kept"]).records == 1
        assert third.get("kept") == b"2"
        assert third.pull().records == 2
        assert third.sync().push.skipped == 3
    with cache("b") as again:
        again.remote.store = open_store("s3://bucket", endpoint="http://127.0.0.1:1")
        assert again.get("large") == bytes(10_000), "it is here now"


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "8"])
def test_bad_concurrency(value: object) -> None:
    with pytest.raises(InvalidArgumentError, match="max_concurrent"):
        RemoteCacheConfig(max_concurrent=value)
