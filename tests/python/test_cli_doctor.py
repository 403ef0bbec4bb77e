"""`mithril cache doctor`: fine where all is well, and each fault of the surroundings is found."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mithril.cache._config import CacheConfig
from mithril.cache._doctor import (
    Check,
    _check,
    _clock,
    _file_system,
    _folder,
    _keys,
    _locks,
    _permissions,
    _shared_store,
    _variables,
    examine,
)
from mithril.cache._doctor_torch import examine_torch
from mithril.cli import main

DOCS = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("MITHRIL_", "TORCH_", "AWS_"))}


def look(what, config: CacheConfig) -> Check:
    return _check("x", lambda: what(config))


def test_all_is_well(tmp_path: Path, monkeypatch, capsys) -> None:
    for name in os.environ:
        if name.startswith(("MITHRIL_", "TORCH_")):
            monkeypatch.delenv(name)
    tmp_path.chmod(0o700)
    section = DOCS.split("\n## mithril cache doctor\n")[1].partition("\n## ")[0]
    code = main(["cache", "doctor", "--json", "--dir", str(tmp_path), "--remote", str(tmp_path / "shared")])
    fields = json.loads(capsys.readouterr().out)
    found = {check["name"]: (check["status"], check["finding"]) for check in fields["checks"]}
    assert (code, fields["problems"]) == (0, 0), found
    assert list(fields) == re.findall(r"`(\w+)`", re.search(r"^JSON: (.*)$", section, re.MULTILINE)[1])
    assert all(list(check) == ["name", "status", "finding"] for check in fields["checks"])
    listed = re.findall(r"^\| `([\w ]+)` \|", section, re.MULTILINE)
    assert [name for name in listed if name != "configuration"] == list(found)
    for name in ("variables", "folder", "permissions", "locks", "clock", "shared store", "torch", "compiler", "hooks"):
        assert found[name][0] == "ok", (name, found[name])
    assert found["keys"][0] == "warning"  # shared, and not signed
    assert fields["warnings"] == sum(check["status"] == "warning" for check in fields["checks"])
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_torch_that_cannot_be_imported(tmp_path: Path) -> None:
    (tmp_path / "torch.py").write_text("raise OSError('libtorch.so: not found')")
    rows = {name: (status, finding) for name, status, finding in examine_torch({**CLEAN, "PYTHONPATH": str(tmp_path)})}
    assert rows["torch"] == ("problem", "cannot be imported: OSError: libtorch.so: not found")
    assert {status for name, (status, _) in rows.items() if name != "torch"} == {"skipped"}


def test_a_torch_without_the_hooks(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import torch._inductor.remote_cache as r\ndel r.RemoteCache.backend_override_cls\n"
    )
    rows = {name: (status, finding) for name, status, finding in examine_torch({**CLEAN, "PYTHONPATH": str(tmp_path)})}
    assert rows["torch"][0] == "ok"
    status, finding = rows["hooks"]
    assert status == "problem"
    assert "RemoteCache.backend_override_cls;" in finding


def test_variables() -> None:
    def variables(**more: str) -> Check:
        return _check("variables", lambda: _variables({**CLEAN, **more}))

    assert variables().status == "ok"
    assert variables(MITHRIL_CACHE_DIR="/x", MITHRIL_NUM_THREADS="2").status == "ok"
    typo = variables(MITHRIL_CHACHE_DIR="/x")
    assert typo.status == "problem"
    assert "MITHRIL_CHACHE_DIR (is MITHRIL_CACHE_DIR meant?)" in typo.finding
    assert variables(MITHRIL_ZQX="1").status == "warning"
    assert variables(MITHRIL_ZQX="").status == "ok"


def test_variables_of_mithril_are_known() -> None:
    """Whatever the sources read is in the table of the environment, or among the others."""
    from mithril.cache._config import ENVIRONMENT
    from mithril.cache._doctor import _OTHER_VARIABLES

    root = Path(__file__).parents[2]
    files = [*(root / "mithril").rglob("*.py"), *(root / "csrc").rglob("*.cpp"), root / "setup.py"]
    pattern = re.compile(r'(?:environ(?:\.get)?\s*[\[(]|getenv\()\s*"(MITHRIL_\w+)"')
    read = {name for file in files for name in pattern.findall(file.read_text())}
    assert "MITHRIL_FORCE_ISA" in read
    assert read <= {*(name for name, _, _ in ENVIRONMENT), *_OTHER_VARIABLES}


def test_a_problem_is_exit_code_1(monkeypatch, capsys) -> None:
    monkeypatch.setenv("MITHRIL_CACHE_TRUST", "blindly")
    assert main(["cache", "doctor"]) == 1
    out, err = capsys.readouterr()
    assert re.search(r"^configuration +problem +.*blindly", out, re.MULTILINE)
    assert err == ""


def test_a_clock_that_is_off(tmp_path: Path, monkeypatch) -> None:
    assert look(_clock, CacheConfig(tmp_path)).status == "ok"
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now + 3600)
    found = look(_clock, CacheConfig(tmp_path))
    assert found.status == "warning"
    assert re.search(r"-3[56]\d\d s off", found.finding)


def test_a_setting_that_cannot_be() -> None:
    checks = examine({**CLEAN, "MITHRIL_CACHE_TRUST": "blindly"})
    assert checks[-1].name == "configuration"
    assert checks[-1].status == "problem"
    assert "blindly" in checks[-1].finding


def test_folders(tmp_path: Path) -> None:
    config = CacheConfig(tmp_path / "new" / "cache")
    assert look(_folder, config).status == "ok"
    assert os.listdir(tmp_path) == []
    (tmp_path / "file").touch()
    assert look(_folder, CacheConfig(tmp_path / "file" / "cache")).status == "problem"
    if os.geteuid() != 0:
        tmp_path.chmod(0o500)
        assert look(_folder, config).status == "problem"
        tmp_path.chmod(0o700)


def test_permissions(tmp_path: Path) -> None:
    config = CacheConfig(tmp_path)
    assert look(_permissions, CacheConfig(tmp_path / "none")).status == "skipped"
    for mode, status in {0o700: "ok", 0o755: "ok", 0o770: "warning", 0o777: "problem"}.items():
        tmp_path.chmod(mode)
        assert look(_permissions, config).status == status, oct(mode)
    tmp_path.chmod(0o700)
    (tmp_path / "inductor").mkdir()
    (tmp_path / "inductor").chmod(0o777)
    assert look(_permissions, config).status == "problem"


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], capture_output=True).returncode:
        pytest.skip("mounting is not permitted")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize(("options", "words"), [("noexec", "noexec"), ("ro", "read-only"), ("rw", "lost")])
def test_mounts(options: str, words: str, tmp_path: Path) -> None:
    folder = tmp_path / "with a blank"
    with mounted(folder, options):
        found = look(_file_system, CacheConfig(folder))
    assert found.status == ("warning" if options == "rw" else "problem")
    assert "tmpfs" in found.finding
    assert words in found.finding


def test_locks_that_do_nothing(tmp_path: Path) -> None:
    assert look(_locks, CacheConfig(tmp_path)).status == "ok"
    (tmp_path / "flock.c").write_text("int flock(int fd, int operation) { (void)fd; (void)operation; return 0; }")
    library = tmp_path / "flock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, tmp_path / "flock.c"], check=True)
    program = (
        "import sys; from mithril.cache._config import CacheConfig; from mithril.cache._doctor import _locks\n"
        "print(_locks(CacheConfig(sys.argv[1]))[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        env={**os.environ, "LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "warning\n"


def test_keys(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("ab" * 32)
    file.chmod(0o600)
    config = CacheConfig(tmp_path, key_file=file)
    assert look(_keys, config).status == "ok"
    file.chmod(0o640)
    found = look(_keys, config)
    assert found.status == "problem"
    assert "chmod 600" in found.finding
    file.unlink()
    assert look(_keys, config).status == "problem"


def test_shared_stores(tmp_path: Path) -> None:
    config = CacheConfig(tmp_path)
    assert look(_shared_store, config).status == "skipped"
    assert look(_shared_store, config.with_remote(str(tmp_path / "shared"))).status == "ok"
    assert look(_shared_store, config.with_remote("/dev/null/x", auto_push=True)).status == "problem"
    assert look(_shared_store, config.with_remote("gopher://x")).status == "problem"


def test_a_shared_store_that_cannot_be_written(tmp_path: Path) -> None:
    config = CacheConfig(tmp_path).with_remote(str(tmp_path / "shared"))
    with mounted(tmp_path / "shared", "ro"):
        found = look(_shared_store, config)
        needed = look(_shared_store, config.with_remote(str(tmp_path / "shared"), auto_push=True))
    assert (found.status, needed.status) == ("warning", "problem")
    assert "can be read" in found.finding
