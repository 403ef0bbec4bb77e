"""Sketches: their shapes, what they estimate, and that they stay what they are."""

import numpy as np
import pytest
import xxhash

from mithril import InvalidArgumentError
from mithril.dedup import DedupConfig, Sketcher
from tests.python.dedup_texts import made_texts
from tests.reference.dedup import jaccard, shingles

CONFIG = DedupConfig(threshold=0.8)


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
