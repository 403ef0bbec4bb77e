"""The content store and the system: kills, locks that do not lock, full and read-only disks, other users."""

import errno
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import mithril
from mithril.cache._content import ContentStore
from tests.soak.store import kill_users

ROOT = Path(__file__).parents[2]


@contextmanager
def mounted(folder: Path, *arguments: str) -> Iterator[Path]:
    """Mounts at `folder`, or skips the test: that takes root, and is forbidden in most containers."""
    folder.mkdir(exist_ok=True)
    if os.geteuid() != 0 or subprocess.run(["mount", *arguments, folder], capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 1 MiB."""
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=1m", "none") as folder:
        yield folder


@pytest.mark.distributed
def test_killed_processes_damage_nothing(tmp_path: Path) -> None:
    assert kill_users(tmp_path / "store", rounds=10, seed=0)["failures"] == []


NO_LOCKS = "int flock(int fd, int operation) { return 0 * (fd + operation); }\n"
LOCK_TWICE = "import fcntl, os; [fcntl.flock(os.open('.', os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB) for _ in 'ab']"


@pytest.mark.distributed
def test_nothing_depends_on_locks(tmp_path: Path) -> None:
    source, library = tmp_path / "no_locks.c", tmp_path / "no_locks.so"
    source.write_text(NO_LOCKS)
    compiler = shutil.which("cc") or shutil.which("c++")
    if compiler is None:
        pytest.skip("needs a compiler")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    environment = {**os.environ, "LD_PRELOAD": str(library)}
    lock_twice = [sys.executable, "-c", LOCK_TWICE]
    assert subprocess.run(lock_twice, cwd=tmp_path, capture_output=True).returncode == 1
    assert subprocess.run(lock_twice, cwd=tmp_path, env=environment).returncode == 0
    soak = [sys.executable, ROOT / "tests" / "soak" / "store.py", "--rounds", "3"]
    done = subprocess.run(soak, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_full_disk_loses_nothing(small_disk: Path) -> None:
    store = ContentStore(small_disk / "store")
    kept = []
    for seed in range(500):
        data = random.Random(seed).randbytes(5000)
        try:
            kept.append((store.put(data), data))
        except mithril.StorageError as error:
            assert error.errno == errno.ENOSPC  # noqa: PT017
            break
    else:
        pytest.fail("the disk is not full")
    assert len(kept) > 100
    with pytest.raises(mithril.StorageError):
        store.put_group("fx", "key", {"a": random.Random(-1).randbytes(100_000)})
    assert os.listdir(store.root / "tmp") == []
    assert all(store.get(address) == data for address, data in kept)
    assert store.verify().damaged == ()
    for address, _ in kept[:50]:
        store.delete(address)
    assert store.get(store.put(b"room again")) == b"room again"


def test_a_quota_beyond_a_full_disk(small_disk: Path) -> None:
    store = ContentStore(small_disk / "store", max_size_bytes=600_000)
    (small_disk / "of others").write_bytes(bytes(300_000))
    refused = 0
    for seed in range(400):
        data = random.Random(seed).randbytes(5000)
        try:
            assert store.get(store.put(data)) == data
        except mithril.StorageError:
            refused += 1
    store.gc()
    assert store.verify().damaged == ()
    (small_disk / "of others").unlink()
    assert store.get(store.put(b"room again")) == b"room again"
    assert refused < 400


def test_a_read_only_disk(tmp_path: Path) -> None:
    writer = ContentStore(tmp_path / "store")
    address = writer.put(b"data")
    writer.put_group("fx", "key", {"small": b"x", "large": bytes(9000)})
    damaged = writer.put(b"more data")
    (writer.root / "objects" / damaged[:2] / damaged[2:4] / damaged).write_bytes(b"MORE DATA")
    with mounted(tmp_path / "view", "--bind", "-o", "ro", str(tmp_path / "store")) as view:
        for read_only in (True, False):
            store = ContentStore(view, read_only=read_only, max_size_bytes=100_000)
            assert store.get(address) == b"data"
            assert store.get(damaged) is None
            assert store.has_group("fx", "key")
            assert store.get_group("fx", "key") is not None
            assert store.verify().damaged == (damaged,)
            for change in (lambda s: s.put(b"x"), lambda s: s.put_group("fx", "k", {"a": b""}), ContentStore.clear):
                with pytest.raises(mithril.StorageError) as caught:
                    change(store)
                assert caught.value.errno == errno.EROFS
    assert writer.stats().quarantined == 0


AS_NOBODY = """
import os, sys
from mithril import StorageError
from mithril.cache._content import ContentStore
root, address, writable = sys.argv[1:]
if writable == "umask 0":
    os.umask(0)
os.setgroups([])
os.setresgid(65534, 65534, 65534)
os.setresuid(65534, 65534, 65534)
try:
    store = ContentStore(root)
except StorageError as error:
    print(type(error).__name__, error.errno)
    sys.exit()
print(store.get(address), store.has_group("fx", "key"), store.verify().unreadable == ())
try:
    mine = store.put(b"of nobody")
    print(store.get(mine), store.delete(address))
except StorageError as error:
    print(error.errno)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become another user")
def test_other_users_read_where_permissions_say_so(run_python) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        store = ContentStore(Path(folder, "store"))
        store.put_group("fx", "key", {"large": bytes(9000)})
        address = store.put(b"data")

        def as_nobody(writable: str = "") -> list[str]:
            return run_python(AS_NOBODY, store.root, address, writable).splitlines()

        assert as_nobody()[0] in ("None False True", "StorageError 13")  # the root is for its owner alone
        store.root.chmod(0o755)
        assert as_nobody() == ["b'data' True True", "13"]
        path = store.root / "objects" / address[:2] / address[2:4] / address
        path.chmod(0o600)
        assert as_nobody() == ["None True False", "13"]
        assert store.get(address) == b"data"  # not taken for damage
        assert store.stats().quarantined == 0
        path.chmod(0o644)
        for below in [store.root, *store.root.rglob("*")]:
            below.chmod(0o777)
        assert as_nobody("umask 0") == ["b'data' True True", "b'of nobody' True"]
        assert store.get(store.compute_address(b"of nobody")) == b"of nobody"


def test_too_many_open_files_are_no_damage(tmp_path: Path, run_python) -> None:
    program = """
import os, resource, sys
from mithril import StorageError
from mithril.cache._content import ContentStore
store = ContentStore(sys.argv[1], max_size_bytes=50_000)
addresses = [store.put(os.urandom(5000)) for _ in range(5)]
store.put_group("fx", "key", {"a": b"x"})
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
held = []
try:
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
print([store.get(a) for a in addresses], store.exists(addresses[0]), store.get_group("fx", "key"))
for call in (lambda: store.put(b"x"), store.stats, store.gc, store.clear):
    try:
        call()
    except StorageError as error:
        print(error.errno)
[os.close(fd) for fd in held]
print(all(map(store.get, addresses)), store.has_group("fx", "key"), store.stats().quarantined)
"""
    expected = ["[None, None, None, None, None] False None", *["24"] * 4, "True True 0"]
    assert run_python(program, tmp_path / "store").splitlines() == expected
