"""Triton's kernels with its real cache manager and compiler: no GPU is needed to compile for one."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("triton")

from triton import knobs
from triton.runtime.cache import FileCacheManager, get_cache_manager, get_dump_manager, get_override_manager

from mithril.cache import _tiers
from mithril.cache._content import ContentStore
from mithril.cache._frameworks.triton_manager import MithrilCacheManager
from mithril.cache._tiers import Tiers
from tests.python.compiling import SERVED, Host

MANAGER = "mithril.cache._frameworks.triton_manager:MithrilCacheManager"
PROGRAM = """
import hashlib, json, sys
import triton, triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

@triton.jit
def add(x, y, out, n, BLOCK: tl.constexpr):
    i = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(x + i, mask=i < n) + tl.load(y + i, mask=i < n), mask=i < n)

seen = []
triton.knobs.compilation.listener = lambda **event: seen.append(event)
types = {"x": "*fp32", "y": "*fp32", "out": "*fp32", "n": "i32", "BLOCK": "constexpr"}
kernel = triton.compile(ASTSource(add, types, {"BLOCK": 128}), target=GPUTarget("cuda", 80, 32))
print(json.dumps({
    "hit": seen[0]["cache_hit"],
    "paths": sorted(seen[0]["metadata_group"].values()),
    "cubin": hashlib.sha256(kernel.asm["cubin"]).hexdigest(),
}))
"""
Compile = Callable[..., dict]


@pytest.fixture
def compile_kernel(tmp_path: Path) -> Compile:
    """Compiles a kernel for a GPU that is not there, in a fresh process; `store` is a root of mithril, or None."""
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)

    def run(folder: Path, store: Path | None, *, program: Path = program, **environment: str) -> dict:
        variables = {"TRITON_CACHE_DIR": str(folder), "TRITON_DEFAULT_FP_FUSION": "1", **environment}
        if store is not None:
            variables |= {"TRITON_CACHE_MANAGER": MANAGER, "MITHRIL_CACHE": "1", "MITHRIL_CACHE_DIR": str(store)}
        done = subprocess.run(
            [sys.executable, program], env={**os.environ, **variables}, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
        return {**json.loads(done.stdout), "log": done.stderr}

    return run


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ContentStore:
    """A store that the managers of this process use."""
    store = ContentStore(tmp_path / "store")
    monkeypatch.setattr(_tiers, "_process_tiers", (os.getpid(), Tiers(store)))
    monkeypatch.setenv("TRITON_CACHE_MANAGER", MANAGER)
    return store


def put_kernel(folder: Path, files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(folder))
    manager = MithrilCacheManager("KEY")
    assert manager.get_group("add.json") is None
    manager.put_group("add.json", {name: manager.put(data, name) for name, data in files.items()})


FILES = {"add.cubin": b"\x00cubin", "add.json": b"{}"}


def test_a_fresh_folder_is_served_from_the_store(tmp_path: Path, compile_kernel: Compile) -> None:
    cold = compile_kernel(tmp_path / "a", tmp_path / "root")
    assert not cold["hit"]
    shutil.move(tmp_path / "program.py", tmp_path / "moved.py")
    (tmp_path / "a").rename(tmp_path / "gone")
    warm = compile_kernel(tmp_path / "b", tmp_path / "root", program=tmp_path / "moved.py")
    assert warm["hit"]
    assert warm["cubin"] == cold["cubin"]
    assert all(path.startswith(str(tmp_path / "b")) and Path(path).is_file() for path in warm["paths"])
    assert len(warm["paths"]) == len(cold["paths"]) == 7
    # Triton alone finds what was placed.
    assert compile_kernel(tmp_path / "b", None, program=tmp_path / "moved.py")["hit"]


def test_a_copied_folder_hits_without_any_store(tmp_path: Path, compile_kernel: Compile) -> None:
    compile_kernel(tmp_path / "a", None)
    (tmp_path / "a").rename(tmp_path / "b")
    shutil.copytree(tmp_path / "b", tmp_path / "c")
    assert not compile_kernel(tmp_path / "b", None)["hit"], "Triton alone finds a moved folder"
    assert compile_kernel(tmp_path / "c", None, TRITON_CACHE_MANAGER=MANAGER)["hit"]
    assert compile_kernel(tmp_path / "c", None)["hit"], "the group file was not mended"


@pytest.mark.distributed
def test_processes_at_once(tmp_path: Path, compile_kernel: Compile) -> None:
    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(compile_kernel, tmp_path / "a", tmp_path / "root") for _ in range(2)]
        assert len({run.result()["cubin"] for run in runs}) == 1
        runs = [pool.submit(compile_kernel, tmp_path / "b", tmp_path / "root") for _ in range(4)]
        assert all(run.result()["hit"] for run in runs)
        assert not any("Traceback" in run.result()["log"] for run in runs)


def test_a_store_that_fails_is_no_error_of_triton(tmp_path: Path, compile_kernel: Compile) -> None:
    (tmp_path / "root").write_text("no folder")
    run = compile_kernel(tmp_path / "a", tmp_path / "root")
    assert not run["hit"]
    assert "no cache in this process" in run["log"]
    run = compile_kernel(tmp_path / "b", tmp_path / "other", MITHRIL_MAX_SIZE_GB="much")
    assert not run["hit"]


def test_damage_in_the_store_is_a_miss(tmp_path: Path, store: ContentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put_kernel(tmp_path / "a", {**FILES, "add.ptx": bytes(10_000)}, monkeypatch)
    for path in (tmp_path / "store" / "objects").rglob("*"):
        if path.is_file():
            path.write_bytes(b"\xff" + path.read_bytes()[1:])
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "b"))
    assert get_cache_manager("00").cache_dir.startswith(str(tmp_path / "b"))
    assert MithrilCacheManager("KEY").get_group("add.json") is None
    assert os.listdir(tmp_path / "b" / "KEY") == []


def test_a_damaged_group_file_is_mended(tmp_path: Path, store: ContentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put_kernel(tmp_path / "a", FILES, monkeypatch)
    group = tmp_path / "a" / "KEY" / "__grp__add.json"
    for bad in (
        "",
        "[]",
        '{"child_paths": ["add.cubin"]}',
        '{"child_paths": {"add.cubin": "/absent/add.cubin"}}',
        "[" * 9999,
    ):
        group.write_text(bad)
        (tmp_path / "a" / "KEY" / "add.cubin").unlink()
        found = MithrilCacheManager("KEY").get_group("add.json")
        assert found == {name: str(tmp_path / "a" / "KEY" / name) for name in FILES}
        assert {name: Path(path).read_bytes() for name, path in found.items()} == FILES
    assert FileCacheManager("KEY").get_group("add.json") == found


@pytest.mark.parametrize(
    "members",
    [
        {"add.json": b"{}", "__grp__add.json": b'{"child_paths": {"add.json": "/etc/passwd"}}'},
        {"add.json": b"{}", "__grp__add.json": b'{"child_paths": {"../x/add.json": "../x/add.json"}}'},
        {"add.json": b"{}", "__grp__add.json": b'{"child_paths": {"add.json": "add.json", "absent": "absent"}}'},
        {"add.json": b"{}", "__grp__add.json": b"[]"},
        {"add.json": b"{}"},
        {"__grp__other.json": b'{"child_paths": {}}'},
    ],
)
def test_a_group_that_leaves_its_folder_is_refused(members, tmp_path: Path, store: ContentStore, monkeypatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "a"))
    store.put_group("triton", "KEY", members)
    assert MithrilCacheManager("KEY").get_group("add.json") is None
    assert os.listdir(tmp_path / "a" / "KEY") == []


def test_what_was_put_last_is_stored(tmp_path: Path, store: ContentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put_kernel(tmp_path / "a", FILES, monkeypatch)
    group = store.get_group("triton", "KEY")
    assert group is not None
    assert str(tmp_path) not in repr(group.members)
    assert group.members.keys() == {*FILES, "__grp__add.json"}
    assert group.record.seconds > 0
    manager = MithrilCacheManager("KEY")
    manager.put_group(
        "add.json", {"add.json": manager.put("new", "add.json"), "add.cubin": manager.put(b"", "add.cubin")}
    )
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "b"))
    found = MithrilCacheManager("KEY").get_group("add.json")
    assert found is not None
    assert Path(found["add.json"]).read_bytes() == b"new"


def test_a_folder_relative_to_the_current_one(tmp_path: Path, store: ContentStore, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    put_kernel(Path("./a"), FILES, monkeypatch)
    monkeypatch.setenv("TRITON_CACHE_DIR", "b")
    found = MithrilCacheManager("KEY").get_group("add.json")
    assert found == {name: f"b/KEY/{name}" for name in FILES}


def test_many_threads_fetch_one_kernel(tmp_path: Path, store: ContentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    put_kernel(tmp_path / "a", FILES, monkeypatch)
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "b"))
    start, found = threading.Barrier(8), []

    def run() -> None:
        start.wait()
        found.append(MithrilCacheManager("KEY").get_group("add.json"))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [{name: str(tmp_path / "b" / "KEY" / name) for name in FILES}] * 8
    assert sorted(os.listdir(tmp_path / "b" / "KEY")) == ["__grp__add.json", *sorted(FILES)]


def test_modules_of_the_c_compiler_and_autotuning(tmp_path: Path, store: ContentStore, monkeypatch) -> None:
    from triton.runtime import build

    source = """
        #include <Python.h>
        static PyModuleDef module = {PyModuleDef_HEAD_INIT, "answer", NULL, 42, NULL};
        PyMODINIT_FUNC PyInit_answer(void) { return PyModule_Create(&module); }
    """
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "a"))
    first = Path(build.compile_so_from_src(source, "answer"))
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "b"))
    monkeypatch.setattr(build, "_find_compiler", lambda language: "/bin/false")
    second = Path(build.compile_so_from_src(source, "answer"))
    assert second.is_relative_to(tmp_path / "b")
    assert second.read_bytes() == first.read_bytes()
    assert build.compile_module_from_src(source, "answer").__name__ == "answer"

    MithrilCacheManager("KEY").put('{"configs": []}', "add.autotune.json", binary=False)
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "c"))
    path = MithrilCacheManager("KEY").get_file("add.autotune.json")
    assert path == str(tmp_path / "c" / "KEY" / "add.autotune.json")
    assert Path(path).read_text() == '{"configs": []}'
    assert MithrilCacheManager("KEY").get_file("add.ttir") is None


def test_dumps_and_overrides_are_left_alone(tmp_path: Path, store: ContentStore, monkeypatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("TRITON_DUMP_DIR", str(tmp_path / "dump"))
    monkeypatch.setenv("TRITON_OVERRIDE_DIR", str(tmp_path / "override"))
    assert issubclass(knobs.cache.manager_class, FileCacheManager)
    dump = get_dump_manager("00")
    dump.put_group("add.json", {"add.json": dump.put("{}", "add.json")})
    assert get_override_manager("00").get_group("add.json") is None
    assert list(store.records()) == []


def test_triton_without_a_device_does_not_break_torch(tmp_path: Path) -> None:
    """torch 2.13 fails when bundled autotuning is on and Triton has no device: it is only turned on with one."""
    report = Host(tmp_path / "host").run(SERVED, MITHRIL_CACHE_DIR=str(tmp_path / "cache"))
    assert report.error < 1e-5
    assert report.layer("fx").puts == 1
