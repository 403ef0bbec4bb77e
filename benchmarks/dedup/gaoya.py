"""Its string index, which cuts words itself and checks the signatures of what it finds; first come, first kept."""

from functools import partial
from typing import Any

import numpy as np

from benchmarks.dedup.contender import BANDS, NGRAM, ROWS, THRESHOLD, Clock, Found, drop_matched

NAME, PACKAGE, TAKES, REQUIREMENTS = "gaoya", "gaoya", "list", "requirements.txt"

_BATCH = 10_000


def prepare():
    from gaoya.minhash import MinHashStringIndex

    grams = (NGRAM, NGRAM)
    return partial(run, MinHashStringIndex(32, THRESHOLD, BANDS, ROWS, None, "word", True, grams, "smallvec"))


def run(index: Any, texts: list[str], clock: Clock) -> Found:
    starts = range(0, len(texts), _BATCH)
    for start in starts:
        batch = texts[start : start + _BATCH]
        index.par_bulk_insert_docs(list(range(start, start + len(batch))), batch)
    clock.lap("insert")
    kept = np.ones(len(texts), bool)
    for start in starts:
        drop_matched(kept, start, index.par_bulk_query(texts[start : start + _BATCH]))
    clock.lap("query")
    return Found(kept)
