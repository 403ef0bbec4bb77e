"""Bulk MinHash on xxHash, its index: a document that finds nothing is kept and inserted. Nothing is verified."""

from functools import partial
from typing import Any

import numpy as np

from benchmarks.dedup.contender import BANDS, PERMUTATIONS, ROWS, SEED, Clock, Found, batches

NAME, PACKAGE, TAKES, REQUIREMENTS = "datasketch", "datasketch", "list", "requirements.txt"


def prepare():
    import xxhash
    from datasketch import MinHash, MinHashLSH

    def hashed(token: bytes) -> int:
        return int(xxhash.xxh3_64_intdigest(token)) & 0xFFFFFFFF

    sketches = partial(MinHash.generator, num_perm=PERMUTATIONS, seed=SEED, hashfunc=hashed)
    return partial(run, sketches, MinHashLSH(num_perm=PERMUTATIONS, params=(BANDS, ROWS)))


def run(sketches: Any, index: Any, texts: list[str], clock: Clock) -> Found:
    kept = np.ones(len(texts), bool)
    for start, made in batches(texts, clock):
        batch = list(sketches([[token.encode() for token in tokens] for tokens in made]))
        clock.lap("sketch")
        for i, sketch in enumerate(batch, start):
            if index.query(sketch):
                kept[i] = False
            else:
                index.insert(i, sketch, check_duplication=False)
        clock.lap("index")
    return Found(kept)
