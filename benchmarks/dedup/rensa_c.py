"""Its deduplicator on C-MinHash, whose bands cannot be set."""

from functools import partial

from benchmarks.dedup.contender import PERMUTATIONS, SEED, THRESHOLD
from benchmarks.dedup.rensa_r import PACKAGE, REQUIREMENTS, TAKES, run

__all__ = ["PACKAGE", "REQUIREMENTS", "TAKES", "prepare"]
NAME = "rensa C-MinHash"


def prepare():
    from rensa import CMinHashDeduplicator

    return partial(run, CMinHashDeduplicator(THRESHOLD, PERMUTATIONS, seed=SEED))
