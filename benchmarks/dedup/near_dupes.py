"""Its finder: character trigrams, exact check, groups by chains."""

from functools import partial
from typing import Any

import numpy as np

from benchmarks.dedup.contender import THRESHOLD, Clock, Found

NAME, PACKAGE, TAKES, REQUIREMENTS = "near-dupes", "near-dupes", "list", "requirements.txt"
LARGE = False


def prepare():
    from near_dupes import DuplicateFinder

    return partial(run, DuplicateFinder(kind="text", threshold=THRESHOLD))


def run(finder: Any, texts: list[str], clock: Clock) -> Found:
    kept = np.zeros(len(texts), bool)
    kept[list(finder.find(texts).keep_indices)] = True
    return Found(kept)
