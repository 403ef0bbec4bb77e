"""The command `mithril` as a command: help, exit codes, errors, and that docs/cli.md tells of it all."""

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest

from mithril.cache._metrics import BY_LAYER, OF_THE_CACHE
from mithril.cli import main
from mithril.cli._cache import cache
from mithril.cli._exit_codes import MEANINGS
from mithril.cli._root import GROUPS, root

DOCS = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
COMMANDS = sorted(cache.commands)
COMMON = {"--dir", "--json", "--debug"}


def start(*arguments: str, **options: object) -> "subprocess.Popen[str]":
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
        [sys.executable, "-m", "mithril.cli", *arguments], stderr=subprocess.PIPE, text=True, **options
    )


def section(command: str) -> str:
    return DOCS.split(f"\n## mithril cache {command}\n")[1].partition("\n## ")[0]


def test_help_is_fast_because_it_imports_nothing(run_python) -> None:
    loaded = run_python(
        "import sys; from mithril.cli import main; assert main(['--help']) == 0; assert main(['--version']) == 0\n"
        "print(*sys.modules, sep='\\n')"
    ).split()
    assert "mithril.cli._root" in loaded
    heavy = {
        "torch",
        "numpy",
        "blake3",
        "obstore",
        "mithril.cache",
        "mithril.cli._cache",
        "rich.table",
        "mithril._core",
    }
    assert not heavy & set(loaded)


def test_help_of_the_group_imports_no_cache(run_python) -> None:
    loaded = run_python(
        "import sys; from mithril.cli import main; assert main(['cache', 'run', '--help']) == 0\n"
        "print(*sys.modules, sep='\\n')"
    ).split()
    assert not {"torch", "blake3", "obstore", "mithril._core", "mithril.cache._manager"} & set(loaded)


@pytest.mark.parametrize("arguments", [[], ["cache"], *(["cache", name] for name in COMMANDS)], ids=" ".join)
def test_every_help_lists_the_exit_codes(arguments: list[str], capsys) -> None:
    assert main([*arguments, "--help"]) == 0
    shown = capsys.readouterr().out
    codes = re.findall(r"^ +(\d+) +\w", shown.partition("Exit codes:")[2], re.MULTILINE)
    assert {"0", "2", "3", "4"} <= set(codes)
    assert max(map(len, shown.splitlines())) <= 90


def test_the_version(capsys) -> None:
    import mithril

    assert main(["--version"]) == 0
    assert mithril.__version__ in capsys.readouterr().out


def test_the_docs_list_what_exists() -> None:
    assert sorted(GROUPS) == ["cache", "dedup"]
    assert sorted(re.findall(r"^## mithril cache (\w+)$", DOCS, re.MULTILINE)) == COMMANDS
    with_remote = set(re.findall(r"`(\w+)`", re.search(r"^.* also take `--remote", DOCS, re.MULTILINE)[0]))
    for name in COMMANDS:
        command = cache.commands[name]
        options = {o for p in command.params if isinstance(p, click.Option) for o in p.opts}
        assert options >= COMMON
        assert ("--remote" in options) == (name in with_remote), name
        own = options - COMMON - {"--remote"}
        assert set(re.findall(r"`(--\w+)", section(name))) - COMMON == own, name
        arguments = [p for p in command.params if isinstance(p, click.Argument)]
        usage = command.collect_usage_pieces(click.Context(command))[1:]
        assert not arguments or f"`mithril cache {name} {' '.join(usage)}`" in section(name), name


def test_the_docs_list_the_exit_codes() -> None:
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", DOCS, re.MULTILINE)
    assert rows == [(str(code), meaning) for code, meaning in MEANINGS.items()]


def test_the_docs_list_the_metrics() -> None:
    metrics = re.findall(r"`(mithril_cache_\w+)`", section("stats"))
    assert metrics == [row[0] for row in (*BY_LAYER, *OF_THE_CACHE)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing command"),
        (["nothing"], "'nothing'"),
        (["cache", "nothing"], "'nothing'"),
        (["cache", "ls", "--nothing"], "--nothing"),
        (["cache", "ls", "--limit", "0"], "--limit"),
        (["cache", "import"], "FILE"),
        (["cache", "run"], "COMMAND"),
        (["cache", "stats", "--json", "--prometheus", "-"], "--json"),
        (["cache", "stats", "--serve", "0", "--prometheus", "x"], "--serve"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str, capsys) -> None:
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"mithril: error: .*; see mithril.* --help\n", err)
    assert message in err


def test_a_variable_that_cannot_be(monkeypatch, capsys) -> None:
    monkeypatch.setenv("MITHRIL_MAX_SIZE_GB", "many")
    assert main(["cache", "env"]) == 2
    assert capsys.readouterr().err.startswith("mithril: error: MITHRIL_MAX_SIZE_GB='many'")


def test_errors_are_one_line_unless_debugged(tmp_path: Path, capsys) -> None:
    arguments = ["cache", "stats", "--dir", str(tmp_path / "none")]
    assert main(arguments) == 3
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), "Traceback" in err) == ("", 1, False)
    assert not (tmp_path / "none").exists()
    assert main([*arguments, "--debug"]) == 3
    assert "Traceback" in capsys.readouterr().err


def test_a_fault_of_ours_says_so(capsys) -> None:
    @click.command("broken")
    def broken() -> None:
        raise RuntimeError("what\nnobody thought of")

    cache.add_command(broken)
    try:
        assert main(["cache", "broken"]) == 70
    finally:
        del cache.commands["broken"]
    assert capsys.readouterr().err == "mithril: error: RuntimeError: what nobody thought of (--debug shows where)\n"


@pytest.mark.parametrize("package", ["click", "rich", "blake3"])
def test_a_missing_package_is_one_line(package: str, tmp_path: Path, run_python) -> None:
    program = f"""
import contextlib, io, sys
sys.modules["{package}"] = None
from mithril.cli import main
with contextlib.redirect_stderr(io.StringIO()) as err:
    code = main(["cache", "run", "true"])
print(code, err.getvalue())
"""
    said = run_python(program, MITHRIL_CACHE_DIR=str(tmp_path))
    assert said.splitlines()[0] == f"2 mithril: error: the package {package} is missing: pip install {package}"


def test_a_reader_that_goes_away() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = start("cache", "env", stdout=writing)
    os.close(writing)
    assert process.communicate()[1] == ""
    assert process.returncode == 141


def test_a_terminal_without_unicode() -> None:
    process = start("cache", "run", "--help", stdout=subprocess.PIPE, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert process.communicate()[0].startswith("Usage: mithril cache run")
    assert process.returncode == 0


def test_interrupted(tmp_path: Path) -> None:
    """While it waits for the other end of a pipe."""
    os.mkfifo(tmp_path / "key")
    process = start("cache", "explain", str(tmp_path / "key"), str(tmp_path / "key"), preexec_fn=_interruptible)
    # Opened for reading by then: a writer finds a reader.
    with open(tmp_path / "key", "wb"):
        process.send_signal(signal.SIGINT)
        assert "Traceback" not in process.communicate()[1]
    assert process.returncode == 130


def _interruptible() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_tables_are_drawn_on_a_terminal_only(tmp_path: Path) -> None:
    from mithril.cache import ContentStore

    ContentStore(tmp_path / "store").put_group("fx", "[bold]key[/bold]", {"m": b"1"})
    arguments = ("cache", "ls", "--dir", str(tmp_path))
    plain = start(*arguments, stdout=subprocess.PIPE).communicate()[0]
    assert plain.splitlines()[0].split() == ["namespace", "key", "members", "size", "took", "used"]
    terminal, child = pty.openpty()
    process = start(*arguments, stdout=child)
    os.close(child)
    drawn = b""
    while True:
        try:
            drawn += os.read(terminal, 4096)
        except OSError:  # the other end is closed
            break
    os.close(terminal)
    process.communicate()
    assert process.returncode == 0
    assert "│" in drawn.decode()
    assert "[bold]" in drawn.decode()


def test_the_root_is_a_lazy_group() -> None:
    context = click.Context(root)
    assert root.list_commands(context) == ["cache", "dedup"]
    assert root.get_command(context, "cache") is cache
    assert root.get_command(context, "nothing") is None
