"""The index: against the deduplicator on all texts at once, over saves, merges and processes; sketches; damage."""

import json
import os
import random
import struct
import threading
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import xxhash

from mithril import CorruptError, InvalidArgumentError, StorageError, TruncatedError, UnsupportedError
from mithril.dedup import DedupConfig, Deduplicator
from mithril.dedup._index import Index
from mithril.dedup._sketcher import Sketcher
from tests.reference.dedup import jaccard, shingles
from tests.reference.dedup_index import changed, directory_of, places, read_index

WORDS = [f"word{i}" for i in range(4000)]
CONFIG = DedupConfig(threshold=0.8)


def made_texts(count: int, seed: int, words: int = 80) -> list[str]:
    """Every third text is an earlier one with up to three words changed; some are equal, some of other scripts."""
    rng = random.Random(seed)
    texts: list[list[str]] = []
    for i in range(count):
        text = rng.choices(WORDS, k=words)
        if i % 3 == 2:
            text = list(rng.choice(texts))
            for _ in range(rng.randrange(4)):
                text[rng.randrange(len(text))] = rng.choice(WORDS)
        if i % 25 == 24:
            text = ["привет", "мир", "これは", "テスト", "🎉", str(i % 2)] * 3
        texts.append(text)
    return [" ".join(text) for text in texts]


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


# ---- sketches ----


def test_sketches_of_texts_estimate_their_similarity() -> None:
    sketcher = Sketcher(DedupConfig(num_permutations=1024, num_bands=64, num_rows=4))
    texts = made_texts(90, 1)
    sketches = sketcher.sketch([*texts, "", "?!"])
    assert (sketches.keys.dtype, sketches.keys.shape) == (np.uint32, (92, 64))
    assert (sketches.digests.dtype, sketches.digests.shape) == (np.uint8, (92, 512))
    assert sketches.hashes.shape == (92, 2)
    assert sketches.empty.tolist() == [False] * 90 + [True] * 2
    assert (sketcher.num_bands, sketcher.num_rows) == (64, 4)
    order = np.random.default_rng(1).permutation(92)
    shuffled = sketcher.sketch([[*texts, "", "?!"][i] for i in order])
    assert np.array_equal(shuffled.keys, sketches.keys[order])
    estimates = sketcher.estimate(sketches, shuffled)
    sets = [shingles(text) for text in [*texts, "", "?!"]]
    for i, (estimate, j) in enumerate(zip(estimates, order, strict=True)):
        assert abs(estimate - jaccard(sets[i], sets[j])) < 0.08  # five standard errors
    equal = sketcher.estimate(sketches, sketches)
    assert equal.tolist() == [1.0] * 90 + [0.0] * 2


def test_sketches_that_do_not_fit() -> None:
    sketcher = Sketcher(CONFIG)
    a = sketcher.sketch(["a b c", "d"])
    with pytest.raises(InvalidArgumentError, match="2 and 1 sketches"):
        sketcher.estimate(a, sketcher.sketch(["a"]))
    with pytest.raises(InvalidArgumentError, match="rows of 64 bytes"):
        sketcher.estimate(a, Sketcher(DedupConfig(num_permutations=64)).sketch(["a", "b"]))
    assert 0.99 < sketcher.candidate_probability(0.8) < 1


def test_sketches_are_those_of_sketch_version_1() -> None:
    """When this fails, saved indexes no longer find what they hold: raise kSketchVersion (csrc/dedup), and pin anew."""
    texts = [*made_texts(30, 13), "Straße ﬁn ÅNGSTRÖM", "ศกร ハロー 你好 👍🏽", "a", "naïve café e\u0301"]
    config = DedupConfig(num_permutations=130, num_bands=10, num_rows=13, seed=77)
    sketches = Sketcher(config).sketch(texts)
    assert xxhash.xxh3_64_hexdigest(sketches.keys.tobytes() + sketches.digests.tobytes()) == "e62d9f01ef4e392d"


# ---- the index ----


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
from mithril.dedup._index import Index
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


# ---- files ----


@pytest.fixture
def saved(tmp_path) -> Path:
    index = Index(CONFIG)
    index.add(made_texts(40, 11))
    index.save(tmp_path / "index")
    return tmp_path / "index"


def test_a_failed_save_leaves_the_file(saved, tmp_path) -> None:
    before = saved.read_bytes()
    index = Index.open(saved)
    index.add(["more"])
    with pytest.raises(StorageError):
        index.save(tmp_path / "no such folder" / "index")
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(StorageError):
        index.save(folder)
    assert saved.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["folder", "index"]


def test_an_open_index_survives_its_replacement(saved) -> None:
    index = Index.open(saved)
    expected = index.query(made_texts(40, 11)).ids.tolist()
    Index(CONFIG).save(saved)
    assert index.query(made_texts(40, 11)).ids.tolist() == expected
    assert len(Index.open(saved)) == 0


def test_damaged_files(saved) -> None:
    good = saved.read_bytes()
    for damaged, error, message in (
        (b"", TruncatedError, r"header needs 64 bytes, there are 0"),
        (b"{}" + good, CorruptError, r"not a dedup index of mithril \(wrong magic, offset 0\)"),
        (good[:-1], TruncatedError, r"no footer at the end"),
        (good[:-200], TruncatedError, r"no footer at the end"),
        (good[:100], TruncatedError, r"100 bytes are too few"),
        (good + b"x", TruncatedError, r"bytes follow it"),
    ):
        saved.write_bytes(damaged)
        for opened in (Index.open, Index.load):
            with pytest.raises(error, match=f"index: .*{message}"):
                opened(saved)
    middle = bytearray(good)
    middle[len(good) // 2] ^= 1  # among the texts: found when it is read
    saved.write_bytes(middle)
    index = Index.open(saved)
    with pytest.raises(CorruptError, match=r"section text_bytes: checksum does not match \(offset \d+\)"):
        index.check()
    with pytest.raises(CorruptError, match=r"section text_bytes"):
        Index.load(saved)
    with pytest.raises(StorageError):
        Index.open(saved.parent / "nothing here")


@pytest.mark.parametrize("kind", ["automatic", "numbers", "texts"])
def test_files_are_as_the_format_says(kind, tmp_path) -> None:
    texts = ["always the same text"] * 131 + made_texts(30, 12)
    ids = {"automatic": None, "numbers": range(-5, len(texts) - 5), "texts": [f"ö{i}" for i in range(len(texts))]}[kind]
    index = Index(CONFIG)
    for first in (0, 131, 140):  # of different sizes, so some are merged in memory, all on saving
        last = {0: 131, 131: 140, 140: len(texts)}[first]
        index.add(texts[first:last], ids=None if ids is None else list(ids)[first:last])
    index.save(tmp_path / "index")
    fields, sections = read_index((tmp_path / "index").read_bytes())
    sketches = Sketcher(CONFIG).sketch(texts)
    n = len(texts)
    assert (fields["documents"], fields["seen"], fields["threshold"], fields["permutations"]) == (n, n, 0.8, 128)
    assert (fields["form"], fields["ids"]) == (1, ["automatic", "numbers", "texts"].index(kind))
    if kind == "texts":
        ends = np.frombuffer(sections["ids"], np.uint64)
        assert [sections["id_bytes"][a:b].decode() for a, b in pairwise(ends)] == ids
    else:
        assert np.frombuffer(sections["ids"], np.int64).tolist() == list(range(n) if ids is None else ids)
    assert sections["digests"] == sketches.digests.tobytes()
    hashes = sorted((xxhash.xxh3_128_intdigest(t.encode()) for t in texts), key=lambda h: (h % 2**64, h >> 64))
    assert sections["hashes"] == b"".join(struct.pack("<QQ", h % 2**64, h >> 64) for h in hashes)
    owners = np.frombuffer(sections["hash_numbers"], np.uint32)
    assert [xxhash.xxh3_128_intdigest(texts[k].encode()) for k in owners] == hashes
    assert sections["text_bytes"] == "".join(texts).encode()
    assert np.frombuffer(sections["text_offsets"], np.uint64)[-1] == len(sections["text_bytes"])
    for band in range(fields["bands"]):
        entries = sorted(int(key) << 32 | k for k, key in enumerate(sketches.keys[:, band]) if not 128 <= k < 131)
        assert np.frombuffer(sections[f"band {band}"], np.uint64).tolist() == entries


HOSTILE = {  # field: offset in the directory, form, value, kind of the error
    "sketch_version": (0, "<I", 2, UnsupportedError),
    "permutations": (4, "<I", 2**31, CorruptError),
    "num_permutations": (4, "<I", 130, CorruptError),  # fits, but the digests do not
    "bands": (8, "<I", 0, CorruptError),
    "rows": (12, "<I", 1000, CorruptError),
    "ngram_size": (24, "<I", 65, CorruptError),
    "form": (28, "<B", 3, UnsupportedError),
    "fold_case": (29, "<B", 2, CorruptError),
    "reserved": (31, "<B", 1, CorruptError),
    "measure": (32, "<B", 2, UnsupportedError),
    "stores_texts": (34, "<B", 0, CorruptError),
    "ids": (35, "<B", 2, CorruptError),
    "threshold": (40, "<d", 0.0, CorruptError),
    "threshold nan": (40, "<d", float("nan"), CorruptError),
    "documents": (48, "<Q", 2**32 - 1, CorruptError),
    "documents more": (48, "<Q", 41, CorruptError),
    "seen": (56, "<Q", 39, CorruptError),
    "section_offset": (64, "<Q", 128, CorruptError),
    "section_size": (72, "<Q", 2**63, CorruptError),
}


@pytest.mark.parametrize("field", HOSTILE)
def test_hostile_fields_with_right_checksums(field, saved) -> None:
    good = saved.read_bytes()
    at, form, value, kind = HOSTILE[field]
    try:
        saved.write_bytes(changed(good, directory_of(good)[0] + at, form, value))
    except struct.error:  # the place of the sections is not to be found; then their checksums do not matter
        pytest.fail("not a change of the directory alone")
    with pytest.raises(kind, match=r"index: .*\(offset \d+\)"):
        Index.open(saved)


def test_hostile_sections_with_right_checksums(saved) -> None:
    good = saved.read_bytes()
    texts = made_texts(40, 11)
    offsets = {name: offset for name, (offset, _) in places(good).items()}
    for section, at, form, value in (
        ("hash_numbers", 0, "<I", 40),
        ("hash_numbers", 4, "<I", struct.unpack_from("<I", good, offsets["hash_numbers"])[0]),
        ("hashes", 0, "<Q", 2**64 - 1),
        ("text_offsets", 0, "<Q", 1),
        ("text_offsets", 8, "<Q", 2**64 - 1),
        ("text_offsets", 320, "<Q", 1),
        ("band 0", 0, "<I", 40),
        ("band 3", 8, "<Q", 0),
    ):
        saved.write_bytes(changed(good, offsets[section] + at, form, value))
        with pytest.raises(CorruptError, match=rf"section {section.partition('_')[0]}.*\(offset \d+\)"):
            Index.load(saved)
        index = Index.open(saved)
        with pytest.raises(CorruptError):
            index.check()
        with suppress(CorruptError):  # what is looked at may be right; the memory of others is never read
            index.query(texts)
            index.deduplicate(texts)
            index.save(saved.parent / "again")
