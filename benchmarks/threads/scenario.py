"""What a second thread gains: the codec at its defaults, in memory, on MiniLM and the training state of a GPT, as fp32.

One and two threads take turns on the same bytes; best of the rounds, every result compared. Speeds are in GB/s of raw
data; "compress" and "decompress" return new memory, "warm" fills memory that was used before, as a load into existing
tensors does. "memcpy" copies the raw data into used memory, a half to a thread: what the memory of the machine leaves
to gain. Two cores that are two hyperthreads of one gain less than two of their own.
"""

import argparse
import itertools
import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from benchmarks import measure
from benchmarks.codec import data, mithril_default
from benchmarks.codec.turn import Turn

THREADS = (1, 2)
GPT = {"width": 512, "layers": 6, "heads": 8}  # weights and moments are 230 MB, MiniLM 91 MB


def copy_seconds(data: np.ndarray, out: np.ndarray, threads: int) -> float:
    cuts = np.linspace(0, len(data), threads + 1).astype(int)
    parts = [slice(*ends) for ends in itertools.pairwise(cuts)]
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda _: time.sleep(0.01), range(threads)))  # so that all threads are there
        start = time.perf_counter()
        list(pool.map(lambda part: np.copyto(out[part], data[part]), parts))
        return time.perf_counter() - start


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks threads", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args(arguments).rounds
    raw = data.joined([*data.minilm_tensors(), *data.trained_gpt(**GPT)]).view(torch.uint8).numpy()
    turn = Turn(mithril_default, raw, "float32")
    best: dict[int, dict[str, float]] = {n: {} for n in THREADS}
    copied = np.zeros_like(raw)
    for _ in range(rounds):
        for n in THREADS:
            os.environ["MITHRIL_NUM_THREADS"] = str(n)  # read at each call
            taken = {**turn.take(), "memcpy": copy_seconds(raw, copied, n)}
            best[n] = {key: min(value, best[n].get(key, value)) for key, value in taken.items()}
    one, two = (best[n] for n in THREADS)
    rows = {
        key: {"one": round(len(raw) / one[key] / 1e9, 3), "two": round(len(raw) / two[key] / 1e9, 3)}
        | {"two_of_one": round(one[key] / two[key], 3)}
        for key in ("compress", "compress_warm", "decompress", "decompress_warm", "memcpy")
    }
    for key, row in rows.items():
        print(key, row)
    size = {"bytes": len(raw), "size": one["size"], "ratio": round(len(raw) / one["size"], 4)}
    print(measure.write("threads", {**size, "rounds": rounds, "unit": "GB/s", "rows": rows}))
