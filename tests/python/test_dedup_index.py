"""The index: against the deduplicator on all texts at once, over saves, merges, processes and threads."""

import json
import os
import threading

import numpy as np
import pytest

from mithril import CorruptError, InvalidArgumentError
from mithril.dedup import DedupConfig, Deduplicator, Index, Sketcher
from tests.python.dedup_texts import made_texts
from tests.reference.dedup import jaccard, shingles

CONFIG = DedupConfig(threshold=0.8)


def assert_same(index_results, texts, config=CONFIG) -> None:
    """Results of pieces, one after the other, say what one run says."""
    whole = Deduplicator(config).deduplicate(texts)
    sizes = [len(r.keep_indices) + len(r.remove_indices) for r in index_results]
    firsts = np.cumsum([0, *sizes[:-1]])
    keep = np.concatenate([r.keep_indices + first for r, first in zip(index_results, firsts, strict=True)])
    remove = np.concatenate([r.remove_indices + first for r, first in zip(index_results, firsts, strict=True)])
    assert keep.tolist() == whole.keep_indices.tolist()
    assert remove.tolist() == whole.remove_indices.tolist()
    assert np.concatenate([r.removed_by for r in index_results]).tolist() == whole.removed_by.tolist()
    assert np.concatenate([r.similarities for r in index_results]).tolist() == whole.similarities.tolist()


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("ends", [[600], [1, 2, 600], [200, 200, 350, 600]], ids=["at once", "small first", "pieces"])
def test_pieces_give_what_one_run_gives(ends, threads) -> None:
    texts = made_texts(600, 2)
    index = Index(DedupConfig(threshold=0.8, num_threads=threads))
    results = [index.deduplicate(texts[a:b]) for a, b in zip([0, *ends[:-1]], ends, strict=True)]
    assert_same(results, texts)
    assert len(index) == sum(len(r.keep_indices) for r in results) < 500
    assert (index.seen, index.left_out) == (600, 0)


@pytest.mark.parametrize("opened", ["open", "load"])
def test_saved_between_pieces(opened, tmp_path) -> None:
    texts = made_texts(400, 3)
    path = tmp_path / "index"
    results = []
    Index(CONFIG).save(path)
    for first in range(0, 400, 100):
        index = getattr(Index, opened)(path)
        assert index.config.threshold == 0.8
        results.append(index.deduplicate(texts[first : first + 100]))
        index.save(path)
    assert_same(results, texts)
    index = Index.open(path)
    index.check()
    assert index.remove_known(texts).keep_indices.size == 0
    assert os.listdir(tmp_path) == ["index"]


def test_another_process_reads_it(tmp_path, run_python) -> None:
    texts = made_texts(120, 4)
    index = Index(CONFIG)
    index.add(texts[:60], ids=[f"doc {i}" for i in range(60)])
    index.save(tmp_path / "index")
    program = """
import json, sys
from mithril.dedup import Index
matches = Index.open(sys.argv[1]).query(json.load(open(sys.argv[2])))
print(json.dumps([matches.positions.tolist(), matches.ids.tolist(), matches.similarities.tolist()]))
"""
    (tmp_path / "texts").write_text(json.dumps(texts))
    matches = index.query(texts)
    assert json.loads(run_python(program, tmp_path / "index", tmp_path / "texts")) == [
        matches.positions.tolist(),
        matches.ids.tolist(),
        matches.similarities.tolist(),
    ]


def test_query_finds_what_all_pairs_find() -> None:
    texts, asked = made_texts(150, 5), made_texts(150, 5)[:50] + made_texts(20, 6)
    index = Index(CONFIG)
    assert index.add(texts[:70]) == 70
    assert index.add([*texts[70:], ""]) == 80
    matches = index.query(asked)
    found = set(zip(matches.positions.tolist(), matches.ids.tolist(), strict=True))
    sets, asked_sets = [shingles(text) for text in texts], [shingles(text) for text in asked]
    expected = {
        (i, k): similarity
        for i, mine in enumerate(asked_sets)
        for k, other in enumerate(sets)
        if (similarity := jaccard(mine, other)) >= 0.8
    }
    assert found <= expected.keys()
    assert len(found) >= 0.98 * len(expected)
    for i, k, similarity in zip(matches.positions, matches.ids, matches.similarities, strict=True):
        assert similarity == pytest.approx(expected[i, k])


def test_remove_known() -> None:
    texts = made_texts(90, 7)
    index = Index(CONFIG)
    index.add(texts[:30])
    result = index.remove_known(texts)
    assert set(range(30)) <= set(result.remove_indices.tolist())
    assert result.removed_by.dtype == np.int64
    assert result.stats.duplicate_count == len(result.remove_indices)
    assert len(index) == 30
    again = index.remove_known([texts[89]] * 2)
    assert len(again.keep_indices) in (0, 2), "texts are not compared with one another"


@pytest.mark.parametrize("empty", ["keep", "remove"])
def test_empty_texts(empty) -> None:
    index = Index(DedupConfig(empty=empty))
    texts = ["", "some words", " . ", "some words"]
    result = index.deduplicate(texts, ids=["a", "b", "c", "d"])
    assert len(index) == 1
    if empty == "keep":
        assert (result.remove_indices.tolist(), result.removed_by.tolist()) == ([3], ["b"])
    else:
        assert (result.remove_indices.tolist(), result.removed_by.tolist()) == ([0, 2, 3], ["a", "c", "b"])
        assert result.similarities.tolist() == [0, 0, 1]
    assert (result.stats.empty_documents, result.stats.exact_duplicates) == (2, 1)


def test_ids() -> None:
    index = Index(CONFIG)
    index.add(["one text that is here"], ids=np.array([2**63 - 1]))
    index.add(["a second one, of other words"], ids=[-5])
    assert index.query(["one text that is here"]).ids.tolist() == [2**63 - 1]
    for ids, message in (
        (["a"], "ids are texts, those of the index are numbers"),
        ([1, 2], "2 ids for 1 texts"),
        ([1.5], "neither integers nor str"),
        (np.array([2**63], np.uint64), "not a 64-bit integer"),
        (None, "ids are automatic"),
        (["a", 1], "neither integers nor str"),
        ([[1], [2, 3]], "neither integers nor str"),
        (["\ud800"], "cannot be encoded as UTF-8: character 0"),
        (iter([1]), "ids is a list_iterator, not a sequence"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            index.add(["x"], ids=ids)
    assert len(index) == 2


def test_merged_indexes() -> None:
    texts = made_texts(200, 8)
    whole, a, b = Index(CONFIG), Index(CONFIG), Index(CONFIG)
    whole.add(texts)
    a.add(texts[:90])
    b.add(texts[90:])
    a.merge(b)
    expected, matches = whole.query(texts), a.query(texts)
    assert matches.ids.tolist() == expected.ids.tolist()
    assert len(a) == 200
    with pytest.raises(InvalidArgumentError, match="seed is 2, here it is 1"):
        a.merge(Index(DedupConfig(threshold=0.8, seed=2)))


def test_without_stored_texts(tmp_path) -> None:
    texts, asked = made_texts(100, 9), made_texts(200, 9)[50:]
    with_texts, without = Index(CONFIG), Index(CONFIG, store_texts=False)
    with_texts.add(texts)
    without.add(texts)
    expected = with_texts.query(asked)
    for known in (texts, np.array(texts, dtype=object), lambda number: texts[number]):
        assert without.query(asked, known=known).ids.tolist() == expected.ids.tolist()
    with pytest.raises(InvalidArgumentError, match="does not store texts"):
        without.query(asked)
    with pytest.raises(ZeroDivisionError):
        without.query(asked, known=lambda number: 1 // 0)
    with pytest.raises(InvalidArgumentError, match="gives a NoneType, not a str"):
        without.query(asked, known=lambda number: None)
    with pytest.raises(CorruptError, match="not UTF-8"):
        without.query(asked, known=lambda number: "\ud800")
    without.save(tmp_path / "index")
    with_texts.save(tmp_path / "with")
    assert (tmp_path / "index").stat().st_size + len("".join(texts)) <= (tmp_path / "with").stat().st_size
    estimated = Index.open(tmp_path / "index", DedupConfig(threshold=0.8, verify=False)).query(asked)
    both = set(zip(estimated.positions, estimated.ids, strict=True)) & set(
        zip(expected.positions, expected.ids, strict=True)
    )
    assert len(both) > 0.8 * len(expected.ids)


def test_a_full_bucket_is_counted() -> None:
    index = Index(CONFIG)
    index.add(["always the same few words in a row"] * 200)
    assert index.left_out == 72 * Sketcher(CONFIG).num_bands
    assert len(index.query(["always the same few words in a row"]).ids) == 128
    assert index.remove_known(["always the same few words in a row"]).removed_by.tolist() == [0]


def test_configs_that_do_not_fit(tmp_path) -> None:
    for config, message in (
        (DedupConfig(clusters="components"), "clusters is 'components'"),
        (DedupConfig(keep="longest"), "keep is 'longest'"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            Index(config)
    Index(CONFIG).save(tmp_path / "index")
    with pytest.raises(InvalidArgumentError, match="ngram_size is 5, here it is 3"):
        Index.open(tmp_path / "index", DedupConfig(threshold=0.8, ngram_size=3))


@pytest.mark.parametrize("stage", ["sketch", "look up", "match"])
def test_progress_is_told_and_may_stop_the_job(stage) -> None:
    texts = made_texts(300, 12)
    index = Index(CONFIG)
    index.add(texts[:100])

    def stop(told: str, done: int, total: int) -> None:
        assert 0 < done <= total <= 200
        if told == stage:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index.deduplicate(texts[100:], progress=stop)
    assert (len(index), index.seen) == (100, 100)
    index.check()


def test_threads_share_an_index() -> None:
    texts = made_texts(400, 10)
    index = Index(CONFIG)
    errors: list[BaseException] = []

    def work(first: int) -> None:
        try:
            for start in range(first, first + 100, 20):
                index.deduplicate(texts[start : start + 20])
                index.query(texts[:20])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(first,)) for first in range(0, 400, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert index.seen == 400
    assert index.remove_known(texts).keep_indices.size == 0
    index.check()
