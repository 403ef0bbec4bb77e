"""One contender on one corpus, in a process of its own: prints a line of JSON, writes what it found to a file.

    python -m benchmarks.dedup.turn CONTENDER CORPUS COUNT FILE

Memory beyond the texts is the peak while it ran less what was in use before, when texts and modules were loaded; of a
contender that starts a process, all of that process.
"""

import ctypes
import gc
import importlib
import json
import os
import platform
import resource
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.dedup import corpus
from benchmarks.dedup.contender import Clock

_OUTSIDE = "set-up"  # phase that no rate counts


def inputs(contender: ModuleType, folder: Path, count: int) -> Any:
    """What the contender takes, in memory that holds nothing else."""
    if contender.TAKES == "jsonl":
        return str(cut_lines(folder, count))
    column = corpus.load(folder, count)
    return column if contender.TAKES == "arrow" else column.to_pylist()


def cut_lines(folder: Path, count: int) -> Path:
    """The JSON Lines of the corpus's first documents."""
    whole = folder / "corpus.jsonl"
    if count == corpus.stats(folder)["documents"]:
        return whole
    part = folder / f"corpus-{count}.jsonl"
    with whole.open() as source, part.open("w") as target:
        target.writelines(next(source) for _ in range(count))
    return part


def memory(field: str) -> int:
    """VmRSS or VmHWM of this process, in bytes."""
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith(field + ":"))
    return int(line.split()[1]) * 1024


def settle() -> None:
    """Give back what loading left behind, and forget the peak so far."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def version(contender: ModuleType) -> str:
    if contender.PACKAGE == "python":
        return platform.python_version()
    try:
        return metadata.version(contender.PACKAGE)
    except metadata.PackageNotFoundError:  # mithril from the source tree
        return str(getattr(importlib.import_module(contender.PACKAGE), "__version__", ""))


def take(name: str, folder: Path, count: int, path: Path) -> dict[str, Any]:
    contender = importlib.import_module(name)
    cores = sorted(os.sched_getaffinity(0), reverse=True)[: getattr(contender, "CORES", 1)]
    os.sched_setaffinity(0, cores)
    run = contender.prepare()
    texts = inputs(contender, folder, count)
    settle()
    before = memory("VmRSS")
    clock = Clock()
    found = run(texts, clock)
    clock.lap("rest")
    own = memory("VmHWM") - before
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    if found is not None:
        np.savez(path, **{field: value for field, value in found._asdict().items() if value is not None})
    cpu = {phase: seconds for phase, seconds in clock.cpu.items() if phase != _OUTSIDE}
    wall = {phase: seconds for phase, seconds in clock.wall.items() if phase != _OUTSIDE}
    return {
        "version": version(contender),
        "cpu_seconds": sum(cpu.values()),
        "wall_seconds": sum(wall.values()),
        "tokenize_seconds": cpu.get("tokenize", 0.0),
        "phases": {phase: round(seconds, 4) for phase, seconds in cpu.items() if seconds > 0.0005},
        "memory": max(0, own, children),
    }


if __name__ == "__main__":
    print(json.dumps(take(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))))
