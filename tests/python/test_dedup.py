"""Near-duplicate removal in memory, against tests/reference/dedup.py: the same with sets and `unicodedata`."""

import random
import sys
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mithril import CorruptError, InvalidArgumentError
from mithril._native import core
from mithril.dedup import DedupConfig, Deduplicator
from tests.reference import dedup as reference

WORDS = [f"word{i}" for i in range(2000)]


def edited(words: list[str], edits: int, draw: random.Random) -> list[str]:
    words = list(words)
    for _ in range(edits):
        words[draw.randrange(len(words))] = draw.choice(WORDS)
    return words


def corpus(count: int, seed: int) -> list[str]:
    """Texts of 5 to 80 words, half of them copies of others: some words replaced, other case or punctuation."""
    draw = random.Random(seed)
    originals: list[list[str]] = []
    texts = []
    for _ in range(count):
        if originals and draw.random() < 0.5:
            words = edited(draw.choice(originals), draw.randrange(4), draw)
        else:
            words = draw.choices(WORDS, k=draw.randrange(5, 80))
            originals.append(words)
        text = " ".join(words)
        texts.append(text.upper().replace(" ", ", ", 3) if draw.random() < 0.1 else text)
    return texts


# --- what is a word, what is a similarity ---


@pytest.mark.parametrize("form", ["NFC", "NFKC", "none"])
def test_every_code_point_makes_the_words_that_the_reference_finds(form: str) -> None:
    dedup = Deduplicator(DedupConfig(ngram_size=1, normalization=form))
    assigned = [c for c in map(chr, range(0x80, 0x110000)) if unicodedata.category(c) not in ("Cn", "Cs", "Co")]
    assert len(assigned) > 140_000
    # Hangul and Han fill two thirds of them, alike
    assigned = [c for c in assigned if not (0x3400 < ord(c) < 0xD780 or ord(c) > 0x20000) or ord(c) % 37 == 0]
    for start in range(0, len(assigned), 128):
        piece = [f"q{c}r a{c} {c}e\n" for c in assigned[start : start + 128]]
        if not same_words(dedup, "".join(piece), form):
            wrong = [f"U+{ord(text[1]):04X}" for text in piece if not same_words(dedup, text, form)]
            pytest.fail(f"{form}: {wrong}")


def same_words(dedup: Deduplicator, text: str, form: str) -> bool:
    words = reference.words(text, form=None if form == "none" else form)
    return dedup.similarity(text, " ".join(words)) == 1


SNIPPETS = [
    "straße",
    "É",
    "e\u0301",
    "İ",
    "ǆ",
    "Ω",
    "ς",
    "日本",
    "かが",
    "\u304b\u3099",
    "กิน้ำ",
    "हिन्दी",
    "한국",
    "\u1112\u1161\u11ab",
    "👍🏽",
    "👨\u200d👩\u200d👧",
    "🇫🇷",
    "soft\u00adhyphen",
    "\ufeff",
    "“quoted”",
    "—",
    "a_b",
    "ﬁ",
    "²",
    "Ⅷ",
    "ｗｉｄｅ",
    "العَرَبِيَّة",
    "≮",
    "<\u0338",
]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(
        st.sampled_from([*SNIPPETS, "the", "Quick", "fox", " ", " ", " ", ". ", "-"])
        | st.characters(max_codepoint=0x2FFF, exclude_categories=["Cn", "Cs", "Co"]),
        max_size=40,
    ),
    st.lists(st.sampled_from([*SNIPPETS, "the", "quick", "FOX", " ", " ", " ", ", "]), max_size=40),
    st.sampled_from(["NFC", "NFKC"]),
    st.booleans(),
    st.booleans(),
    st.integers(1, 6),
)
def test_similarity_is_that_of_the_reference(
    first: list[str], second: list[str], form: str, fold_case: bool, ignore_punctuation: bool, n: int
) -> None:
    a = "".join(first)
    b = "".join(second + first[len(second) // 2 :])
    rules = {"form": form, "fold_case": fold_case, "ignore_punctuation": ignore_punctuation}
    sets = [reference.shingles(text, n, **rules) for text in (a, b)]  # type: ignore[arg-type]
    config = {"normalization": form, "fold_case": fold_case, "ignore_punctuation": ignore_punctuation, "ngram_size": n}
    jaccard = Deduplicator(DedupConfig(**config))  # type: ignore[arg-type]
    contained = Deduplicator(DedupConfig(measure="containment", **config))  # type: ignore[arg-type]
    assert jaccard.similarity(a, b) == reference.jaccard(*sets)
    assert contained.similarity(a, b) == reference.containment(*sets)


def test_the_words_of_the_documentation() -> None:
    dedup = Deduplicator()
    assert dedup.similarity("doc1", "doc1 copy") == 0  # two different shingles: both texts have fewer than five words
    assert dedup.similarity("The quick brown fox, jumps!", "the QUICK brown-fox jumps") == 1


# --- which texts go ---


def test_star_against_all_pairs() -> None:
    texts = corpus(800, 1)
    sets = [reference.shingles(text) for text in texts]
    result = Deduplicator().deduplicate(texts)
    for removed, kept, similarity in result.pairs:
        exact = reference.jaccard(sets[removed], sets[kept])
        assert exact >= 0.85
        assert similarity == np.float32(exact)
    assert set(result.removed_by.tolist()) <= set(result.keep_indices.tolist())
    expected = reference.keep_first(sets, 0.85)
    missed = sum(by is not None for by in expected) - len(result.remove_indices)
    assert 0 <= missed <= 5, "the bands find more than 99 % of the pairs at the threshold"
    assert len(result.remove_indices) > 100
    assert sorted([*result.keep_indices.tolist(), *result.remove_indices.tolist()]) == list(range(len(texts)))


def test_threads_do_not_show() -> None:
    texts = corpus(6000, 2)
    for clusters in ("star", "components"):
        results = [Deduplicator(DedupConfig(num_threads=n, clusters=clusters)).deduplicate(texts) for n in (1, 2, 4)]  # type: ignore[arg-type]
        for other in results[1:]:
            np.testing.assert_array_equal(results[0].remove_indices, other.remove_indices)
            np.testing.assert_array_equal(results[0].removed_by, other.removed_by)
            np.testing.assert_array_equal(results[0].similarities, other.similarities)


@pytest.mark.parametrize("keep", ["longest", "score"])
def test_the_order_of_documents_does_not_show(keep: str) -> None:
    texts = corpus(2000, 3)
    draw = random.Random(1)
    scores = {text: draw.randrange(10) for text in texts}

    def kept(of: list[str]) -> list[str]:
        config = DedupConfig(keep=keep)  # type: ignore[arg-type]
        result = Deduplicator(config).deduplicate(of, scores=[scores[t] for t in of] if keep == "score" else None)
        return sorted(of[i] for i in result.keep_indices)

    shuffled = texts.copy()
    draw.shuffle(shuffled)
    assert kept(shuffled) == kept(texts) == kept(texts[::-1])


def test_policies_keep_whom_they_name() -> None:
    base = " ".join(WORDS[:100])
    texts = [base + " short", base + " and the longest of them", base + " mid one", "something else"]
    longest = Deduplicator(DedupConfig(keep="longest")).deduplicate(texts)
    assert longest.keep_indices.tolist() == [1, 3]
    score = Deduplicator(DedupConfig(keep="score")).deduplicate(texts, scores=[0.5, -1, 7, 0])
    assert score.keep_indices.tolist() == [2, 3]
    assert score.clusters == {2: [0, 1]}
    source = Deduplicator(DedupConfig(keep="source")).deduplicate(texts, sources=["web", "books", "web", "books"])
    assert source.keep_indices.tolist() == [0, 3]  # "web" comes first
    with pytest.raises(InvalidArgumentError, match="needs scores"):
        Deduplicator(DedupConfig(keep="score")).deduplicate(texts)
    with pytest.raises(InvalidArgumentError, match="scores are given, but keep is 'first'"):
        Deduplicator().deduplicate(texts, scores=[1, 2, 3, 4])
    with pytest.raises(InvalidArgumentError, match="2 scores for 4 documents"):
        Deduplicator(DedupConfig(keep="score")).deduplicate(texts, scores=[1, 2])
    with pytest.raises(InvalidArgumentError, match="score 1 is not a number"):
        Deduplicator(DedupConfig(keep="score")).deduplicate(texts, scores=[1, float("nan"), 3, 4])


def test_short_texts_and_texts_without_spaces_equal_only_themselves() -> None:
    texts = [
        "",
        "a",
        "a b",
        "a b c",
        "a b c d",
        "b",
        "B.",
        "",
        "a b c e",
        "今日は天気がいい",
        "今日は天気が悪い",
        "今日は天気がいい。",
        "😀",
        "😂",
        "😀",
    ]
    result = Deduplicator().deduplicate(texts)
    assert result.clusters == {5: [6], 9: [11], 12: [14]}
    assert result.stats.empty_documents == 2
    removed = Deduplicator(DedupConfig(empty="remove")).deduplicate(texts)
    assert removed.remove_indices.tolist() == [0, 6, 7, 11, 14]
    assert removed.removed_by.tolist() == [0, 5, 7, 9, 12]


def test_a_hundred_thousand_equal_texts() -> None:
    result = Deduplicator().deduplicate(["the same text again and again"] * 100_000)
    assert result.keep_indices.tolist() == [0]
    assert result.stats.exact_duplicates == 99_999


def test_one_text_of_a_hundred_megabytes() -> None:
    text = " ".join(f"w{i * 2654435761 % 1_000_003}" for i in range(1_500_000))
    text = text * (100_000_000 // len(text) + 1)
    result = Deduplicator().deduplicate([text, "other", text[: -len(text) // 20] + "."])
    assert result.clusters == {0: [2]}


def test_verify_false_takes_the_estimate() -> None:
    texts = corpus(2000, 4)
    exact = Deduplicator().deduplicate(texts)
    result = Deduplicator(DedupConfig(verify=False)).deduplicate(texts)
    assert result.stats.verified_pairs == 0
    assert len(result.remove_indices) == pytest.approx(len(exact.remove_indices), rel=0.1)
    dedup = Deduplicator()
    near = [p for p in result.pairs if p.similarity < 1]
    for removed, kept, similarity in near[:20]:
        assert similarity == np.float32(dedup.estimate(texts[removed], texts[kept]))


# --- where texts come from ---


def test_all_holders_of_texts_are_the_same() -> None:
    import pandas as pd

    texts = [*corpus(300, 5), "ünïcödé text with fïve words", "日本語のテキスト", "😀 emoji 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 words here", ""]
    texts += texts[-4:]
    expected = Deduplicator().deduplicate(texts)
    table = pa.table({"id": range(len(texts)), "body": texts})
    holders = {
        "tuple": tuple(texts),
        "generator": iter(texts),
        "array": pa.array(texts),
        "large": pa.array(texts, pa.large_string()),
        "chunks": pa.chunked_array([texts[:100], [], texts[100:]]),
        "sliced": pa.chunked_array([pa.array(["x", *texts[:9]]).slice(1), pa.array([*texts[9:], "y"])[:-1]]),
        "dictionary": pa.array(texts).dictionary_encode(),
        "objects": np.array(texts, object),
        "fixed": np.array(texts),
        "series": pd.Series(texts),
    }
    for name, holder in holders.items():
        found = Deduplicator().deduplicate(holder)
        assert found.clusters == expected.clusters, name
    for holder in (table, table.to_batches()[0], table.to_pandas(), {"id": [1], "body": texts}):
        assert Deduplicator().deduplicate(holder, column="body").clusters == expected.clusters
    with pytest.raises(InvalidArgumentError, match="no column 'text'; there are 'id', 'body'"):
        Deduplicator().deduplicate(table)


def test_datasets() -> None:
    datasets = pytest.importorskip("datasets")
    texts = corpus(300, 5)
    dataset = datasets.Dataset.from_dict({"id": range(300), "text": texts})
    expected = Deduplicator().deduplicate(texts)
    assert Deduplicator().deduplicate(dataset).clusters == expected.clusters
    backwards = dataset.select(range(299, -1, -1))
    assert Deduplicator().deduplicate(backwards).clusters == Deduplicator().deduplicate(texts[::-1]).clusters
    with pytest.raises(InvalidArgumentError, match="no column 'body'; there are 'id', 'text'"):
        Deduplicator().deduplicate(dataset, column="body")
    with pytest.raises(InvalidArgumentError, match="no column 'text'; there are 'train'"):
        Deduplicator().deduplicate(datasets.DatasetDict(train=dataset))


def test_null_is_the_empty_text() -> None:
    texts = ["a b", None, "a b", None]
    for holder in (texts, pa.array(texts), pa.array(["x", *texts]).slice(1)):
        result = Deduplicator().deduplicate(holder)
        assert result.clusters == {0: [2]}
        assert result.stats.empty_documents == 2


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="document 1 is a int, not a str"):
        Deduplicator().deduplicate(["a", 1])
    with pytest.raises(InvalidArgumentError, match="texts is one str"):
        Deduplicator().deduplicate("abc")
    with pytest.raises(InvalidArgumentError, match="Arrow type int64"):
        Deduplicator().deduplicate(pa.array([1, 2]))
    with pytest.raises(InvalidArgumentError, match="2 dimensions"):
        Deduplicator().deduplicate(np.array([["a"], ["b"]]))
    for texts, message in (
        ({"a": "b"}, "no column 'text'; there are 'a'"),
        ({"text": {"a": "b"}}, "column 'text' is a dict"),
        ({"text": "one"}, "texts is one str"),
        ({"a", "b"}, "texts is a set, which has no order"),
        (pa.table([["a"], ["b"]], names=["text", "text"]), "there are 2 columns 'text'"),
        (pa.array([1, 1]).dictionary_encode(), "Arrow type dictionary<values=int64"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            Deduplicator().deduplicate(texts)
    with pytest.raises(CorruptError, match="document 1: text is not UTF-8 at byte 3"):
        Deduplicator().deduplicate(["fine", "abc\ud800"])
    invalid = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(np.array([0, 4, 8], np.int32)), pa.py_buffer(b"fineab\xffc")]
    )
    with pytest.raises(CorruptError, match="document 1: text is not UTF-8 at byte 2"):
        Deduplicator().deduplicate(invalid)
    for offsets in ([0, 4, 9], [0, 4, 2], [-1, 4, 8], [0, 8]):
        with pytest.raises(CorruptError, match="Arrow array: "):
            core.texts_from_arrow([(np.array(offsets, np.int32), b"fineabcd", None, 0, 2, False)])


def test_what_is_no_text_has_no_similarity() -> None:
    for compare in (Deduplicator().similarity, Deduplicator().estimate):
        with pytest.raises(InvalidArgumentError, match="b is a NoneType, not a str"):
            compare("a", None)  # type: ignore[arg-type]
        with pytest.raises(CorruptError, match="not UTF-8 at byte 1"):
            compare("a\ud800", "a")


def test_scores_and_sources_that_do_not_fit() -> None:
    for keep, values, message in (
        ("score", ["x", "y"], "scores are not numbers"),
        ("score", [1, None], "score 1 is not a number"),
        ("score", [[1], [2]], "2 dimensions"),
        ("score", iter([1, 2]), "scores is a list_iterator, not a sequence"),
        ("score", [1], "1 scores for 2 documents"),
        ("source", [["x"], ["y"]], "a source is not a str"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            Deduplicator(DedupConfig(keep=keep)).deduplicate(["a", "b"], **{keep + "s": values})  # type: ignore[arg-type]


def test_nothing_is_copied_of_ascii_lists() -> None:
    texts = ["word " * 40 + str(i) for i in range(2000)]
    before = [sys.getsizeof(t) for t in texts]
    Deduplicator().deduplicate([*texts, "é" * 50])
    assert [sys.getsizeof(t) for t in texts] == before


def test_configurations_out_of_range_are_refused() -> None:
    for field, value in [
        ("threshold", 0),
        ("threshold", 1.01),
        ("threshold", float("nan")),
        ("num_permutations", 15),
        ("num_permutations", 17),
        ("num_permutations", 2000),
        ("num_permutations", 128.0),
        ("ngram_size", 2.5),
        ("ngram_size", True),
        ("seed", -1),
        ("seed", 2**64),
        ("threshold", "0.8"),
        ("verify", 1),
        ("measure", ["jaccard"]),
        ("num_threads", 2**31),
        ("ngram_size", 0),
        ("ngram_size", 65),
        ("num_bands", 4),
        ("measure", "cosine"),
        ("clusters", "all"),
        ("keep", "last"),
        ("normalization", "NFD"),
        ("empty", "drop"),
        ("num_threads", 0),
    ]:
        with pytest.raises(InvalidArgumentError, match=field):
            DedupConfig(**{field: value})  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match="num_rows 9"):
        DedupConfig(num_bands=16, num_rows=9)
    widest = DedupConfig(threshold=np.float32(0.5), num_permutations=np.int64(16), seed=2**64 - 1)  # type: ignore[arg-type]
    assert Deduplicator(widest).similarity("a b", "A b") == 1


def test_progress_is_told_and_may_stop_the_job() -> None:
    told: list[tuple[str, int, int]] = []
    Deduplicator().deduplicate(corpus(3000, 6), progress=lambda *args: told.append(args))
    assert told[-1] == ("match", 3000, 3000)

    def stop(stage: str, done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Deduplicator().deduplicate(corpus(100, 6), progress=stop)
