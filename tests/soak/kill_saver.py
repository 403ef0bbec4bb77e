"""Kills saving processes at random times: whatever the time, the folder must hold a whole checkpoint.

    python tests/soak/kill_saver.py [--rounds N] [--seed N] [--json FILE]

Each round starts a process that saves one version after the other into the same folder, and kills it. Then the folder
must load, bit for bit, as the last version that the process has reported as saved, or as the next one.
"""

import argparse
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, os.fspath(Path(__file__).parents[2]))

from mithril import load_compressed, save_compressed

_LONGEST_WAIT = 0.25  # seconds from the first save to the kill: several saves


def make_state(version: int) -> dict[str, Any]:
    """Different in every byte from version to version; large enough for several blocks per tensor."""
    generator = torch.Generator().manual_seed(version)
    return {
        "model": {
            "weight": torch.randn(512, 400, generator=generator),
            "half": torch.randn(300, 300, generator=generator).bfloat16(),
        },
        "step": version,
    }


def save_forever(folder: Path, first: int, pipe: Connection) -> None:
    version = first
    while True:
        save_compressed(make_state(version), folder)
        pipe.send(version)
        version += 1


def check(folder: Path, last: int) -> tuple[int, str | None]:
    """The version that the folder holds, and what is wrong with it."""
    state = make_state(-1)
    try:
        load_compressed(state, folder)
    except Exception as error:
        return last, f"{type(error).__name__}: {error}"
    version = state["step"]
    expected = make_state(version)
    if version not in (last, last + 1):
        return version, f"version {version} after {last} was saved"
    if any(not torch.equal(state["model"][name], expected["model"][name]) for name in expected["model"]):
        return version, f"version {version} is not what was saved"
    return version, None


def kill_savers(folder: Path, *, rounds: int, seed: int) -> list[str]:
    """Run the rounds; returns the failures."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch.distributed.checkpoint", "torch.distributed.tensor"])
    chance = random.Random(seed)
    failures = []
    version = 0
    save_compressed(make_state(version), folder)
    for number in range(rounds):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=save_forever, args=(folder, version + 1, theirs))
        process.start()
        theirs.close()
        version = ours.recv()
        time.sleep(chance.uniform(0, _LONGEST_WAIT))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        version = drained(ours, version)
        version, failure = check(folder, version)
        if failure is not None:
            failures.append(f"round {number}: {failure}")
    return failures


def drained(pipe: Connection, version: int) -> int:
    """The last version reported before the kill."""
    try:
        while True:
            version = pipe.recv()
    except EOFError:
        return version


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        failures = kill_savers(Path(folder), rounds=options.rounds, seed=options.seed)
    result = {"rounds": options.rounds, "failures": failures}
    print(json.dumps(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    return len(failures) > 0


if __name__ == "__main__":
    sys.exit(main())
