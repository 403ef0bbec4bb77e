"""Equal texts only: a Python set."""

import numpy as np

from benchmarks.dedup.contender import Clock, Found

NAME, PACKAGE, TAKES = "Python set (equal texts only)", "python", "list"


def prepare():
    return run


def run(texts: list[str], clock: Clock) -> Found:
    seen: set[str] = set()
    kept = np.ones(len(texts), bool)
    for i, text in enumerate(texts):
        count = len(seen)
        seen.add(text)
        kept[i] = len(seen) > count
    return Found(kept)
