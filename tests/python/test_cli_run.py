"""`mithril cache run`: the environment, exit codes, signals and the summary; a program that compiles nothing twice."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PRINT_ENVIRONMENT = "import json, os; print(json.dumps(dict(os.environ)))"
# Says that it is ready, and then which signals came until it is told to end.
LISTEN = """
import signal, sys
got = []
for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"):
    signal.signal(getattr(signal, name), lambda number, frame: got.append(signal.Signals(number).name))
print("ready", flush=True)
while "SIGTERM" not in got:
    signal.pause()
print(*got)
sys.exit(7)
"""
COMPILE = """
import torch
torch.set_num_threads(1)
compiled = torch.compile(lambda x: (x.sin() * 2 + x).sum())
print(float(compiled(torch.arange(8.0))))
"""


def environment(folder: Path, **more: str) -> dict[str, str]:
    dropped = ("MITHRIL_", "TORCH", "TRITON", "AWS_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    return {**inherited, "MITHRIL_CACHE_DIR": str(folder / "cache"), **more}


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "mithril.cli", "cache", "run", *arguments]


def run(folder: Path, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command(*arguments), env=environment(folder, **more), capture_output=True, text=True, timeout=240
    )


def test_the_environment_of_the_command(tmp_path: Path) -> None:
    done = run(
        tmp_path, "--dir", str(tmp_path / "other"), "--remote", str(tmp_path / "shared"), "--", sys.executable, "-c",
        PRINT_ENVIRONMENT, MITHRIL_MAX_SIZE_GB="2", OTHER="kept",
    )  # fmt: skip
    assert done.returncode == 0
    said = json.loads(done.stdout)
    assert said["MITHRIL_CACHE"] == "1"
    assert said["MITHRIL_CACHE_DIR"] == str(tmp_path / "other")
    assert said["MITHRIL_REMOTE_URL"] == str(tmp_path / "shared")
    assert (float(said["MITHRIL_MAX_SIZE_GB"]), said["OTHER"]) == (2, "kept")
    assert done.stderr.startswith("mithril: nothing was looked up")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["sh", "-c", "exit 0"], 0),
        (["sh", "-c", "exit 5"], 5),
        (["--", "sh", "-c", "kill -9 $$"], 128 + 9),
        (["--quiet", "--", "sh", "-c", "kill -TERM $$"], 128 + 15),
        (["no-such-command-here"], 127),
        (["/etc/passwd"], 126),
    ],
)
def test_exit_codes(arguments: list[str], code: int, tmp_path: Path) -> None:
    done = run(tmp_path, *arguments)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert done.stderr.count("\n") == (0 if "--quiet" in arguments else 1)


def test_options_of_the_command_are_its_own(tmp_path: Path) -> None:
    done = run(tmp_path, "sh", "-c", 'echo "$@"', "sh", "--json", "--dir", "x", "--help", "--debug", "--")
    assert done.stdout == "--json --dir x --help --debug --\n"


def test_json_has_stdout_for_itself(tmp_path: Path) -> None:
    done = run(tmp_path, "--json", "--", "sh", "-c", "echo said; exit 3")
    assert done.returncode == 3
    fields = {"exit_code": 3, "hits": 0, "remote_hits": 0, "misses": 0, "seconds_saved": 0.0}
    assert json.loads(done.stdout) == fields
    assert done.stderr == "said\n"


def test_a_cache_that_cannot_be_is_said_before(tmp_path: Path) -> None:
    done = run(tmp_path, "--", "sh", "-c", "echo started", MITHRIL_CACHE_TRUST="require")
    assert (done.returncode, done.stdout) == (2, "")
    (tmp_path / "cache").touch()
    assert run(tmp_path, "--", "sh", "-c", "echo started").returncode == 3


def test_signals_are_passed_on(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command("--", sys.executable, "-c", LISTEN),
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM):
            process.send_signal(number)
        out, err = process.communicate(timeout=20)
    except BaseException:
        os.killpg(process.pid, signal.SIGKILL)  # both
        process.communicate()
        raise
    assert set(out.split()) == {"SIGINT", "SIGHUP", "SIGUSR1", "SIGTERM"}
    assert process.returncode == 7
    assert "Traceback" not in err


def test_what_a_terminal_sends_arrives_once(tmp_path: Path) -> None:
    """Ctrl-C goes to all in the foreground: passing it on would make it two."""
    import pty

    program = LISTEN.replace('while "SIGTERM" not in got', "import time\nfor _ in range(20)").replace(
        "signal.pause()", "time.sleep(0.05)"
    )
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(sys.executable, command("--", sys.executable, "-c", program), environment(tmp_path))
    said = b""
    while b"ready" not in said:
        said += os.read(terminal, 4096)
    os.write(terminal, b"\x03")
    while True:
        try:
            said += os.read(terminal, 4096)
        except OSError:  # the other end is closed
            break
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert said.count(b"SIGINT") == 1


def test_children_get_signals_unblocked(tmp_path: Path) -> None:
    program = "import signal; print(len(signal.pthread_sigmask(signal.SIG_BLOCK, [])))"
    assert run(tmp_path, "--", sys.executable, "-c", program).stdout == "0\n"


@pytest.mark.slow
def test_the_second_run_compiles_nothing(tmp_path: Path) -> None:
    said = []
    for number in (1, 2):
        fresh = tmp_path / f"host{number}"
        fresh.mkdir()
        arguments = ["--json", "--dir", str(tmp_path / "cache"), "--", sys.executable, "-c", COMPILE]
        done = run(
            tmp_path,
            *arguments,
            TMPDIR=str(fresh),
            TORCHINDUCTOR_CACHE_DIR=str(fresh),
            TORCHINDUCTOR_COMPILE_THREADS="1",
            TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS="0",
        )
        assert done.returncode == 0, done.stderr
        said.append((json.loads(done.stdout), done.stderr))
    (first, printed), (second, printed_again) = said
    assert first["hits"] == 0
    assert first["misses"] > 2
    assert second["hits"] == first["misses"]
    assert second["misses"] == 0
    assert second["seconds_saved"] > 0
    assert printed == printed_again
