"""What every contender is given, and what it gives back.

A contender is a module of this folder with
  NAME, PACKAGE    as printed; the distribution whose version is noted
  TAKES            "list" (of str), "arrow" (a string array) or "jsonl" (the path of a file of {"id", "text"})
  prepare()        imports what it needs and returns the function to measure: (texts, clock) -> Found, or None where
                   there is nothing to judge (a sketch)
and, where it needs them,
  REQUIREMENTS     the file that lists the packages of its own environment; else it runs in that of mithril
  ENVIRONMENT      variables of its process
  CORES            how many it may use (1)
  WORDS            by whose reading of words it is judged: "common" (WORD below) or "mithril" (tests/reference)
  LARGE            False: too slow or too large for the large corpora
  MEGABYTES        takes at most so much text of a corpus, from its beginning
"""

import re
import resource
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

# The same task for all, as far as they let us choose.
THRESHOLD, NGRAM, PERMUTATIONS, BANDS, ROWS, SEED = 0.85, 5, 128, 16, 8, 42
WORD = re.compile(r"\w+")

_BATCH = 1000  # texts whose n-grams lie in memory at a time


class Found(NamedTuple):
    kept: npt.NDArray[np.bool_]
    by: npt.NDArray[np.int64] | None = None  # of each document the kept one that explains it; -1 where kept
    similarity: npt.NDArray[np.float64] | None = None


class Clock:
    """Seconds by phase: CPU time of this process and of its children that ended, and wall time.

    A machine that does other things too disturbs CPU time little, so rates are by that.
    """

    def __init__(self) -> None:
        self.cpu: dict[str, float] = defaultdict(float)
        self.wall: dict[str, float] = defaultdict(float)
        self._at = self._now()

    @staticmethod
    def _now() -> tuple[float, float]:
        usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(u.ru_utime + u.ru_stime for u in usage), time.perf_counter()

    def lap(self, phase: str) -> None:
        now = self._now()
        self.cpu[phase] += now[0] - self._at[0]
        self.wall[phase] += now[1] - self._at[1]
        self._at = now


def grams(text: str) -> list[str]:
    """Word n-grams, joined by spaces; all words as one where they are fewer."""
    words = WORD.findall(text.lower())
    return [" ".join(words[i : i + NGRAM]) for i in range(max(1, len(words) - NGRAM + 1))]


def batches(texts: Sequence[str], clock: Clock) -> Iterator[tuple[int, list[list[str]]]]:
    """For contenders that take tokens: the n-grams of some texts at a time, and the number of the first."""
    for start in range(0, len(texts), _BATCH):
        made = [grams(text) for text in texts[start : start + _BATCH]]
        clock.lap("tokenize")
        yield start, made


def drop_matched(kept: npt.NDArray[np.bool_], start: int, matches: Iterator[Sequence[int]]) -> None:
    """First come, first kept: a document goes when one of its matches came before it."""
    for i, found in enumerate(matches, start):
        if len(found) and min(found) < i:
            kept[i] = False
