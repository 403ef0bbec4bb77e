"""What a second thread gains: the codec at its defaults, in memory, on MiniLM and the training state of a GPT, as fp32.

One and two threads take turns on the same bytes; best of the rounds, every result compared. Speeds are in GB/s of raw
data; "decompress" returns new memory, "warm" fills memory that was used before, as a load into existing tensors does.
Two cores that are two hyperthreads of one gain less than two of their own.
"""

import argparse
import os

import torch

from benchmarks import measure
from benchmarks.codec import data, mithril_default
from benchmarks.codec.turn import Turns

THREADS = (1, 2)
GPT = {"width": 512, "layers": 6, "heads": 8}  # weights and moments are 230 MB, MiniLM 91 MB


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks threads", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args(arguments).rounds
    raw = data.joined([*data.minilm_tensors(), *data.trained_gpt(**GPT)]).view(torch.uint8).numpy()
    turns = Turns(mithril_default, raw, "float32")
    best: dict[int, dict[str, float]] = {n: {} for n in THREADS}
    for _ in range(rounds):
        for n in THREADS:
            os.environ["MITHRIL_NUM_THREADS"] = str(n)  # read at each call
            best[n] = {key: min(value, best[n].get(key, value)) for key, value in turns.take().items()}
    one, two = (best[n] for n in THREADS)
    rows = {
        key: {"one": round(len(raw) / one[key] / 1e9, 3), "two": round(len(raw) / two[key] / 1e9, 3)}
        | {"two_of_one": round(one[key] / two[key], 3)}
        for key in ("compress", "decompress", "decompress_warm")
    }
    for key, row in rows.items():
        print(key, row)
    size = {"bytes": len(raw), "size": one["size"], "ratio": round(len(raw) / one["size"], 4)}
    print(measure.write("threads", {**size, "rounds": rounds, "unit": "GB/s", "rows": rows}))
