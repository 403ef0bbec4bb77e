"""Near-duplicate removal against its peers, on real text with planted copies whose similarity is known exactly.

Corpora are made in build/dedup (of Debian packages, see sources.py), peers installed there. Contenders take turns, each
turn in a fresh process; rates are by the CPU time of the best of the rounds, per core; memory is the most of any round.
A contender that has used up its seconds on a corpus takes no further turns on it, but at least one. All have the same
task where they can be told: word 5-grams, 128 permutations in 16 bands of 8, Jaccard from 0.85 on.
"""

import argparse
import importlib
import json
import os
import subprocess
import tempfile
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks import measure
from benchmarks.dedup import corpus, score, table
from benchmarks.dedup.contender import Found
from benchmarks.dedup.environments import interpreter
from benchmarks.dedup.judge import oracle

CONTENDERS = (
    "mithril_arrow",
    "mithril_list",
    "mithril_avx2",
    "mithril_ssse3",
    "mithril_portable",
    "mithril_threads",
    "mithril_sketch",
    "mithril_jsonl",
    "rensa_r",
    "rensa_c",
    "rensa_rho",
    "fastsketchlsh",
    "gaoya",
    "datasketch",
    "text_dedup",
    "datatrove",
    "near_dupes",
    "exact_set",
)
LARGE = ("pages200k", "short1m")
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("RAYON", "OMP", "OPENBLAS", "MKL", "NUMEXPR", "NUMBA")} | {
    "POLARS_MAX_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_OFFLINE": "1",
}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks dedup", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60, help="of a contender on a corpus (default: %(default)s)")
    parser.add_argument("--longest", type=float, default=300, help="seconds after which a turn is stopped")
    parser.add_argument("--corpora", nargs="+", default=list(corpus.RECIPES), choices=corpus.RECIPES, metavar="CORPUS")
    parser.add_argument("--contenders", nargs="+", default=CONTENDERS, choices=CONTENDERS, metavar="CONTENDER")
    parser.add_argument("--no-write", action="store_true", help="only print")
    options = parser.parse_args(arguments)
    contenders, skipped = load(options.contenders)
    result: dict[str, Any] = {"rounds": options.rounds, "seconds": options.seconds, "skipped": skipped, "corpora": {}}
    rows: list[dict[str, Any]] = []
    for name in options.corpora:
        folder = corpus.ensure(name)
        result["corpora"][name] = corpus.stats(folder)
        those = [c for c in contenders if name not in LARGE or getattr(c, "LARGE", True)]
        rows += compare(folder, those, options)
        print(f"\n{table.of_corpus(rows, name)}\n", flush=True)
    print(f"{table.own(rows)}\n\ntwo threads against one: {table.threads(rows)}")
    if not options.no_write:
        print(measure.write("dedup", result | {"rows": rows}))


def load(names: list[str]) -> tuple[list[ModuleType], dict[str, str]]:
    """The contenders whose environment is there or can be made, and why the others do not take part."""
    contenders, skipped = [], {}
    for name in names:
        contender = importlib.import_module(f"benchmarks.dedup.{name}")
        try:
            subprocess.run(
                [interpreter(contender), "-c", f"import {contender.__name__} as c; c.prepare()"],
                cwd=measure.ROOT,
                env=environment(contender),
                check=True,
                capture_output=True,
                text=True,
            )
            contenders.append(contender)
        except subprocess.CalledProcessError as error:
            reason = (error.stderr or str(error)).strip().splitlines()[-1]
            skipped[contender.NAME] = reason
            print(f"skipped {contender.NAME}: {reason}", flush=True)
    return contenders, skipped


def environment(contender: ModuleType) -> dict[str, str]:
    return os.environ | ONE_THREAD | getattr(contender, "ENVIRONMENT", {})


def compare(folder: Path, contenders: list[ModuleType], options: argparse.Namespace) -> list[dict[str, Any]]:
    """The rows of one corpus."""
    counts = {c.NAME: corpus.count_within(folder, getattr(c, "MEGABYTES", None)) for c in contenders}
    turns: dict[str, list[dict[str, Any]]] = {c.NAME: [] for c in contenders}
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory(dir=folder.parent) as results:
        files = {c.NAME: Path(results, f"{c.__name__}.npz") for c in contenders}
        for _ in range(options.rounds):
            for c in contenders:
                used = sum(turn["wall_seconds"] for turn in turns[c.NAME])
                if c.NAME in failed or used > options.seconds:
                    continue
                try:
                    turns[c.NAME].append(take(c, folder, counts[c.NAME], files[c.NAME], options.longest))
                except (subprocess.SubprocessError, RuntimeError) as error:
                    failed[c.NAME] = str(error)
                print(f"{folder.name} {c.NAME}: {failed.get(c.NAME) or brief(turns[c.NAME][-1])}", flush=True)
        rows = []
        for c in contenders:
            count = counts[c.NAME]
            row: dict[str, Any] = {"corpus": folder.name, "contender": c.NAME, "documents": count}
            row["cores"] = getattr(c, "CORES", 1)
            row |= {"error": failed[c.NAME]} if c.NAME in failed else rates(folder, count, turns[c.NAME])
            if files[c.NAME].exists():
                row["judged"] = judged(c, folder, files[c.NAME])
            rows.append(row)
    return rows


def take(contender: ModuleType, folder: Path, count: int, file: Path, longest: float) -> dict[str, Any]:
    """One turn, in a process of its own. What it found must be what it found before."""
    again = file.with_suffix(".again.npz")
    done = subprocess.run(
        [interpreter(contender), "-m", "benchmarks.dedup.turn", contender.__name__, folder, str(count), again],
        cwd=measure.ROOT,
        env=environment(contender),
        capture_output=True,
        text=True,
        timeout=longest,
    )
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    report: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    if again.exists():
        report["same"] = not file.exists() or np.array_equal(np.load(again)["kept"], np.load(file)["kept"])
        again.replace(file)
    return report


def brief(turn: dict[str, Any]) -> str:
    return f"{turn['cpu_seconds']:.2f} s CPU, {turn['wall_seconds']:.2f} s, {turn['memory'] / 1e6:.0f} MB"


def rates(folder: Path, count: int, turns: list[dict[str, Any]]) -> dict[str, Any]:
    """Of the best turn: documents and MB a second of CPU time and of wall time; memory of the worst."""
    size = corpus.bytes_of(folder, count)
    best = min(turns, key=lambda turn: float(turn["cpu_seconds"]))
    cpu, wall = best["cpu_seconds"], min(turn["wall_seconds"] for turn in turns)
    return {
        "version": best["version"],
        "rounds": len(turns),
        "bytes": size,
        "docs_per_second": round(count / cpu),
        "mb_per_second": round(size / cpu / 1e6, 2),
        "docs_per_second_tokens_free": round(count / max(1e-9, cpu - best["tokenize_seconds"])),
        "docs_per_wall_second": round(count / wall),
        "mb_per_wall_second": round(size / wall / 1e6, 2),
        "phases": best["phases"],
        "memory_per_document": round(max(turn["memory"] for turn in turns) / count, 1),
        "same_every_time": all(turn.get("same", True) for turn in turns),
    }


def judged(contender: ModuleType, folder: Path, file: Path) -> dict[str, Any]:
    with np.load(file) as stored:
        found = Found(**stored)
    words = getattr(contender, "WORDS", "common")
    truth, known = corpus.truth(folder), oracle(folder, words)
    if len(found.kept) < len(known.groups):
        known, truth = score.first(known, truth, len(found.kept))
    evidence = score.evidence(found, corpus.load(folder, len(found.kept)).to_pylist()) if found.by is not None else {}
    return {"words": words} | score.score(found.kept, known, truth) | evidence
