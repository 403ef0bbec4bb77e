"""The content store against plain files, SQLite and diskcache, on a file system in memory.

Median latency of 4 KiB objects, speed of 64 MiB objects, and a mixed load of eight processes: 90 % get, 9 % put, 1 %
delete. Mithril hashes what it puts and verifies what it gets, and evicts; of the others only diskcache evicts.
"""

import argparse
import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.store import load
from benchmarks.store.contenders import Store, available
from mithril.cache._content import ContentStore

SMALL, SMALL_COUNT = 4096, 3000
LARGE, LARGE_COUNT = 64 << 20, 3


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks store", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60, help="of the mixed load of mithril")
    parser.add_argument("--peer-seconds", type=float, default=10, help="of the mixed load of the others")
    options = parser.parse_args(arguments)
    rows: dict[str, dict[str, object]] = {name: {} for name in available()}
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        latencies = small(Path(folder), options.rounds)
        speeds = large(Path(folder), options.rounds)
        for name, row in rows.items():
            row |= latencies[name] | speeds[name]
            row["load"] = load.run(
                name, Path(folder, name), options.seconds if name == "mithril" else options.peer_seconds
            )
            shutil.rmtree(Path(folder, name))
            print(name, row)
    settings = {
        "processes": load.PROCESSES,
        "objects": load.OBJECTS,
        "quota_bytes": load.QUOTA,
        "seconds": options.seconds,
        "peer_seconds": options.peer_seconds,
    }
    print(measure.write("store", {"rounds": options.rounds, "load": settings, "rows": rows}))


_SIZES = (("4k_us", 0), ("64m_gbs", 1))
_TITLES = {"mithril": "**mithril**", "plain_files": "plain files", "sqlite": "SQLite", "diskcache": "diskcache"}


def readme(rows: dict[str, Any]) -> str:
    """The table of the README."""
    lines = [
        "| | 4 KiB put / get | 64 MiB put / get | gets that find something, eight processes on two cores |",
        "| --- | --- | --- | --- |",
    ]
    for name, title in _TITLES.items():
        row = rows[name]
        small, large = (f"{row[f'put_{size}']:.{digits}f} / {row[f'get_{size}']:.{digits}f}" for size, digits in _SIZES)
        lines.append(f"| {title} | {small} µs | {large} GB/s | {row['load']['hits_per_second'] // 1000} 000 a second |")
    return "\n".join(lines)


def put_seconds(store: Store, key: str, data: bytes) -> float:
    start = time.perf_counter()
    store.put(key, data)
    return time.perf_counter() - start


def get_seconds(store: Store, key: str, data: bytes) -> float:
    start = time.perf_counter()
    found = store.get(key)
    end = time.perf_counter()
    assert found == data
    return end - start


def small(folder: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Microseconds, the median of all objects in the best round."""
    best: dict[str, dict[str, float]] = {name: {} for name in available()}
    for _ in range(rounds):
        contents = [os.urandom(SMALL) for _ in range(SMALL_COUNT)]
        keys = [ContentStore.compute_address(data) for data in contents]
        for name, kind in available().items():
            store: Store = kind(folder / name, None)
            puts = [put_seconds(store, key, data) for key, data in zip(keys, contents, strict=True)]
            gets = [get_seconds(store, key, data) for key, data in zip(keys, contents, strict=True)]
            shutil.rmtree(folder / name)
            for what, times in (("put_4k_us", puts), ("get_4k_us", gets)):
                best[name][what] = min(best[name].get(what, 1e9), round(statistics.median(times) * 1e6, 2))
    return best


def large(folder: Path, rounds: int) -> dict[str, dict[str, float]]:
    """GB/s, the median of the objects in the best round."""
    best: dict[str, dict[str, float]] = {name: {} for name in available()}
    for _ in range(rounds):
        for name, kind in available().items():
            store: Store = kind(folder / name, None)
            puts, gets = [], []
            for _ in range(LARGE_COUNT):
                data = os.urandom(LARGE)
                key = ContentStore.compute_address(data)
                puts.append(put_seconds(store, key, data))
                gets.append(get_seconds(store, key, data))
                store.delete(key)
            shutil.rmtree(folder / name)
            for what, times in (("put_64m_gbs", puts), ("get_64m_gbs", gets)):
                best[name][what] = max(best[name].get(what, 0), round(LARGE / statistics.median(times) / 1e9, 2))
    return best
