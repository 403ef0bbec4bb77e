"""Sketches alone, from an Arrow column."""

from functools import partial
from typing import Any

from benchmarks.dedup.contender import Clock

NAME, PACKAGE, TAKES = "mithril, sketch only", "mithril", "arrow"


def prepare():
    from mithril.dedup import DedupConfig, Sketcher

    return partial(run, Sketcher(DedupConfig(num_threads=1)))


def run(sketcher: Any, texts: Any, clock: Clock) -> None:
    sketcher.sketch(texts)
    clock.lap("sketch")
