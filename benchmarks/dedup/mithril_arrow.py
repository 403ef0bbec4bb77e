"""An Arrow column to what is kept, which document explains each removed one, and their exact similarity."""

from functools import partial
from typing import Any

import numpy as np

from benchmarks.dedup.contender import NGRAM, PERMUTATIONS, THRESHOLD, Clock, Found

NAME, PACKAGE, TAKES, WORDS = "mithril, Arrow", "mithril", "arrow", "mithril"


def prepare(threads: int = 1):
    from mithril.dedup import DedupConfig, Deduplicator

    config = DedupConfig(threshold=THRESHOLD, num_permutations=PERMUTATIONS, ngram_size=NGRAM, num_threads=threads)
    return partial(run, Deduplicator(config))


def run(deduplicator: Any, texts: Any, clock: Clock) -> Found:
    result = deduplicator.deduplicate(texts)
    clock.lap("deduplicate")
    kept = np.zeros(len(texts), bool)
    kept[result.keep_indices] = True
    by, similarity = np.full(len(texts), -1, np.int64), np.zeros(len(texts))
    by[result.remove_indices] = result.removed_by
    similarity[result.remove_indices] = result.similarities
    clock.lap("set-up")
    return Found(kept, by, similarity)
