"""The Bloom index: its promise about wrong answers, copies that it finds, merging, files."""

import math
import random

import numpy as np
import pytest

from mithril import CorruptError, InvalidArgumentError
from mithril.dedup import BloomIndex, DedupConfig


def unlike(count: int, seed: int) -> list[str]:
    """Texts that share no shingle, but by chance."""
    rng = random.Random(seed)
    return [" ".join(f"{rng.getrandbits(40):x}" for _ in range(12)) for _ in range(count)]


def test_wrong_answers_are_as_rare_as_promised() -> None:
    index = BloomIndex(expected_documents=20_000, false_positive_rate=0.01)
    assert index.current_false_positive_rate == 0
    index.deduplicate(unlike(20_000, 1))
    assert len(index) >= 20_000 * 0.99  # itself seldom wrong while it fills
    assert index.current_false_positive_rate <= 0.01
    wrong = int(index.query(unlike(20_000, 2)).sum())
    assert 0.7 < wrong / 20_000 / index.current_false_positive_rate < 1.3  # 200 expected, 14 a standard deviation
    index.deduplicate(unlike(20_000, 3))  # more than it is made for: the rate says so
    wrong = int(index.query(unlike(10_000, 4)).sum())
    assert index.current_false_positive_rate > 0.05
    assert 0.85 < wrong / 10_000 / index.current_false_positive_rate < 1.15


def test_sizes_are_those_of_the_docstring() -> None:
    index = BloomIndex(expected_documents=100_000)
    rate = -math.expm1(math.log1p(-1e-5) / 16)
    plain = 16 * -math.log(rate) / math.log(2) ** 2 / 8
    assert plain == pytest.approx(59, abs=1)
    assert index.nbytes / 100_000 == pytest.approx(81, abs=1)
    assert index.nbytes / 100_000 < 1.37 * plain


def test_copies_are_found_in_any_batches() -> None:
    rng = random.Random(5)
    originals = unlike(1000, 6)
    copies = []
    for text in originals:
        words = (text + " ").split() * 4  # 48 words, 5 of 44 shingles change
        words[rng.randrange(10, 40)] = "changed"
        copies.append(" ".join(words))
    texts = [" ".join(text.split() * 4) for text in originals] + copies
    whole, pieces = (BloomIndex(DedupConfig(threshold=0.7), expected_documents=3000) for _ in range(2))
    flags = whole.deduplicate(texts)
    assert flags.dtype == np.bool_
    assert not flags[:1000].any()
    assert flags[1000:].mean() > 0.97
    assert np.array_equal(np.concatenate([pieces.deduplicate(texts[i : i + 300]) for i in range(0, 2000, 300)]), flags)
    assert pieces.query(texts).all()


@pytest.mark.parametrize("empty", ["keep", "remove"])
def test_empty_texts(empty) -> None:
    index = BloomIndex(DedupConfig(empty=empty), expected_documents=10)
    assert index.deduplicate(["", "a", "", "a"]).tolist() == [empty == "remove", False, empty == "remove", True]
    assert len(index) == 1


def test_saved_and_merged(tmp_path) -> None:
    texts = unlike(400, 7)
    config = DedupConfig(threshold=0.9, ngram_size=3, fold_case=False, seed=9)
    a, b = (BloomIndex(config, expected_documents=1000, false_positive_rate=1e-6) for _ in range(2))
    a.deduplicate(texts[:200])
    b.deduplicate(texts[200:])
    b.save(tmp_path / "bloom")
    loaded = BloomIndex.load(tmp_path / "bloom", num_threads=1)
    assert (loaded.expected_documents, loaded.false_positive_rate, len(loaded)) == (1000, 1e-6, 200)
    assert (loaded.config.ngram_size, loaded.config.fold_case, loaded.config.seed) == (3, False, 9)
    assert loaded.query(texts).tolist() == [False] * 200 + [True] * 200
    loaded.merge(a)
    assert loaded.query(texts).all()
    assert len(loaded) == 400
    with pytest.raises(InvalidArgumentError, match="other options"):
        loaded.merge(BloomIndex(config, expected_documents=1000, false_positive_rate=1e-5))
    damaged = bytearray((tmp_path / "bloom").read_bytes())
    damaged[5000] ^= 1
    (tmp_path / "bloom").write_bytes(damaged)
    with pytest.raises(CorruptError, match=r"filters: checksum does not match \(offset 128\)"):
        BloomIndex.load(tmp_path / "bloom")


def test_options() -> None:
    for options, message in (
        ({"expected_documents": 0}, "expected_documents 0 is not within 1"),
        ({"expected_documents": -1}, "expected_documents -1 is not within 1"),
        ({"expected_documents": 2.5}, "expected_documents 2.5 is not an integer"),
        ({"expected_documents": 10, "false_positive_rate": "x"}, "false_positive_rate 'x' is not a number"),
        ({"expected_documents": 10, "false_positive_rate": 0.0}, "false_positive_rate"),
        ({"expected_documents": 10, "false_positive_rate": 0.7}, "false_positive_rate"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            BloomIndex(**options)
