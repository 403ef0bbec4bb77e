"""The benchmark of near-duplicate removal must be able to tell right from wrong: its corpus, its judge, its scores."""

import json
import random
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from tests.reference import dedup as reference

pytest.importorskip("pyarrow")

from benchmarks.dedup import corpus, documents, score, table
from benchmarks.dedup.contender import grams
from benchmarks.dedup.judge import WORDS, Judge, Oracle, oracle
from benchmarks.measure import ROOT

COUNT = 600


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small corpus of the repository's own texts."""
    folder = tmp_path_factory.mktemp("corpora") / "small"
    corpus.make(folder, corpus.Recipe(COUNT, documents.SHORT), {ROOT / "docs": 2.0, ROOT / "csrc": 2.0})
    return folder


def test_equal_sources_give_equal_corpora(made: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    corpus.make(again, corpus.Recipe(COUNT, documents.SHORT), {ROOT / "docs": 2.0, ROOT / "csrc": 2.0})
    for name in ("corpus.arrow", "corpus.jsonl", "truth.jsonl"):
        assert (again / name).read_bytes() == (made / name).read_bytes()


def test_truth_is_the_similarity_of_the_planted_pairs(made: Path) -> None:
    texts, truth = corpus.load(made).to_pylist(), corpus.truth(made)
    assert len(truth) == COUNT * corpus.COPIES
    for row in truth:
        a, b = set(grams(texts[row["a"]])), set(grams(texts[row["b"]]))
        assert row["jaccard"] == len(a & b) / len(a | b)
    near = [row for row in truth if abs(row["jaccard"] - row["target"]) < 0.1]
    assert len(near) > len(truth) * 0.7


@pytest.mark.parametrize("words", WORDS)
def test_judge_finds_what_comparing_all_pairs_finds(made: Path, words: str) -> None:
    texts = [*corpus.load(made).to_pylist(), "...", "?!", "...", "one two", "one two", "two one"]
    cut = [list(WORDS[words](text)) or [text] for text in texts]
    sets = [{tuple(found[i : i + 5]) for i in range(max(1, len(found) - 4))} for found in cut]
    equal = [next(j for j, other in enumerate(sets) if other == own) for own in sets]
    firsts = sorted(set(equal))
    expected = {(a, b): j for a, b in combinations(firsts, 2) if (j := reference.jaccard(sets[a], sets[b])) >= 0.5}
    judge = Judge(texts, WORDS[words])
    pairs, jaccards = judge.pairs(least=500)
    assert judge.groups().tolist() == equal
    assert dict(zip(map(tuple, pairs.tolist()), jaccards.tolist(), strict=True)) == expected
    some = np.array(random.Random(1).choices(list(combinations(range(len(texts)), 2)), k=500), np.int32)
    assert judge.jaccards(some).tolist() == [reference.jaccard(sets[a], sets[b]) for a, b in some.tolist()]
    judge.close()


def test_perfect_and_careless_results_are_scored_so(made: Path) -> None:
    known, truth = oracle(made, "common"), corpus.truth(made)
    sets = [set(grams(text)) for text in corpus.load(made).to_pylist()]
    removed_by = reference.keep_first(sets, 0.85)
    perfect = np.array([by is None for by in removed_by])
    scored = score.score(perfect, known, truth)
    assert scored["planted_pairs"] > 5
    assert (scored["recall"], scored["precision"], scored["recall_all_pairs"]) == (1, 1, 1)
    # All copies of a group dropped: nothing is kept that explains them.
    flags = perfect.copy()
    flags[[by for by in removed_by if by is not None]] = False
    careless = score.score(flags, known, truth)
    assert careless["recall"] == 1
    assert careless["precision"] < 0.5
    assert careless["precision_any"] == 1
    assert score.score(np.ones(COUNT, bool), known, truth)["recall"] == 0


def test_pairs_that_something_else_explains_do_not_count() -> None:
    # 0 and 1 are a planted pair by themselves; 2 and 3 another, but 4 is near to 3 too.
    known = Oracle(
        groups=np.arange(5, dtype=np.int32),
        pairs=np.array([[0, 1], [2, 3], [3, 4]], np.int32),
        jaccards=np.array([0.9, 0.9, 0.82]),
        planted=np.array([0.9, 0.9]),
    )
    truth = [{"a": 0, "b": 1, "kind": "insert"}, {"a": 2, "b": 3, "kind": "insert"}]
    scored = score.score(np.array([True, False, True, True, False]), known, truth)
    assert (scored["planted_pairs"], scored["recall"]) == (1, 1)
    assert (scored["precision"], scored["precision_lenient"]) == (0.5, 1)
    assert scored["recall_all_pairs"] == 0.5


def test_false_evidence_is_noticed(made: Path) -> None:
    texts = corpus.load(made).to_pylist()
    kept = np.ones(COUNT, bool)
    exact = next(row for row in corpus.truth(made) if row["kind"] == "exact")
    first, second = sorted((exact["a"], exact["b"]))
    kept[second] = False
    by, similarity = np.full(COUNT, -1), np.zeros(COUNT)
    by[second], similarity[second] = first, 1
    assert score.evidence(score.Found(kept, by, similarity), texts) == {"evidence": 1, "worst_difference": 0}
    other = next(i for i in range(COUNT) if i != second and reference.jaccard(*map(shingled(texts), (i, second))) == 0)
    by[second] = other
    assert score.evidence(score.Found(kept, by, similarity), texts) == {"evidence": 0, "worst_difference": 1}


def shingled(texts: list[str]):
    return lambda i: reference.shingles(texts[i])


def test_a_turn_runs_in_a_process_of_its_own(made: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.dedup.turn", "benchmarks.dedup.exact_set", made, "100"]
    done = subprocess.run([*command, tmp_path / "found.npz"], cwd=ROOT, capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    texts = corpus.load(made, 100).to_pylist()
    with np.load(tmp_path / "found.npz") as found:
        assert found["kept"].tolist() == [text not in texts[:i] for i, text in enumerate(texts)]
    assert report["memory"] < 10_000_000
    assert 0 < report["cpu_seconds"] < 10


def test_table_shows_failures_and_figures() -> None:
    judged = {"recall": 0.99951, "precision": 1.0, "kept": 90123, "recall_by_jaccard": {"0.85": [0.99, 250]}}
    row = {"corpus": "c", "contender": "x", "version": "1", "docs_per_second": 160512, "mb_per_second": 334.1}
    row |= {"docs_per_second_tokens_free": 1, "docs_per_wall_second": 1, "memory_per_document": 300, "judged": judged}
    shown = table.of_corpus([row, {"corpus": "c", "contender": "y", "error": "too slow"}], "c")
    assert "| x 1 | 161 000 | 334 | 1 | 1 | 300 B | 0.9995 | 0.990 |  | 1.000 |  |  | 90 100 |" in shown
    assert "| y | too slow |" in shown


def test_table_of_our_own_goes_by_the_clock_on_two_cores() -> None:
    shared = {"corpus": "c", "docs_per_second": 160512, "mb_per_second": 334.1}
    one = {"contender": "mithril, Arrow", "cores": 1, "docs_per_wall_second": 150000, "mb_per_wall_second": 300}
    two = {"contender": "mithril, 2 threads", "cores": 2, "docs_per_wall_second": 285000, "mb_per_wall_second": 600}
    rows = [shared | one, shared | two, shared | one | {"contender": "rensa"}]
    shown = table.own(rows).splitlines()[2:]
    assert shown == ["| mithril, Arrow | 161 000, 334 MB |", "| mithril, 2 threads | 285 000, 600 MB |"]
    assert table.threads(rows) == {"c": 1.9}
