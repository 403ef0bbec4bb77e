"""What a contender did, judged by the oracle of the corpus: recall of planted pairs, precision, evidence."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.dedup.contender import NGRAM, THRESHOLD, Found
from benchmarks.dedup.judge import Oracle
from tests.reference import dedup as reference

BUCKETS = (0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1)  # each from here to the next; the last is of equal sets
LENIENT = 0.8

Truth = Sequence[dict[str, Any]]


def first(oracle: Oracle, truth: Truth, count: int) -> tuple[Oracle, Truth]:
    """The same of the first `count` documents alone."""
    inside = np.array([row["a"] < count and row["b"] < count for row in truth], bool)
    groups = oracle.groups[:count]  # a first document of a group stands before the others
    pairs = (oracle.pairs < count).all(1)
    part = Oracle(groups, oracle.pairs[pairs], oracle.jaccards[pairs], oracle.planted[inside])
    return part, [row for row, within in zip(truth, inside, strict=True) if within]


def score(kept: npt.NDArray[np.bool_], oracle: Oracle, truth: Truth) -> dict[str, Any]:
    """Counts; recall of planted pairs, in all and by similarity and kind; recall of all pairs; precision.

    A planted pair is found when not both documents were kept. Only pairs count whose documents have no other near
    duplicate, which could have explained a removal. A removal is right when a kept document reaches the threshold
    (`precision`), or at least 0.8 (`precision_lenient`); `precision_any`: kept or not.
    """
    found = {"kept": int(kept.sum()), "removed": int((~kept).sum())}
    return found | recall(kept, oracle, truth) | precision(kept, oracle)


def recall(kept: npt.NDArray[np.bool_], oracle: Oracle, truth: Truth) -> dict[str, Any]:
    a, b = (np.array([row[key] for row in truth], np.int64) for key in "ab")
    near = neighbours(oracle)
    expected = (oracle.planted >= LENIENT).astype(np.int64)
    alone = (np.bincount(a, minlength=len(kept))[a] == 1) & (near[a] == expected) & (near[b] == expected)
    gone = ~(kept[a] & kept[b])
    shares: dict[str, list[float]] = {}
    for low, high in zip(BUCKETS, [*BUCKETS[1:], 2], strict=True):
        inside = alone & (oracle.planted >= low) & (oracle.planted < high)
        if inside.any():
            shares[f"{low:g}"] = [round(float(gone[inside].mean()), 5), int(inside.sum())]
    wanted = alone & (oracle.planted >= THRESHOLD)
    equal = {}
    for kind in ("exact", "form"):
        inside = alone & np.array([row["kind"] == kind for row in truth], bool) & (oracle.planted == 1)
        equal[f"recall_{kind}"] = share(gone[inside])
    x, y = oracle.pairs[oracle.jaccards >= THRESHOLD].T
    members = np.flatnonzero(oracle.groups != np.arange(len(kept)))
    x, y = np.concatenate([x, oracle.groups[members]]), np.concatenate([y, members])
    return {
        "planted_pairs": int(wanted.sum()),
        "recall": share(gone[wanted]),
        "recall_by_jaccard": shares,
        **equal,
        "recall_all_pairs": share(~(kept[x] & kept[y])),
    }


def precision(kept: npt.NDArray[np.bool_], oracle: Oracle) -> dict[str, Any]:
    gone = ~kept
    return {
        "precision": share(explained(kept, oracle, THRESHOLD)[gone]),
        "precision_lenient": share(explained(kept, oracle, LENIENT)[gone]),
        "precision_any": share((neighbours(oracle) > 0)[gone]),
    }


def explained(kept: npt.NDArray[np.bool_], oracle: Oracle, least: float) -> npt.NDArray[np.bool_]:
    """Of each document whether a kept one of its group, or of a group that is near enough, exists."""
    has_kept = np.zeros(len(kept), bool)  # by first document of the group
    has_kept[oracle.groups[kept]] = True
    near = has_kept.copy()
    x, y = oracle.pairs[oracle.jaccards >= least].T
    np.logical_or.at(near, x, has_kept[y])
    np.logical_or.at(near, y, has_kept[x])
    return near[oracle.groups]


def neighbours(oracle: Oracle) -> npt.NDArray[np.int64]:
    """Of each document how many others are at least as near as the oracle looked."""
    members = np.bincount(oracle.groups, minlength=len(oracle.groups))
    near = members - 1
    x, y = oracle.pairs.T
    np.add.at(near, x, members[y])
    np.add.at(near, y, members[x])
    return near[oracle.groups]


def evidence(found: Found, texts: Sequence[str]) -> dict[str, Any]:
    """The documents named as explanations, looked at by the reference in Python.

    A removal is right when the document named is kept and its similarity, worked out anew, reaches the threshold.
    `worst_difference`: of the similarity that was reported.
    """
    if found.by is None or found.similarity is None:
        return {}
    sets: dict[int, set[tuple[str, ...]]] = {}

    def shingles(i: int) -> set[tuple[str, ...]]:
        if i not in sets:
            sets[i] = reference.shingles(texts[i], NGRAM)
        return sets[i]

    right, worst = [], 0.0
    gone = np.flatnonzero(~found.kept)
    for i in gone[np.argsort(found.by[gone], kind="stable")].tolist():
        by = int(found.by[i])
        if by not in sets:  # documents come by the one that explains them
            sets.clear()
        jaccard = reference.jaccard(shingles(i), shingles(by)) if texts[i] != texts[by] else 1.0
        right.append(bool(found.kept[by]) and jaccard >= THRESHOLD)
        worst = max(worst, abs(jaccard - float(found.similarity[i])))
    return {"evidence": share(np.array(right, bool)), "worst_difference": worst}


def share(hits: npt.NDArray[np.bool_]) -> float | None:
    return round(float(hits.mean()), 6) if len(hits) else None
