"""JSON Lines to JSON Lines: the command, with all its start-up, on two cores."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.dedup.contender import THRESHOLD, Clock, Found

NAME, PACKAGE, TAKES, WORDS, CORES = "mithril, JSONL to JSONL", "mithril", "jsonl", "mithril", 2


def prepare():
    return run


def run(path: str, clock: Clock) -> Found:
    with tempfile.TemporaryDirectory(dir=Path(path).parent) as folder:
        out = Path(folder, "kept.jsonl")
        command = [sys.executable, "-m", "mithril.cli", "dedup", path, "-o", out, "-t", str(THRESHOLD)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        clock.lap("deduplicate")
        with open(path) as lines:
            kept = np.zeros(sum(1 for _ in lines), bool)
        with out.open() as lines:
            kept[[int(json.loads(line)["id"].removeprefix("doc-")) for line in lines]] = True
        clock.lap("set-up")
    return Found(kept)
