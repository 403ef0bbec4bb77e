from functools import partial

from benchmarks.dedup.mithril_arrow import PACKAGE, TAKES, WORDS
from benchmarks.dedup.mithril_arrow import prepare as prepare_threads

__all__ = ["PACKAGE", "TAKES", "WORDS", "prepare"]
NAME, CORES = "mithril, 2 threads", 2
prepare = partial(prepare_threads, threads=2)
