"""What the benchmark in its README runs: one matrix of all texts, of some evenly spaced n-grams of each, and flags.

The flags mark every document of a group, the first too: who drops what is flagged loses all copies. The n-grams of all
texts lie in memory at once.
"""

from functools import partial
from typing import Any

import numpy as np

from benchmarks.dedup.contender import BANDS, PERMUTATIONS, SEED, THRESHOLD, Clock, Found, batches

NAME, PACKAGE, TAKES, REQUIREMENTS = "rensa rho, flags", "rensa", "list", "requirements.txt"
LARGE = False


def prepare():
    from rensa import RMinHash, RMinHashLSH

    return partial(run, RMinHash.digest_matrix_from_token_sets_rho, RMinHashLSH(THRESHOLD, PERMUTATIONS, BANDS))


def run(sketch: Any, index: Any, texts: list[str], clock: Clock) -> Found:
    made = [tokens for _, batch in batches(texts, clock) for tokens in batch]
    digests = sketch(made, PERMUTATIONS, SEED)
    clock.lap("sketch")
    flags = index.query_duplicate_flags_matrix_one_shot(digests)
    clock.lap("index")
    return Found(~np.array(flags, bool))
