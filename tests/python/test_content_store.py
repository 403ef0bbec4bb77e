"""The content store: what is put comes back, quotas hold, the least recently used goes first, threads and forks."""

import os
import pickle
import random
import threading
import time
from pathlib import Path

import pytest

import mithril
from mithril.cache._content import ContentStore, StoreStats
from mithril.cache._record import INLINE_BYTES, record_name
from mithril.cache._trust import Trust

KEY, OTHER_KEY = bytes(range(32)), bytes(32)


def file_of(store: ContentStore, name: str, tree: str = "objects") -> Path:
    return store.root / tree / name[:2] / name[2:4] / name


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(seed).randbytes(size)


@pytest.fixture
def store(tmp_path: Path) -> ContentStore:
    return ContentStore(tmp_path / "store")


@pytest.mark.parametrize("size", [0, 1, 4096, 1 << 20, (5 << 20) + 1])
def test_objects_come_back(store: ContentStore, size: int) -> None:
    data = noise(size)
    address = store.put(data)
    assert address == ContentStore.compute_address(data)
    assert store.get(address) == data
    assert store.exists(address)
    assert store.size(address) == size
    assert store.put(bytearray(data)) == store.put(memoryview(data)) == address
    assert list(store.addresses()) == [address]
    assert store.delete(address)
    assert not store.delete(address)
    assert store.get(address) is None
    assert not store.exists(address)
    assert store.size(address) is None


def test_addresses_that_cannot_be_are_the_callers_error(store: ContentStore) -> None:
    for address in ("", "0" * 63, "Z" * 64, "../" + "0" * 61):
        for call in (store.get, store.exists, store.size, store.delete):
            with pytest.raises(mithril.InvalidArgumentError):
                call(address)


def test_groups_come_back(store: ContentStore) -> None:
    members = {"kernel.so": noise(100_000), "meta/kernel.json": b"{}", "empty": b"", "edge": noise(INLINE_BYTES)}
    assert store.get_group("triton", "key") is None
    assert not store.has_group("triton", "key")
    put = store.put_group("triton", "key", members, fingerprint="avx2", seconds=1.5)
    group = store.get_group("triton", "key", fingerprint="avx2")
    assert group is not None
    assert group.members == members
    assert group.record == put
    assert group.record.seconds == 1.5
    assert store.has_group("triton", "key", fingerprint="avx2")
    for other in (("triton", "key", ""), ("triton", "other", "avx2"), ("fx", "key", "avx2")):
        assert store.get_group(*other[:2], fingerprint=other[2]) is None
    assert list(store.records()) == [put]
    assert store.stats().objects == 1  # the others are in the record
    store.put_group("triton", "key", {"a": b"new"}, fingerprint="avx2")
    group = store.get_group("triton", "key", fingerprint="avx2")
    assert group is not None
    assert group.members == {"a": b"new"}
    assert store.delete_group("triton", "key", fingerprint="avx2")
    assert not store.delete_group("triton", "key", fingerprint="avx2")
    assert store.get_group("triton", "key", fingerprint="avx2") is None


def test_a_group_that_misses_a_member_is_gone(store: ContentStore) -> None:
    record = store.put_group("fx", "key", {"large": noise(9000), "small": b"x"})
    store.delete(record.members[0].address)
    assert not store.has_group("fx", "key")
    assert store.get_group("fx", "key") is None
    assert store.stats().records == 0


def test_sealed_records_travel(store: ContentStore, tmp_path: Path) -> None:
    record = store.put_group("fx", "key", {"large": noise(9000), "small": b"x"})
    sealed = store.get_record(record.name)
    assert sealed is not None
    other = ContentStore(tmp_path / "other")
    assert other.put_record(record.name, sealed) == record
    assert not other.has_group("fx", "key")
    other.put(noise(9000))
    assert other.has_group("fx", "key")
    assert other.get_group("fx", "key") == store.get_group("fx", "key")
    with pytest.raises(mithril.CorruptError, match="not 0000"):
        other.put_record("0" * 64, sealed)
    with pytest.raises(mithril.CorruptError):
        other.put_record(record.name, sealed[:-1])
    assert other.get_record("0" * 64) is None


def test_a_record_under_another_name_is_not_taken(store: ContentStore) -> None:
    record = store.put_group("fx", "key", {"small": b"x"})
    wanted = record_name("fx", "", "other")
    file_of(store, wanted, "records").parent.mkdir(parents=True)
    os.rename(file_of(store, record.name, "records"), file_of(store, wanted, "records"))
    assert store.get_group("fx", "other") is None
    assert store.stats().quarantined == 1


def test_unsigned_records_are_a_miss_and_stay(tmp_path: Path) -> None:
    plain = ContentStore(tmp_path)
    record = plain.put_group("fx", "unsigned", {"a": b"1"})
    signing = ContentStore(tmp_path, trust=Trust("require", (KEY,)))
    assert signing.get_group("fx", "unsigned") is None
    assert signing.get_record(record.name) is None
    assert list(signing.records()) == []
    signing.put_group("fx", "signed", {"a": b"1"})
    assert signing.has_group("fx", "signed")
    other = ContentStore(tmp_path, trust=Trust("require", (OTHER_KEY,)))
    assert other.get_group("fx", "signed") is None
    assert other.verify().unreadable == tuple(sorted(name for name in (record.name, record_name("fx", "", "signed"))))
    assert other.gc().dropped == 0
    assert plain.has_group("fx", "unsigned")
    assert plain.has_group("fx", "signed")


def test_stats_count_what_is_there(tmp_path: Path) -> None:
    store = ContentStore(tmp_path / "store", max_size_bytes=1 << 20, max_files=1000)
    store.put(noise(1000, 1))
    store.put(noise(2000, 2))
    record = store.put_group("fx", "key", {"a": b"x"})
    bytes_ = 3000 + len(store.get_record(record.name) or b"")
    assert store.stats() == StoreStats(2, 1, bytes_, 8 + 3 * 3, 1 << 20, 1000, 0)
    store.clear()
    assert store.stats() == StoreStats(0, 0, 0, 8, 1 << 20, 1000, 0)


@pytest.mark.parametrize("quota", [{"max_size_bytes": 100_000}, {"max_files": 60}])
def test_least_recently_used_objects_and_records_go_first(tmp_path: Path, quota: dict[str, int]) -> None:
    store = ContentStore(tmp_path, **quota)
    addresses = [store.put(noise(5000, seed)) for seed in range(8)]
    for age, address in enumerate(addresses):
        os.utime(file_of(store, address), (0, 1000 + age))
    record = store.put_group("fx", "old", {"a": noise(4000)})
    os.utime(file_of(store, record.name, "records"), (0, 0))
    assert store.get(addresses[0]) is not None  # used now
    assert store.put(noise(5000, 2)) == addresses[2]  # put again: used too
    seed = 100
    while store.exists(addresses[1]):
        assert store.has_group("fx", "old") or seed > 100
        os.utime(file_of(store, record.name, "records"), (0, 0)) if store.has_group("fx", "old") else None
        store.put(noise(5000, seed))
        seed += 1
    assert not store.has_group("fx", "old")
    assert store.exists(addresses[0])
    assert store.exists(addresses[2])
    alive = [address for address in addresses if store.exists(address)]
    assert alive == [addresses[0], addresses[2], *addresses[len(addresses) - len(alive) + 2 :]]  # the oldest went


def test_quotas_hold_at_every_step(tmp_path: Path) -> None:
    store = ContentStore(tmp_path / "store", max_size_bytes=200_000, max_files=150)
    for seed in range(300):
        store.put(noise(3000 * (seed % 3), seed))
        store.put_group("fx", str(seed), {"a": noise(seed), "b": noise(5000, seed)})
        files = [path for path in store.root.rglob("*") if path.name not in ("usage", "lock", "CACHEDIR.TAG")]
        assert sum(path.stat().st_size for path in files if path.is_file()) <= 200_000
        assert len(files) + 4 <= 150
    assert store.verify().damaged == ()


def test_an_object_larger_than_the_quota_is_refused(tmp_path: Path) -> None:
    store = ContentStore(tmp_path, max_size_bytes=10_000)
    address = store.put(noise(9000))
    with pytest.raises(mithril.StorageError) as caught:
        store.put(noise(10_001))
    assert caught.value.errno == 27  # EFBIG
    assert store.exists(address)


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "1"])
def test_quotas_are_checked(tmp_path: Path, value: object) -> None:
    with pytest.raises(mithril.InvalidArgumentError, match="max_size_bytes"):
        ContentStore(tmp_path / "store", max_size_bytes=value)  # type: ignore[arg-type]
    with pytest.raises(mithril.InvalidArgumentError, match="max_files"):
        ContentStore(tmp_path / "store", max_files=value)  # type: ignore[arg-type]
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("damage", ["removed", "emptied", "cut", "garbage"])
def test_the_usage_file_may_be_lost(tmp_path: Path, damage: str) -> None:
    store = ContentStore(tmp_path, max_size_bytes=100_000)
    for seed in range(60):
        store.put(noise(3000, seed))
        usage = tmp_path / "usage"
        if seed % 7 == 0 and usage.exists():
            match damage:
                case "removed":
                    usage.unlink()
                case "emptied":
                    usage.write_bytes(b"")
                case "cut":
                    usage.write_bytes(usage.read_bytes()[:-5])
                case "garbage":
                    usage.write_bytes(noise(4096, seed))
        assert store.stats().bytes <= 100_000
    assert store.stats().objects > 20


def test_gc_drops_records_without_objects(store: ContentStore) -> None:
    record = store.put_group("fx", "half", {"large": noise(9000)})
    store.put_group("fx", "whole", {"large": noise(9001)})
    store.delete(record.members[0].address)
    damaged = store.put_group("fx", "damaged", {"small": b"x"})
    file_of(store, damaged.name, "records").write_bytes(b"nonsense")
    result = store.gc()
    assert (result.dropped, result.evicted, result.evicted_bytes) == (2, 0, 0)
    assert [record.key for record in store.records()] == ["whole"]


def test_read_only(tmp_path: Path) -> None:
    with pytest.raises(mithril.StorageNotFoundError):
        ContentStore(tmp_path / "store", read_only=True)
    writer = ContentStore(tmp_path / "store")
    address = writer.put(b"data")
    writer.put_group("fx", "key", {"large": noise(9000)})
    store = ContentStore(tmp_path / "store", read_only=True)
    assert store.get(address) == b"data"
    assert store.has_group("fx", "key")
    for call in (
        lambda: store.put(b"x"),
        lambda: store.put(b"data"),
        lambda: store.put_group("fx", "k", {"a": b""}),
        lambda: store.delete(address),
        store.gc,
        store.clear,
    ):
        with pytest.raises(mithril.StorageError, match="reading only"):
            call()
    file_of(store, address).write_bytes(b"DATA")
    assert store.get(address) is None
    assert store.verify().damaged == (address,)
    assert store.stats().quarantined == 0
    writer.delete(next(store.addresses()) if next(store.addresses()) != address else list(store.addresses())[1])
    assert store.get_group("fx", "key") is None


def test_stores_are_pickled_by_their_arguments(tmp_path: Path) -> None:
    store = ContentStore(tmp_path, max_size_bytes=1000, max_files=100, trust=Trust("prefer", (KEY,)))
    store.put_group("fx", "key", {"a": b"x"})
    copy = pickle.loads(pickle.dumps(store))
    assert (copy.root, copy.max_size_bytes, copy.max_files, copy.read_only) == (tmp_path, 1000, 100, False)
    assert copy.trust == store.trust
    assert copy.has_group("fx", "key")


def test_threads_share_a_store(tmp_path: Path) -> None:
    store = ContentStore(tmp_path, max_size_bytes=150_000, max_files=300)
    contents = [noise(3000 + seed, seed) for seed in range(100)]
    failures: list[object] = []
    end = time.monotonic() + 2

    def use(seed: int) -> None:
        chance = random.Random(seed)
        try:
            while time.monotonic() < end:
                data = chance.choice(contents)
                address = store.put(data)
                if store.get(address) not in (None, data):
                    failures.append(address)
                if chance.randrange(10) == 0:
                    store.delete(address)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=use, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    store.gc()
    assert store.stats().bytes <= 150_000
    assert store.verify().damaged == ()
    assert store.stats().quarantined == 0


FORK = """
import os, sys, threading
from mithril.cache._content import ContentStore
store = ContentStore(sys.argv[1], max_size_bytes=100_000)
stop = threading.Event()
def put():
    number = 0
    while not stop.is_set():
        store.put(b"%d" % number * 500)
        number += 1
threads = [threading.Thread(target=put) for _ in range(3)]
[thread.start() for thread in threads]
children = []
for number in range(20):
    child = os.fork()
    if child == 0:
        address = store.put(b"child %d" % number)
        store.gc()
        os._exit(0 if store.get(address) in (None, b"child %d" % number) else 1)
    children.append(child)
print([os.waitpid(child, 0)[1] for child in children])
stop.set()
[thread.join() for thread in threads]
print(store.verify().damaged)
"""


def test_forks_share_a_store(tmp_path: Path, run_python) -> None:
    assert run_python(FORK, tmp_path / "store").splitlines() == [str([0] * 20), "()"]
