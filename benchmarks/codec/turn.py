"""Turns of a contender: compress and decompress, into new memory and into used memory, each checked.

They are taken in a process of the contender's own: this module as a program, which makes a line of results, or of the
error, for each line of standard input (contender, file of the data, dtype). In one process contenders would change what
memory costs the others: some keep what malloc frees, and then nobody's new memory has to be cleared any more.
"""

import importlib
import json
import os
import subprocess
import sys
import time
from types import ModuleType
from typing import Any

import numpy as np

from benchmarks import measure

PIECE, SAMPLE_PIECES = 256 << 10, 32


def sample(data: np.ndarray) -> np.ndarray:
    """Pieces spread evenly over the data; all of them where it has no more."""
    if len(data) <= SAMPLE_PIECES * PIECE:
        return data
    starts = (np.arange(SAMPLE_PIECES) + 0.5) * (len(data) // PIECE) / SAMPLE_PIECES
    return np.concatenate([data[s : s + PIECE] for s in starts.astype(int) * PIECE])


class Turn:
    """One contender, one data set."""

    def __init__(self, contender: ModuleType, data: np.ndarray, dtype: str) -> None:
        self._contender, self._data = contender, sample(data) if getattr(contender, "SAMPLED", False) else data
        self._compress, self._decompress = contender.prepare(dtype)
        self._out = np.zeros_like(self._data) if contender.INTO else None
        self._blob = np.zeros(contender.ROOM(len(data), dtype), np.uint8) if hasattr(contender, "ROOM") else None

    def take(self) -> dict[str, float]:
        """Seconds of each operation, and the size in bytes."""
        source = getattr(self._contender, "source", lambda view: view)(memoryview(self._data))
        start = time.perf_counter()
        blob = self._compress(source)
        times = {"compress": time.perf_counter() - start}
        start = time.perf_counter()
        back = self._decompress(blob, None)
        times["decompress"] = time.perf_counter() - start
        self._check(back)
        del back
        if self._out is not None:
            self._out[:] = 0
            start = time.perf_counter()
            self._decompress(blob, self._out)
            times["decompress_warm"] = time.perf_counter() - start
            self._check(self._out)
        if self._blob is not None:
            start = time.perf_counter()
            again = self._compress(source, self._blob)
            times["compress_warm"] = time.perf_counter() - start
            if again != blob:
                raise AssertionError(f"{self._contender.NAME}: compressing into used memory gave other bytes")
        size = getattr(self._contender, "size", lambda blob: memoryview(blob).nbytes)
        return {**times, "size": size(blob)}

    def _check(self, back: Any) -> None:
        if not np.array_equal(np.frombuffer(back, np.uint8), self._data):
            raise AssertionError(f"{self._contender.NAME}: the data that came back are not those that went in")


class Turns:
    """Those of one contender on one data set, in a process under the contender's environment."""

    def __init__(self, contender: ModuleType, path: str, dtype: str) -> None:
        self._job = json.dumps([contender.__name__, path, dtype])
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=measure.ROOT,
            env={**os.environ, **getattr(contender, "ENVIRONMENT", {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def take(self) -> dict[str, float]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            print(self._job, file=self._process.stdin, flush=True)
            result = json.loads(self._process.stdout.readline())
        except (BrokenPipeError, json.JSONDecodeError):
            raise RuntimeError(f"the process of {self._job} ended") from None
        if "error" in result:
            raise RuntimeError(result["error"])
        return result

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def main() -> None:
    turn = None
    for line in sys.stdin:
        name, path, dtype = json.loads(line)
        try:
            turn = turn or Turn(importlib.import_module(name), np.fromfile(path, np.uint8), dtype)
            result = turn.take()
        except Exception as error:  # told to who asked, who has the name of the data
            result = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
