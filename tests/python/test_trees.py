"""Units of cache folders: what they are, paths that move with them, and members that try to leave them."""

import ast
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mithril import CorruptError, MithrilError, StorageError, UnsupportedError
from mithril.cache import _record
from mithril.cache._frameworks import trees
from mithril.cache._frameworks.tree_paths import attach_all
from mithril.cache._frameworks.trees import capture, find_units, place, restore
from mithril.cache._remote import tier

HANDLES = "vllm_compile_cache.py"


def make_kernel(folder: Path, name: str = "add") -> Path:
    """A Triton kernel's folder as FileCacheManager leaves it."""
    folder.mkdir(parents=True)
    files = {f"{name}.{kind}": os.urandom(50) for kind in ("ttir", "cubin", "json")}
    for file, data in files.items():
        (folder / file).write_bytes(data)
    group = {"child_paths": {file: str(folder / file) for file in files}}
    (folder / f"__grp__{name}.json").write_text(json.dumps(group))
    return folder


def make_model(folder: Path) -> Path:
    """A compiled model's folder as vLLM leaves it, with an artifact of each format."""
    (folder / "artifact_1" / "fxgraph").mkdir(parents=True)
    (folder / "artifact_0").write_bytes(b"binary")
    (folder / "artifact_1" / "fxgraph" / "f1").write_bytes(b"graph")
    (folder / "computation_graph.py").write_text(f"# compiled from {folder}/model.py\n")
    handles = {
        ((1, 8192), 0, "inductor_standalone"): {
            "graph_handle": ("artifact_0", f"{folder}/artifact_0"),
            "cache_key": "a",
        },
        (None, 1, "inductor_standalone"): ("artifact_1", f"{folder}/artifact_1"),
        (None, 2, "eager"): None,
    }
    (folder / HANDLES).write_text(repr(handles))
    return folder


def read_tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_units_are_kernels_models_and_single_files(tmp_path: Path) -> None:
    make_kernel(tmp_path / "triton" / "0" / "KEY")
    (tmp_path / "triton" / "0" / "KEY" / "tmp.pid_1_2").mkdir()
    make_model(tmp_path / "hash" / "rank_0_0" / "backbone")
    for name in (
        "fxgraph/ab/fab/1",
        "ab/cab.py",
        "locks/x.lock",
        "ab/.1.2.tmp",
        "precompiled_headers/h.gch",
        "ab/x.lock",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "link").symlink_to(tmp_path / "hash")
    (tmp_path / "ab" / "link.py").symlink_to(tmp_path / "ab" / "cab.py")
    os.mkfifo(tmp_path / "ab" / "pipe")
    assert sorted(find_units(tmp_path)) == ["ab/cab.py", "fxgraph/ab/fab/1", "hash/rank_0_0/backbone", "triton/0/KEY"]
    assert list(find_units(tmp_path / "absent")) == []


def test_a_model_moves(tmp_path: Path) -> None:
    old, new = make_model(tmp_path / "a folder" / ("x" * 90) / "backbone"), tmp_path / "new" / "backbone"
    members = capture(old)
    assert str(tmp_path).encode() not in members[HANDLES]
    assert restore(members, new)
    handles = ast.literal_eval((new / HANDLES).read_text())
    assert handles == {
        ((1, 8192), 0, "inductor_standalone"): {"graph_handle": ("artifact_0", f"{new}/artifact_0"), "cache_key": "a"},
        (None, 1, "inductor_standalone"): ("artifact_1", f"{new}/artifact_1"),
        (None, 2, "eager"): None,
    }
    before, after = read_tree(old), read_tree(new)
    del before[HANDLES], after[HANDLES]
    assert before == after
    assert capture(new) == members
    assert os.listdir(new.parent) == ["backbone"]


def test_a_model_moves_with_the_kernels_in_its_folder(tmp_path: Path) -> None:
    old, new = make_model(tmp_path / "old"), tmp_path / "new"
    make_kernel(old / "triton_cache" / "KEY")
    assert list(find_units(tmp_path)) == ["old"]
    assert restore(capture(old), new)
    group = json.loads((new / "triton_cache" / "KEY" / "__grp__add.json").read_text())["child_paths"]
    assert group["add.cubin"] == str(new / "triton_cache" / "KEY" / "add.cubin")
    assert capture(old) == capture(new)


def test_a_kernel_moves(tmp_path: Path) -> None:
    old, new = make_kernel(tmp_path / "KEY"), tmp_path / "elsewhere" / "KEY"
    members = capture(old)
    assert json.loads(members["__grp__add.json"]) == {
        "child_paths": {"add.ttir": "add.ttir", "add.cubin": "add.cubin", "add.json": "add.json"}
    }
    assert restore(members, new)
    group = json.loads((new / "__grp__add.json").read_text())["child_paths"]
    assert group == {file: str(new / file) for file in ("add.ttir", "add.cubin", "add.json")}


@pytest.mark.parametrize("make", [make_kernel, make_model])
def test_paths_spelled_through_a_link_or_from_the_current_folder(make, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    make(tmp_path / "link" / "unit")
    members = capture(tmp_path / "real" / "unit")
    assert members == capture(tmp_path / "link" / "unit")
    monkeypatch.chdir(tmp_path)
    assert members == capture(Path("real/unit"))
    assert restore(members, Path("moved"))
    assert capture(tmp_path / "moved") == members


def test_a_kernel_of_a_relative_folder(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    make_kernel(Path("./cache") / "KEY")
    assert b"./cache" not in capture(Path("cache/KEY"))["__grp__add.json"]


def test_a_single_file_moves_and_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "c.so").write_bytes(b"\x7fELF")
    members = capture(tmp_path / "c.so")
    assert members == {"c.so": b"\x7fELF"}
    assert restore(members, tmp_path / "new" / "c.so")
    (tmp_path / "new" / "c.so").write_bytes(b"newer")
    assert not restore(members, tmp_path / "new" / "c.so")
    assert (tmp_path / "new" / "c.so").read_bytes() == b"newer"
    assert os.listdir(tmp_path / "new") == ["c.so"]


def test_a_file_is_placed_once_or_replaced(tmp_path: Path) -> None:
    assert place(tmp_path / "x", b"1", replace=False)
    assert not place(tmp_path / "x", b"2", replace=False)
    assert (tmp_path / "x").read_bytes() == b"1"
    assert place(tmp_path / "x", b"3", replace=True)
    assert (tmp_path / "x").read_bytes() == b"3"
    with pytest.raises(OSError, match="absent"):
        place(tmp_path / "absent" / "x", b"", replace=True)
    assert os.listdir(tmp_path) == ["x"]


def test_a_folder_that_is_there_stays(tmp_path: Path) -> None:
    members = capture(make_kernel(tmp_path / "KEY"))
    (tmp_path / "new" / "KEY").mkdir(parents=True)
    assert restore(members, tmp_path / "new" / "KEY"), "an empty folder is nothing"
    (tmp_path / "other" / "KEY").mkdir(parents=True)
    (tmp_path / "other" / "KEY" / "foreign").touch()
    assert not restore(members, tmp_path / "other" / "KEY")
    assert os.listdir(tmp_path / "other" / "KEY") == ["foreign"]
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / "KEY").touch()
    assert not restore(members, tmp_path / "file" / "KEY")
    (tmp_path / "dangling").symlink_to(tmp_path / "absent")
    assert not restore(members, tmp_path / "dangling")


def test_many_restore_one_unit_at_once(tmp_path: Path) -> None:
    members = capture(make_model(tmp_path / "old"))
    start, results = threading.Barrier(8), []

    def run() -> None:
        start.wait()
        results.append(restore(members, tmp_path / "new" / "unit"))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False] * 7 + [True]
    assert os.listdir(tmp_path / "new") == ["unit"]
    assert capture(tmp_path / "new" / "unit") == members


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    members = capture(make_kernel(tmp_path / "KEY"))
    (tmp_path / "blocked").touch()
    with pytest.raises(StorageError):
        restore(members, tmp_path / "blocked" / "KEY")
    with pytest.raises(StorageError):
        restore({"c.so": b""}, tmp_path / "blocked" / "c.so")


def test_handles_that_are_not_whole_are_not_captured(tmp_path: Path) -> None:
    folder = make_model(tmp_path / "model")
    text = (folder / HANDLES).read_text()
    for bad in (
        text[:-10],  # vLLM is writing it
        text.replace("artifact_1'", "artifact_9'"),
        text.replace(str(folder), "/somewhere/else"),
        text.replace(str(folder), str(folder) + "x"),
        text.replace(f"{folder}/artifact_0", f"{folder}/../../artifact_0"),
        text.replace(str(folder), "[mithril:folder]"),
        repr({0: f"{folder}/\0"}),
        "open('/etc/passwd')",
        "(" * 100_000,
        "[" + "-" * 100_000 + "1]",
    ):
        (folder / HANDLES).write_text(bad)
        with pytest.raises(CorruptError, match=HANDLES):
            capture(folder)


def test_groups_that_are_not_whole_are_not_captured(tmp_path: Path) -> None:
    folder = make_kernel(tmp_path / "KEY")
    for bad in (
        '{"child_paths": {"add.cubin"',
        "[]",
        "{}",
        '{"child_paths": ["add.cubin"]}',
        '{"child_paths": {"add.cubin": 1}}',
        json.dumps({"child_paths": {"passwd": "/etc/passwd"}}),
        json.dumps({"child_paths": {"\0": f"{folder}/\0"}}),
        json.dumps({"child_paths": {"\ud800": f"{folder}/\ud800"}}),
        json.dumps({"child_paths": {"add.cubin": str(tmp_path / "add.cubin")}}),
        json.dumps({"child_paths": {"absent": str(folder / "absent")}}),
        "[" * 100_000,
    ):
        (folder / "__grp__add.json").write_text(bad)
        with pytest.raises(CorruptError, match="__grp__"):
            capture(folder)


@pytest.mark.parametrize(
    "members",
    [
        {},
        {"c.so": b"", "d.so": b""},
        {"d.so": b""},
        {"../c.so": b""},
        {"__grp__a.json": b'{"child_paths": {"../../evil": "../../evil"}}'},
        {"__grp__a.json": b'{"child_paths": {"evil": "/etc/passwd"}}'},
        {"__grp__a.json": b'{"child_paths": {"/etc/passwd": "/etc/passwd"}}'},
        {"__grp__a.json": b'{"child_paths": {"absent": "absent"}}'},
        {"__grp__a.json": b'{"child_paths": {}}', "../evil": b""},
        {"__grp__a.json": b'{"child_paths": {}}', "/tmp/evil": b""},
        {"__grp__a.json": b'{"child_paths": {}}', "a//b": b""},
        {HANDLES: b"{0: '/etc/passwd'}"},
        {HANDLES: b"{0: '[mithril:folder]/../evil'}"},
        {HANDLES: b"{0: '[mithril:folder]evil'}"},
        {HANDLES: b"{0: '[mithril:folder]/absent'}"},
        {HANDLES: b"{0: {'/etc/passwd'}}"},
        {HANDLES: b"{0: __import__('os')}"},
        {HANDLES: b"\xff"},
        {"__grp__a.json": b'{"child_paths": {"\\ud800": "\\ud800"}}', "\ud800": b""},
        {HANDLES: b"0", "deeper/" + HANDLES: b"'/etc/passwd'"},
    ],
)
def test_members_that_are_no_unit_or_leave_it_are_refused(members: Mapping[str, bytes], tmp_path: Path) -> None:
    with pytest.raises(CorruptError):
        restore(members, tmp_path / "folder" / "c.so")
    with pytest.raises(CorruptError):
        restore({"\ud800": b""}, tmp_path / "folder" / "\ud800")
    assert not (tmp_path / "folder").exists()


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([HANDLES, "__grp__a.json", "a", "b/c"]),
        st.binary(max_size=40)
        | st.text().map(lambda text: repr({0: "[mithril:folder]/" + text}).encode(errors="replace"))
        | st.text(max_size=9).map(lambda text: json.dumps({"child_paths": {text: text}}).encode()),
    )
)
def test_no_member_leads_out_of_the_folder(members: dict[str, bytes]) -> None:
    try:
        attached = attach_all(members, "/root/folder")
    except CorruptError:
        return
    if data := attached.get(HANDLES):
        for path in texts(ast.literal_eval(data.decode())):
            assert not path.startswith("/") or os.path.normpath(path).startswith("/root/folder")
    if data := attached.get("__grp__a.json"):
        for path in json.loads(data)["child_paths"].values():
            assert os.path.dirname(os.path.normpath(path)) == "/root/folder"


def texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
    return [text for part in parts for text in texts(part)]


def test_limits(tmp_path: Path, monkeypatch) -> None:
    assert trees.MAX_UNIT_FILES == _record._MAX_MEMBERS
    assert trees.MAX_UNIT_BYTES == tier.MAX_GROUP_BYTES
    folder = make_kernel(tmp_path / "KEY")
    monkeypatch.setattr(trees, "MAX_UNIT_FILES", 3)
    with pytest.raises(UnsupportedError, match="more than 3 files"):
        capture(folder)
    monkeypatch.setattr(trees, "MAX_UNIT_BYTES", 120)
    with pytest.raises(UnsupportedError, match="left for its unit"):
        capture(folder)
    with pytest.raises(StorageError):
        capture(tmp_path / "absent")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(MithrilError, match="not a regular file"):
        capture(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(folder / "add.ttir")
    with pytest.raises(StorageError):
        capture(tmp_path / "link")
