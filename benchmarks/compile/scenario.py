"""The first compiled call in a fresh process, contenders in turns; each on an empty cache folder and TMPDIR, save the
warm ones. Every process is pinned to one core. Results in benchmarks/results/compile.json."""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measure import ROOT, write

KINDS = ("infer", "train")
FILLED = ("torch-remote", "mega-cache", "mithril")


class Host:
    """A place where nothing has been compiled: its own folders for Inductor, temporary files and home."""

    def __init__(self, folder: Path, python: str = sys.executable) -> None:
        self.folder = folder
        self.python = python
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("TORCH", "TRITON", "MITHRIL", "AWS", "XDG"))
        } | {
            "TMPDIR": str(folder / "tmp"),
            "HOME": str(folder / "home"),
            "OMP_NUM_THREADS": "1",
            "TORCHINDUCTOR_COMPILE_THREADS": "1",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
        }
        for name in ("tmp", "home"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def turn(self, contender: str, kind: str, store: Path, *arguments: str) -> dict[str, Any]:
        # The folder that Inductor works in belongs to the host, also for mithril, whose store does not.
        environment = self.environment | {"TORCHINDUCTOR_CACHE_DIR": str(self.folder / "inductor")}
        done = subprocess.run(
            [
                "taskset",
                "-c",
                "0",
                self.python,
                "-m",
                "benchmarks.compile.turn",
                contender,
                kind,
                str(store),
                *arguments,
            ],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise SystemExit(done.stderr)
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return result


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks compile", description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=KINDS)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="mithril-compile-", dir=os.environ.get("TMPDIR")) as folder:
        top = Path(folder)
        result = {
            "rounds": options.rounds,
            "first_call": {kind: first_calls(top / kind, kind, options.rounds) for kind in options.kinds},
            "import": import_cost(15),
        }
    path = write("compile", result)
    print(f"wrote {path}")


def first_calls(top: Path, kind: str, rounds: int) -> dict[str, Any]:
    """Best seconds of each contender, and of what share of plain torch's cold start that is."""
    fresh = iter(range(10**6))

    def host(python: str = sys.executable) -> Host:
        return Host(top / f"host-{next(fresh)}", python)

    for contender in FILLED:  # somebody compiled it once, elsewhere
        host().turn(contender, kind, top / contender)
    plain, served = host(), host()
    plain.turn("plain", kind, top)
    served.turn("mithril", kind, top / "mithril")
    moved = moved_environment(top / "moved")
    hole = BlackHole()
    turns: dict[str, list[dict[str, Any]]] = {}

    def take(name: str, where: Host, contender: str, store: Path, *arguments: str) -> None:
        report = where.turn(contender, kind, store, *arguments)
        turns.setdefault(name, []).append(report)
        print(f"{kind:6} {name:28} {report['seconds']:7.2f} s  {report.get('layers', '')}", flush=True)

    for number in range(rounds):
        take("plain, cold", host(), "plain", top)
        for contender in FILLED:
            take(f"{contender}, filled", host(), contender, top / contender)
        if moved is not None:
            take("mithril, filled, moved", host(moved), "mithril", top / "mithril")
        take("mithril, empty", host(), "mithril", top / f"empty-{number}")
        holes = {"silent server": hole.endpoint, "no route": "http://10.255.255.1:9000"} if kind == "infer" else {}
        for name, endpoint in holes.items():
            take(f"mithril, empty, {name}", host(), "mithril-blackhole", top / f"hole-{name[:2]}-{number}", endpoint)
        for _ in range(3):
            take("plain, warm", plain, "plain", top)
            take("mithril, warm", served, "mithril", top / "mithril")
    hole.close()
    if moved is not None:
        shutil.rmtree(top / "moved")
    results = {report["result"] for reports in turns.values() for report in reports}
    if len(results) != 1:
        raise SystemExit(f"contenders disagree: {results}")
    best = {name: min(reports, key=lambda report: report["seconds"]) for name, reports in turns.items()}
    cold = best["plain, cold"]["seconds"]
    for name, report in best.items():
        report["of_cold"] = report["seconds"] / cold
        report["median"] = statistics.median(report["seconds"] for report in turns[name])
        print(f"{kind:6} {name:28} {report['seconds']:7.2f} s {100 * report['of_cold']:6.1f} %")
    return best


def moved_environment(folder: Path) -> str | None:
    """The Python of a copy of this virtual environment, torch included; None when torch is not in it."""
    import torch

    if sys.prefix == sys.base_prefix or not Path(torch.__file__).is_relative_to(sys.prefix):
        return None
    folder.parent.mkdir(parents=True, exist_ok=True)
    links = ["-l"] if os.stat(sys.prefix).st_dev == os.stat(folder.parent).st_dev else []
    subprocess.run(["cp", "-a", *links, sys.prefix, folder], check=True)
    return str(folder / "bin" / "python")


class BlackHole:
    """A server that takes connections and never answers."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.endpoint = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def close(self) -> None:
        self._socket.close()


def import_cost(rounds: int) -> dict[str, float]:
    """Best seconds of `import torch`, with and without looking for entry points: mithril's is there and unset."""
    program = "import time; t = time.perf_counter(); import torch; print(time.perf_counter() - t)"
    best = {"without entry points": float("inf"), "with mithril's": float("inf")}
    environment = {n: v for n, v in os.environ.items() if not n.startswith("MITHRIL")}
    for _ in range(rounds):
        for name, autoload in zip(best, "01", strict=True):
            done = subprocess.run(
                ["taskset", "-c", "0", sys.executable, "-c", program],
                env=environment | {"TORCH_DEVICE_BACKEND_AUTOLOAD": autoload},
                capture_output=True,
                text=True,
                check=True,
            )
            best[name] = min(best[name], float(done.stdout))
    best["difference"] = best["with mithril's"] - best["without entry points"]
    print(f"import torch: {1e3 * best['difference']:+.1f} ms")
    return best
