"""The mixed load: eight processes get, put and delete objects of 4 KiB in one store that holds half of them."""

import itertools
import multiprocessing
import random
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from benchmarks.store.contenders import CONTENDERS
from mithril.cache._content import ContentStore

PROCESSES = 8
OBJECTS = 8192
BYTES = 4096
QUOTA = OBJECTS * BYTES // 2
_BATCH = 64  # steps between two looks at the clock
_STEPS = 1 << 17  # then from the start again


def content(number: int) -> bytes:
    return random.Random(number).randbytes(BYTES)


def use(name: str, folder: Path, seed: int, pipe: Connection) -> None:
    """Waits for the starting time, works until the end, reports its counts and its slowest step in seconds."""
    contents = [content(number) for number in range(OBJECTS)]
    keys = [ContentStore.compute_address(data) for data in contents]
    store = CONTENDERS[name](folder, QUOTA)
    # Drawn before the clock runs: it is the store that is measured.
    chance = random.Random(seed)
    steps = [(chance.randrange(OBJECTS), chance.random()) for _ in range(_STEPS)]
    pipe.send("ready")
    end = pipe.recv()
    counts = {"gets": 0, "hits": 0, "puts": 0, "deletes": 0, "torn": 0, "errors": 0}
    slowest = 0.0
    for first in itertools.cycle(range(0, _STEPS, _BATCH)):
        if time.monotonic() >= end:
            break
        for number, kind in steps[first : first + _BATCH]:
            start = time.perf_counter()
            try:
                if kind < 0.9:
                    data = store.get(keys[number])
                    counts["gets"] += 1
                    if data is not None:
                        counts["hits"] += 1
                        counts["torn"] += data != contents[number]
                elif kind < 0.99:
                    store.put(keys[number], contents[number])
                    counts["puts"] += 1
                else:
                    store.delete(keys[number])
                    counts["deletes"] += 1
            except Exception:
                counts["errors"] += 1
            slowest = max(slowest, time.perf_counter() - start)
    pipe.send({**counts, "slowest": slowest})


def run(name: str, folder: Path, seconds: float) -> dict[str, Any]:
    """Counts of all processes together and per second; of mithril also how the quota held."""
    store = CONTENDERS[name](folder, QUOTA)
    for number in range(OBJECTS):
        data = content(number)
        store.put(ContentStore.compute_address(data), data)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.store.load"])
    pipes, processes = [], []
    for seed in range(PROCESSES):
        ours, theirs = context.Pipe()
        processes.append(context.Process(target=use, args=(name, folder, seed, theirs)))
        processes[-1].start()
        pipes.append(ours)
    for pipe in pipes:
        pipe.recv()
    end = time.monotonic() + seconds
    for pipe in pipes:
        pipe.send(end)
    highest = watch(folder, end) if name == "mithril" else 0
    reports = [pipe.recv() for pipe in pipes]
    for process in processes:
        process.join()
    result: dict[str, Any] = {key: sum(report[key] for report in reports) for key in reports[0]}
    result["slowest"] = round(max(report["slowest"] for report in reports), 4)
    result |= {f"{key}_per_second": round(result[key] / seconds) for key in ("gets", "hits", "puts")}
    if name == "mithril":
        result |= quota(folder, highest)
    return result


def watch(folder: Path, end: float) -> int:
    """The most bytes that were in the store at any look, one a second: looking takes a core that the load wants."""
    store = ContentStore(folder, read_only=True)
    highest = 0
    while time.monotonic() < end:
        highest = max(highest, store.stats().bytes)
        time.sleep(1)
    return highest


def quota(folder: Path, highest: int) -> dict[str, Any]:
    store = ContentStore(folder, max_size_bytes=QUOTA)
    highest = max(highest, store.stats().bytes)
    store.gc()
    return {
        "worst_overrun_objects": round(max(0, highest - QUOTA) / BYTES, 2),
        "worst_overrun_percent": round(max(0, highest - QUOTA) / QUOTA * 100, 3),
        "within_quota_after_gc": store.stats().bytes <= QUOTA,
        "damaged": len(store.verify().damaged) + store.stats().quarantined,
    }
