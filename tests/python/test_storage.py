"""Byte stores: one suite for all of them, and what is particular to each."""

import contextlib
import errno
import os
import pickle
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mithril import InvalidArgumentError, StorageError, UnsupportedError
from mithril.storage import ByteStore, LocalByteStore, ObjectByteStore, ObjectInfo, open_store
from tests.python.fault_server import FAULTS, deaf_endpoint, give_credentials, running
from tests.python.moto_server import bucket_server


@pytest.fixture(autouse=True)
def _credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    give_credentials(monkeypatch)


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    with bucket_server() as endpoint:
        yield endpoint


@pytest.fixture(params=["local", "s3", "s3 below a prefix"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ByteStore:
    if request.param == "local":
        return LocalByteStore(tmp_path / "made" / "later")
    prefix = tmp_path.name + ("/pre/fix=1" if "prefix" in request.param else "")
    return open_store(f"s3://bucket/{prefix}", endpoint=request.getfixturevalue("s3_endpoint"))


def listed(store: ByteStore, prefix: str = "") -> dict[str, int]:
    found = list(store.list(prefix))
    assert all(isinstance(info, ObjectInfo) for info in found)
    assert len({info.name for info in found}) == len(found)
    return {info.name: info.size for info in found}


def test_put_get_list_delete(store: ByteStore) -> None:
    assert store.get("a/b", limit=100) is None
    assert listed(store) == {}
    assert listed(store, "a") == {}
    store.delete("a/b")
    contents = {"a/b": b"", "a/c/d": bytes(range(256)), "top": b"x", "a-/b": b"y", "=+._-Z9/0": b"z" * 70_000}
    for name, data in contents.items():
        store.put(name, data)
    for name, data in contents.items():
        assert store.get(name, limit=len(data)) == data
    assert listed(store) == {name: len(data) for name, data in contents.items()}
    assert listed(store, "a") == {"a/b": 0, "a/c/d": 256}
    assert listed(store, "a/c") == {"a/c/d": 256}
    assert listed(store, "to") == listed(store, "top") == listed(store, "nothing/here") == {}
    store.delete("a/b")
    assert store.get("a/b", limit=100) is None
    assert "a/b" not in listed(store)


def test_put_replaces_and_put_if_absent_does_not(store: ByteStore) -> None:
    store.put("x", b"first")
    store.put("x", b"second, and longer")
    assert store.get("x", limit=100) == b"second, and longer"
    assert store.put_if_absent("x", b"third") is False
    assert store.get("x", limit=100) == b"second, and longer"
    assert store.put_if_absent("y", b"new") is True
    assert store.get("y", limit=3) == b"new"


def test_more_than_the_limit(store: ByteStore) -> None:
    store.put("x", b"12345")
    assert store.get("x", limit=5) == b"12345"
    with pytest.raises(StorageError, match="5 bytes, more than the limit of 4") as failure:
        store.get("x", limit=4)
    assert failure.value.errno == errno.EFBIG


def test_one_of_many_writers_is_first(store: ByteStore) -> None:
    start = threading.Barrier(8)

    def write(number: int) -> bool:
        start.wait()
        return store.put_if_absent("contested", b"%d" % number)

    with ThreadPoolExecutor(8) as threads:
        first = list(threads.map(write, range(8)))
    assert first.count(True) == 1
    assert store.get("contested", limit=10) == b"%d" % first.index(True)


def test_readers_see_whole_objects(store: ByteStore) -> None:
    """While two writers replace an object, whoever reads it finds one of the two whole."""
    contents = [bytes([i]) * 100_000 for i in range(2)]
    store.put("x", contents[0])
    done = threading.Event()

    def write(data: bytes) -> None:
        while not done.is_set():
            store.put("x", data)

    with ThreadPoolExecutor(2) as threads:
        writers = [threads.submit(write, data) for data in contents]
        for _ in range(30):
            assert store.get("x", limit=1 << 20) in contents
            assert set(listed(store)) == {"x"}
        done.set()
        for writer in writers:
            writer.result()


def test_a_pickled_store_is_the_same_store(store: ByteStore) -> None:
    store.put("x", b"1")
    assert pickle.loads(pickle.dumps(store)).get("x", limit=1) == b"1"


NO_NAMES = ["", "/a", "a/", "a//b", ".", "..", "a/../b", "a/./b", "a b", "ä", "a\0", "a\\b", "~tmp/x", "x" * 901, "a\n"]


@pytest.mark.parametrize("name", NO_NAMES)
@pytest.mark.parametrize("kind", ["local", "s3"])
def test_what_is_no_name(kind: str, name: str, tmp_path: Path) -> None:
    store = LocalByteStore(tmp_path) if kind == "local" else ObjectByteStore("bucket")
    for use in (
        lambda: store.put(name, b""),
        lambda: store.put_if_absent(name, b""),
        lambda: store.get(name, limit=1),
        lambda: store.delete(name),
        lambda: list(store.list(name or "/")),
    ):
        with pytest.raises(InvalidArgumentError, match="not the name of an object"):
            use()
    assert os.listdir(tmp_path) == []


# The local folder


def test_files_that_are_no_objects_are_neither_read_nor_listed(tmp_path: Path) -> None:
    store = LocalByteStore(tmp_path / "store")
    store.put("real/x", b"1")
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "outside").mkdir()
    (tmp_path / "store" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "store" / "folder").symlink_to(tmp_path / "outside")
    (tmp_path / "store" / "no name").write_bytes(b"")
    (tmp_path / "store" / os.fsdecode(b"\xff")).write_bytes(b"")
    os.mkfifo(tmp_path / "store" / "pipe")
    assert listed(store) == {"real/x": 1}
    for name in ("link", "pipe", "real", "folder"):
        with pytest.raises(StorageError):
            store.get(name, limit=100)
    with pytest.raises(StorageError):
        store.put("folder/x", b"1")
    assert os.listdir(tmp_path / "outside") == []
    assert store.get("real/x/below", limit=1) is None
    with pytest.raises(StorageError):
        store.put("real/x/below", b"1")
    store.put("link", b"mine")
    assert (tmp_path / "secret").read_bytes() == b"secret"
    assert store.get("link", limit=100) == b"mine"


def test_nothing_stays_of_a_put_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalByteStore(tmp_path)
    store.put("x", b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for put in (store.put, store.put_if_absent):
        with pytest.raises(StorageError) as failure:
            put("x", b"new")
        assert failure.value.errno == errno.ENOSPC
        assert failure.value.filename == str(tmp_path / "x")
    assert store.get("x", limit=3) == b"old"
    assert os.listdir(tmp_path / "~tmp") == []


def test_what_dead_writers_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "~tmp").mkdir()
    for name, age in {"old": 100_000, "young": 10}.items():
        (tmp_path / "~tmp" / name).write_bytes(b"half")
        then = (tmp_path / "~tmp" / name).stat().st_mtime - age
        os.utime(tmp_path / "~tmp" / name, (then, then))
    store = LocalByteStore(tmp_path)
    store.put("x", b"1")
    assert os.listdir(tmp_path / "~tmp") == ["young"]
    assert listed(store) == {"x": 1}


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_others_may_read_what_the_umask_leaves(umask: int, tmp_path: Path) -> None:
    old = os.umask(umask)
    try:
        LocalByteStore(tmp_path / "s").put("a/x", b"1")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "s" / "a" / "x").stat().st_mode) == 0o666 & ~umask
    assert stat.S_IMODE((tmp_path / "s" / "a").stat().st_mode) == 0o777 & ~umask


_WRITE_FOREVER = """
import itertools, sys
from mithril.storage import LocalByteStore
store = LocalByteStore(sys.argv[1])
for i in itertools.count():
    store.put("same", bytes([i % 256]) * 200_000)
    store.put_if_absent(f"new/{i % 50}", bytes([i % 50]) * 200_000)
    print(i, flush=True)
"""


def test_killed_writers_leave_whole_objects(tmp_path: Path) -> None:
    store = LocalByteStore(tmp_path)
    for _ in range(4):
        with subprocess.Popen([sys.executable, "-c", _WRITE_FOREVER, tmp_path], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            writer.kill()
        for name, size in listed(store).items():
            data = store.get(name, limit=200_000)
            assert data is not None
            assert size == len(data) == 200_000
            assert len(set(data)) == 1


# Buckets


@pytest.mark.parametrize("kind", FAULTS)
def test_a_bucket_that_fails_is_a_storage_error_or_right(kind: str) -> None:
    """No fault gives wrong bytes of another length, an object that was not put, or another kind of error."""
    pytest.importorskip("obstore")
    data = b"right" * 10
    with running() as server:
        server.objects["p/there"] = data
        store = open_store("s3://bucket/p", endpoint=server.endpoint, timeout_seconds=0.1)
        server.fail(kind)
        with contextlib.suppress(StorageError):
            assert len(store.get("there", limit=len(data)) or b"") == len(data)
        for put in (store.put, store.put_if_absent):
            with contextlib.suppress(StorageError):
                put("x", data)
        with contextlib.suppress(StorageError):
            assert {"p/" + info.name for info in store.list()} <= set(server.objects)
        with contextlib.suppress(StorageError):
            store.delete("there")
        server.heal()
        store = open_store("s3://bucket/p", endpoint=server.endpoint)
        store.put("there", data)
        assert store.get("there", limit=len(data)) == data
        store.put_if_absent("x", data)
        assert listed(store) == {"there": 50, "x": 50}
        assert store.get("x", limit=len(data)) == data


def test_failures_that_pass_are_not_noticed() -> None:
    pytest.importorskip("obstore")
    with running() as server:
        store = open_store("s3://bucket", endpoint=server.endpoint)
        for kind in ("500", "503", "drop"):
            server.fail(kind, 1)
            store.put("x", kind.encode())
            server.fail(kind, 1)
            assert store.get("x", limit=10) == kind.encode()


def test_a_lost_acknowledgement_of_put_if_absent() -> None:
    pytest.importorskip("obstore")
    with running() as server:
        store = open_store("s3://bucket", endpoint=server.endpoint)
        server.fail("lost", 1, method="PUT")
        assert store.put_if_absent("x", b"mine") is False
        assert store.get("x", limit=10) == b"mine"


def test_nobody_listens() -> None:
    pytest.importorskip("obstore")
    with deaf_endpoint() as endpoint:
        store = open_store("s3://bucket", endpoint=endpoint, timeout_seconds=0.2)
        with pytest.raises(StorageError, match="s3://bucket/x"):
            store.get("x", limit=1)
        with pytest.raises(StorageError):
            list(store.list())


def test_more_than_the_limit_is_not_transferred() -> None:
    pytest.importorskip("obstore")
    with running() as server:
        server.objects["x"] = bytes(1 << 20)
        store = open_store("s3://bucket", endpoint=server.endpoint)
        server.fail("slow", method="GET")
        with pytest.raises(StorageError, match="limit of 10"):  # before the body has come
            store.get("x", limit=10)


_FORK = """
import os, sys
from mithril import StorageError
from mithril.storage import open_store
store = open_store("s3://bucket", endpoint=sys.argv[1])
store.put("x", b"1")
child = os.fork()
if child == 0:
    try:
        open_store("s3://bucket", endpoint=sys.argv[1]).get("x", limit=1)
    except StorageError as error:
        os._exit(7 if "forked" in str(error) else 1)
    os._exit(2)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
assert store.get("x", limit=1) == b"1"
"""


@pytest.mark.distributed
def test_a_forked_child_is_told_instead_of_hanging(run_python) -> None:
    pytest.importorskip("obstore")
    with running() as server:
        run_python(_FORK, server.endpoint)


# URLs


def test_urls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_store("some/folder").url == (tmp_path / "some" / "folder").as_uri()
    assert open_store(tmp_path).url == open_store(tmp_path.as_uri()).url == tmp_path.as_uri()
    assert open_store("file:///a%20b").url == "file:///a%20b"
    assert open_store("s3://bucket").url == open_store("S3://bucket/").url == "s3://bucket"
    assert open_store("s3://bucket/pre/fix/").url == "s3://bucket/pre/fix"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("", InvalidArgumentError),
        ("s3://", InvalidArgumentError),
        ("s3:///prefix", InvalidArgumentError),
        ("s3://bucket/a b", InvalidArgumentError),
        ("s3://bucket/../up", InvalidArgumentError),
        ("s3://key:hush@bucket/p", InvalidArgumentError),
        ("s3://bucket/p?token=hush", InvalidArgumentError),
        ("file://host/path", InvalidArgumentError),
        ("file://relative", InvalidArgumentError),
        ("gs://bucket/p", UnsupportedError),
        ("http://host/hush", UnsupportedError),
    ],
)
def test_bad_urls(url: str, error: type[Exception]) -> None:
    with pytest.raises(error) as failure:
        open_store(url)
    assert "hush" not in str(failure.value)


def test_credentials_are_not_taken_in_an_endpoint() -> None:
    with pytest.raises(InvalidArgumentError) as failure:
        open_store("s3://bucket", endpoint="https://key:hush@host")
    assert "hush" not in str(failure.value)


def test_without_obstore(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    monkeypatch.setitem(sys.modules, "obstore.exceptions", None)
    store = open_store("s3://bucket")
    for use in (lambda: store.get("x", limit=1), lambda: store.put("x", b""), lambda: store.put_if_absent("x", b"")):
        with pytest.raises(UnsupportedError, match="pip install obstore"):
            use()


def test_importing_costs_nothing(run_python) -> None:
    run_python(
        "import sys, mithril.storage as s; s.open_store('/x'); s.open_store('s3://bucket');"
        "assert not {'obstore', 'torch', 'numpy'} & set(sys.modules)"
    )
