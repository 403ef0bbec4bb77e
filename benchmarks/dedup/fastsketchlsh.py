"""Its sketches by batches, its index, first come, first kept. Nothing is verified."""

from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks.dedup.contender import BANDS, PERMUTATIONS, SEED, Clock, Found, batches, drop_matched

NAME, PACKAGE, TAKES, REQUIREMENTS = "FastSketchLSH", "fastsketchlsh", "list", "requirements.txt"

_QUERIES = 10_000  # at a time


def prepare():
    from FastSketchLSH import LSH, FastSimilaritySketch

    sketcher = FastSimilaritySketch(size=PERMUTATIONS, seed=SEED)
    return partial(run, sketcher, LSH(num_perm=PERMUTATIONS, num_bands=BANDS, num_threads=1))


def run(sketcher: Any, index: Any, texts: list[str], clock: Clock) -> Found:
    rows = []
    for _, made in batches(texts, clock):
        rows.append(sketcher.batch(made, num_threads=1))
        clock.lap("sketch")
    sketches = np.concatenate(rows)
    del rows
    index.insert(sketches)
    kept = np.ones(len(texts), bool)
    for start in range(0, len(texts), _QUERIES):
        flat, ends = map(np.asarray, index.query(sketches[start : start + _QUERIES], format="csr"))
        drop_matched(kept, start, (flat[a:b] for a, b in pairwise(ends)))
    clock.lap("index")
    return Found(kept)
