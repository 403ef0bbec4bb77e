"""`mithril cache …` on real stores: what it says, as JSON and for people, and its exit codes."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mithril.cache import ContentStore, Trust, _statistics
from mithril.cache._keys.graph_key import GraphKey
from mithril.cache._tiers import Tiers
from mithril.cli import main
from tests.python.moto_server import bucket_server
from tests.python.test_metrics import parse

DOCS = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
Run = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("MITHRIL_", "AWS_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("MITHRIL_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def filled(tmp_path: Path) -> Path:
    """A root with two groups, one of them looked up, and one lookup in vain."""
    root = tmp_path / "cache"
    tiers = Tiers(ContentStore(root / "store"))
    tiers.put("fx", "graph", {"data": b"g" * 10_000, "fields": b"{}"}, fingerprint="torch", seconds=2.5)
    tiers.put("kernel", "k1", {"so": b"s" * 5000}, seconds=1.5)
    assert tiers.get("fx", "graph", fingerprint="torch")
    assert not tiers.get("fx", "none", fingerprint="torch")
    _statistics.publish(root, tiers)
    return root


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs a command with --json, compares the keys with the docs and returns the object; then runs it for people."""

    def call(command: str, *arguments: str, code: int = 0, again: int | None = None) -> dict[str, Any]:
        capsys.readouterr()
        assert main(["cache", command, "--json", *arguments]) == code, capsys.readouterr().err
        fields: dict[str, Any] = json.loads(capsys.readouterr().out)
        section = DOCS.split(f"\n## mithril cache {command}\n")[1].partition("\n## ")[0]
        match = re.search(r"^JSON: ([^.]*)\.$", section, re.MULTILINE)
        assert match
        assert list(fields) == re.findall(r"`(\w+)`", match[1])
        for outer, text in re.findall(r"^Of each of `(\w+)`: ([^.]*)\.$", section, re.MULTILINE):
            rows = fields[outer].values() if isinstance(fields[outer], dict) else fields[outer]
            for row in rows:
                assert list(row) == re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", text))
        assert main(["cache", command, *arguments]) == (code if again is None else again)
        with pytest.raises(ValueError, match=r"Expecting value|Extra data"):
            json.loads(capsys.readouterr().out)
        return fields

    return call


def object_file(root: Path, data: bytes) -> Path:
    name = ContentStore.compute_address(data)
    return root / "store" / "objects" / name[:2] / name[2:4] / name


def test_stats(filled: Path, run: Run) -> None:
    fields = run("stats")
    assert fields["root_dir"] == str(filled)
    assert (fields["objects"], fields["records"], fields["quarantined"]) == (2, 2, 0)
    assert (fields["hits"], fields["misses"], fields["hit_ratio"], fields["seconds_saved"]) == (1, 1, 0.5, 2.5)
    assert fields["size_bytes"] >= 15_000
    assert fields["max_size_bytes"] == 10 << 30
    assert fields["layers"]["kernel"]["puts"] == 1


def test_stats_for_prometheus(filled: Path, tmp_path: Path, capsys) -> None:
    assert main(["cache", "stats", "--prometheus", "-"]) == 0
    text = capsys.readouterr().out
    assert parse(text)["mithril_cache_hits_total", "fx"] == 1
    path = tmp_path / "textfiles" / "mithril.prom"
    path.parent.mkdir()
    assert main(["cache", "stats", "--prometheus", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["hits"] == 1
    assert path.read_text() == text
    assert main(["cache", "stats", "--prometheus", str(tmp_path / "none" / "x.prom")]) == 3
    assert capsys.readouterr() == (
        "",
        f"mithril: error: metrics not written: No such file or directory: {tmp_path}/none/x.prom\n",
    )


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_stats_over_http(ending: signal.Signals, filled: Path) -> None:
    # Where the tests run in the background, children are born with SIGINT ignored.
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from mithril.cli import main; raise SystemExit(main(['cache', 'stats', '--serve', '0']))"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    match = re.fullmatch(r"mithril: serving (http://127\.0\.0\.1:\d+)/metrics\n", process.stderr.readline())
    assert match
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for _ in range(2):
        with direct.open(f"{match[1]}/metrics") as answer:
            assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
            assert parse(answer.read().decode())["mithril_cache_records", None] == 2
    with pytest.raises(urllib.error.HTTPError, match="404") as caught:
        direct.open(f"{match[1]}/")
    caught.value.close()
    process.send_signal(ending)
    assert process.communicate()[1] == ""
    assert process.returncode == 0


def test_a_port_that_is_taken(filled: Path, capsys) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["cache", "stats", "--serve", str(taken.getsockname()[1])]) == 3
    assert "cannot listen" in capsys.readouterr().err


def test_ls(filled: Path, run: Run) -> None:
    store = ContentStore(filled / "store")
    names = {record.key: record.name for record in store.records()}
    for key, seconds in (("graph", 1_000_000_000), ("k1", 1_100_000_000)):
        os.utime(store.root / "records" / names[key][:2] / names[key][2:4] / names[key], (seconds, seconds))
    fields = run("ls")
    assert fields["total"] == 2
    assert [row["used"] for row in fields["records"]] == ["2004-11-09T11:33:20+00:00", "2001-09-09T01:46:40+00:00"]
    assert fields["records"][1] == {
        "namespace": "fx",
        "key": "graph",
        "fingerprint": "torch",
        "members": 2,
        "size_bytes": 10_002,
        "seconds": 2.5,
        "used": "2001-09-09T01:46:40+00:00",
    }
    for order, keys in {"used": ["k1", "graph"], "size": ["graph", "k1"], "seconds": ["graph", "k1"]}.items():
        assert [row["key"] for row in run("ls", "--sort", order)["records"]] == keys
    fields = run("ls", "--sort", "namespace", "--limit", "1")
    assert (fields["total"], [row["key"] for row in fields["records"]]) == (2, ["graph"])
    assert [row["key"] for row in run("ls", "--namespace", "kernel")["records"]] == ["k1"]


def test_names_do_not_reach_the_terminal_as_they_are(filled: Path, run: Run, capsys) -> None:
    ContentStore(filled / "store").put_group("fx", "\x1b[2J\nkey\u202e", {"data": b"1"})
    assert "\x1b[2J\nkey\u202e" in [row["key"] for row in run("ls")["records"]]
    assert main(["cache", "ls"]) == 0
    assert r"\x1b[2J\nkey\u202e" in capsys.readouterr().out


def test_gc(filled: Path, run: Run, monkeypatch) -> None:
    assert run("gc")["evicted"] == 0
    store = ContentStore(filled / "store")
    for number in range(40):
        store.put(bytes([number]) * 50_000)
    monkeypatch.setenv("MITHRIL_MAX_SIZE_GB", repr((1 << 20) / (1 << 30)))
    fields = run("gc")
    assert fields["max_size_bytes"] == 1 << 20
    assert fields["evicted"] >= 20
    assert fields["freed_bytes"] >= fields["evicted_bytes"] > 900_000
    assert fields["total_size_bytes"] <= 1 << 20


def test_verify(filled: Path, run: Run) -> None:
    fields = run("verify")
    assert (fields["objects"], fields["records"], fields["damaged"], fields["unreadable"]) == (2, 2, [], [])
    path = object_file(filled, b"s" * 5000)
    path.write_bytes(b"s" * 4999 + b"t")
    # What was damaged is in quarantine, so that the second look finds it no more.
    assert run("verify", code=1, again=0)["damaged"] == [path.name]
    assert run("stats")["quarantined"] == 1


def test_export_and_import(filled: Path, tmp_path: Path, run: Run, capsys) -> None:
    bundle, there = str(tmp_path / "bundle"), str(tmp_path / "there")
    fields = run("export", bundle)
    assert (fields["path"], fields["records"], fields["objects"], fields["skipped"]) == (bundle, 2, 2, 0)
    assert fields["bytes"] == os.path.getsize(bundle)
    fields = run("import", bundle, "--dir", there)
    assert (fields["records"], fields["objects"], fields["skipped"]) == (2, 2, 0)
    assert ContentStore(tmp_path / "there" / "store").get_group("kernel", "k1")
    assert run("export", bundle, "--namespace", "fx")["records"] == 1
    assert run("export", str(tmp_path / "none"), "--namespace", "triton", code=1)["records"] == 0
    assert not (tmp_path / "none").exists()
    assert main(["cache", "import", str(tmp_path / "none"), "--dir", there]) == 3
    Path(bundle).write_bytes(Path(bundle).read_bytes()[:-1])
    capsys.readouterr()
    assert main(["cache", "import", bundle, "--json", "--dir", there]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)


def test_what_is_not_signed(filled: Path, tmp_path: Path, run: Run, monkeypatch) -> None:
    run("export", str(tmp_path / "bundle"))
    (tmp_path / "keys").write_text("ab" * 32)
    monkeypatch.setenv("MITHRIL_CACHE_KEY_FILE", str(tmp_path / "keys"))
    monkeypatch.setenv("MITHRIL_CACHE_TRUST", "require")
    (tmp_path / "keys").chmod(0o644)
    assert main(["cache", "ls"]) == 2
    (tmp_path / "keys").chmod(0o600)
    assert main(["cache", "import", str(tmp_path / "bundle"), "--dir", str(tmp_path / "there")]) == 4
    assert len(run("verify")["unreadable"]) == 2
    signed = ContentStore(tmp_path / "signed" / "store", trust=Trust.from_file(tmp_path / "keys"))
    signed.put_group("fx", "graph", {"data": b"1"})
    run("export", str(tmp_path / "bundle"), "--dir", str(tmp_path / "signed"))
    assert run("import", str(tmp_path / "bundle"), "--dir", str(tmp_path / "there"))["records"] == 1


def copies(run: Run, filled: Path, tmp_path: Path, remote: tuple[str, str]) -> None:
    assert run("push", *remote)["records"] == 2
    assert run("push", *remote)["skipped"] == 2
    fields = run("warm", "kernel", *remote, "--dir", str(tmp_path / "warm"))
    assert (fields["records"], fields["objects"], fields["failed"]) == (1, 1, 0)
    assert run("pull", *remote, "--dir", str(tmp_path / "pull"))["records"] == 2
    assert ContentStore(tmp_path / "pull" / "store").get_group("fx", "graph", fingerprint="torch")


def test_push_pull_and_warm(filled: Path, tmp_path: Path, run: Run, capsys, monkeypatch) -> None:
    copies(run, filled, tmp_path, ("--remote", str(tmp_path / "shared")))
    damaged = next(path for path in (tmp_path / "shared" / "objects").rglob("*") if path.is_file())
    damaged.write_bytes(b"")
    assert run("pull", "--remote", str(tmp_path / "shared"), "--dir", str(tmp_path / "again"), code=3)["failed"] == 1
    assert main(["cache", "push"]) == 2
    assert main(["cache", "push", "--remote", "/dev/null/x"]) == 3
    monkeypatch.setenv("MITHRIL_OFFLINE", "1")
    assert main(["cache", "push", "--remote", str(tmp_path / "shared")]) == 2
    capsys.readouterr()


def test_push_pull_and_warm_over_s3(filled: Path, tmp_path: Path, run: Run, monkeypatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with bucket_server() as endpoint:
        monkeypatch.setenv("MITHRIL_INDUCTOR_REMOTE_ENDPOINT", endpoint)
        monkeypatch.setenv("MITHRIL_INDUCTOR_REMOTE_REGION", "us-east-1")
        copies(run, filled, tmp_path, ("--remote", "s3://bucket/prefix"))


def make_key(graph: str) -> GraphKey:
    empty: dict[str, str] = {}
    return GraphKey(
        {
            "versions": {"torch": "2.13"},
            "device": "cpu avx2",
            "modes": empty,
            "options": empty,
            "calling": empty,
            "inputs": [],
            "dimensions": empty,
            "graph": [graph],
        }
    )


def test_explain(tmp_path: Path, run: Run, capsys) -> None:
    for name, graph in {"a": "sin", "same": "sin", "b": "cos"}.items():
        (tmp_path / name).write_text(make_key(graph).to_json())
    assert run("explain", str(tmp_path / "a"), str(tmp_path / "same")) == {"equal": True, "differences": []}
    fields = run("explain", str(tmp_path / "a"), str(tmp_path / "b"))
    assert not fields["equal"]
    assert [difference["factor"] for difference in fields["differences"]] == ["graph[0]"]
    (tmp_path / "b").write_text("{}")
    assert main(["cache", "explain", str(tmp_path / "a"), str(tmp_path / "b")]) == 1
    assert str(tmp_path / "b") in capsys.readouterr().err
    assert main(["cache", "explain", str(tmp_path / "a"), str(tmp_path / "none")]) == 3


def test_env(tmp_path: Path, capsys) -> None:
    odd = tmp_path / "it's $HOME"
    arguments = ["cache", "env", "--dir", str(odd), "--remote", str(tmp_path / "shared")]
    assert main([*arguments, "--json"]) == 0
    variables = json.loads(capsys.readouterr().out)
    assert variables["MITHRIL_CACHE"] == "1"
    assert variables["MITHRIL_CACHE_DIR"] == str(odd)
    assert main(arguments) == 0
    shell = capsys.readouterr().out + 'printf "%s\\n" "$MITHRIL_CACHE" "$MITHRIL_CACHE_DIR" "$MITHRIL_REMOTE_URL"'
    said = subprocess.run(["sh", "-eu", "-c", shell], capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == ["1", str(odd), str(tmp_path / "shared")]
    assert not odd.exists()


@pytest.mark.parametrize(("framework", "variable"), [("vllm", "VLLM_CACHE_ROOT"), ("sglang", "SGLANG_CACHE_DIR")])
def test_env_of_a_framework(framework: str, variable: str, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", "/mine")
    monkeypatch.delenv(variable, raising=False)
    assert main(["cache", "env", "--for", framework, "--json"]) == 0
    variables = json.loads(capsys.readouterr().out)
    assert variables[variable].startswith(str(tmp_path / "cache"))
    assert variables["TRITON_CACHE_DIR"] == "/mine"
    assert "HF_HOME" not in variables
