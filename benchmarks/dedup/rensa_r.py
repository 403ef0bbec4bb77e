"""Its deduplicator: full R-MinHash, bands, and a check of the signatures."""

from functools import partial
from typing import Any

import numpy as np

from benchmarks.dedup.contender import BANDS, PERMUTATIONS, SEED, THRESHOLD, Clock, Found, batches

NAME, PACKAGE, TAKES, REQUIREMENTS = "rensa R-MinHash", "rensa", "list", "requirements.txt"


def prepare():
    from rensa import RMinHashDeduplicator

    return partial(run, RMinHashDeduplicator(THRESHOLD, PERMUTATIONS, use_lsh=True, num_bands=BANDS, seed=SEED))


def run(deduplicator: Any, texts: list[str], clock: Clock) -> Found:
    kept: list[bool] = []
    for start, made in batches(texts, clock):
        kept += deduplicator.add_pairs([(str(i), tokens) for i, tokens in enumerate(made, start)])
        clock.lap("deduplicate")
    return Found(np.array(kept, bool))
