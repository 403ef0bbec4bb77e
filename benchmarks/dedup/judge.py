"""The exact judge: makes numbers of words, compiles judge.cpp and asks it, keeps what it found with the corpus."""

import ctypes
import hashlib
import os
import subprocess
from array import array
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks import measure
from benchmarks.dedup import corpus
from benchmarks.dedup.contender import NGRAM, WORD
from tests.reference import dedup as reference

LEAST = 800  # thousandths: pairs below are of no interest

WORDS: dict[str, Callable[[str], Iterable[str]]] = {
    "common": lambda text: WORD.findall(text.lower()),
    "mithril": reference.words,
}


class Oracle(NamedTuple):
    """What is true of a corpus under one reading of words."""

    groups: npt.NDArray[np.int32]  # of each document the first one with the same n-grams
    pairs: npt.NDArray[np.int32]  # of first documents of groups, similarity at least LEAST
    jaccards: npt.NDArray[np.float64]  # of these pairs
    planted: npt.NDArray[np.float64]  # similarity of the planted pairs, in their order


class Judge:
    """Exact similarities of a list of texts."""

    def __init__(self, texts: Iterable[str], words: Callable[[str], Iterable[str]], ngram: int = NGRAM) -> None:
        numbers: dict[str, int] = {}
        flat, offsets = array("i"), array("q", [0])
        for text in texts:
            # A text without words is like nothing but a copy of itself.
            found = list(words(text)) or [f"\n{text}"]
            flat.extend([numbers.setdefault(word, len(numbers)) for word in found])
            offsets.append(len(flat))
        self.count = len(offsets) - 1
        self._library = library()
        data, bounds = np.frombuffer(flat, np.int32), np.frombuffer(offsets, np.int64)
        self._judge = self._library.judge_new(data, bounds, self.count, ngram)

    def close(self) -> None:
        self._library.judge_delete(self._judge)

    def groups(self) -> npt.NDArray[np.int32]:
        groups = np.empty(self.count, np.int32)
        self._library.judge_groups(self._judge, groups)
        return groups

    def pairs(self, least: int = LEAST) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
        """All pairs of first documents of groups whose similarity is at least so many thousandths."""
        count = self._library.judge_join(self._judge, least)
        pairs, jaccards = np.empty((count, 2), np.int32), np.empty(count)
        self._library.judge_pairs(self._judge, pairs, jaccards)
        return pairs, jaccards

    def jaccards(self, pairs: npt.NDArray[np.int32]) -> npt.NDArray[np.float64]:
        jaccards = np.empty(len(pairs))
        self._library.judge_jaccards(self._judge, np.ascontiguousarray(pairs, np.int32), len(pairs), jaccards)
        return jaccards


def oracle(folder: Path, words: str) -> Oracle:
    """Of a corpus; worked out once, then read from its folder."""
    path = folder / f"oracle-{words}.npz"
    if not path.exists():
        print(f"judging {folder.name} by the words of {words}", flush=True)
        judge = Judge(corpus.load(folder).to_pylist(), WORDS[words])
        planted = np.array([[row["a"], row["b"]] for row in corpus.truth(folder)], np.int32).reshape(-1, 2)
        pairs, jaccards = judge.pairs()
        found = Oracle(judge.groups(), pairs, jaccards, judge.jaccards(planted))
        judge.close()
        part = path.with_suffix(".part.npz")
        np.savez(part, **found._asdict())
        part.rename(path)
    with np.load(path) as stored:
        return Oracle(*(stored[field] for field in Oracle._fields))


@cache
def library() -> ctypes.CDLL:
    """judge.cpp as a library, compiled when it changed."""
    source = Path(__file__).with_name("judge.cpp")
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    path = measure.ROOT / "build" / "dedup" / f"judge-{digest}.so"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.so")
        compiler = os.environ.get("CXX", "c++")
        subprocess.run([compiler, "-std=c++17", "-O3", "-shared", "-fPIC", source, "-o", part], check=True)
        part.rename(path)
    loaded = ctypes.CDLL(str(path))
    ints, longs = (np.ctypeslib.ndpointer(kind, flags="C") for kind in (np.int32, np.int64))
    doubles, pointer, long = np.ctypeslib.ndpointer(np.float64, flags="C"), ctypes.c_void_p, ctypes.c_int64
    for name, result, *arguments in (
        ("new", pointer, ints, longs, long, ctypes.c_int),
        ("delete", None, pointer),
        ("groups", None, pointer, ints),
        ("join", long, pointer, long),
        ("pairs", None, pointer, ints, doubles),
        ("jaccards", None, pointer, ints, long, doubles),
    ):
        function = getattr(loaded, f"judge_{name}")
        function.restype, function.argtypes = result, arguments
    return loaded
