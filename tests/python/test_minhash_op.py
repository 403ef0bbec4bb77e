"""The MinHash operators: estimates against sets, bands, dtypes, tracing, arguments."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.library import opcheck

from mithril import InvalidArgumentError, ops
from mithril.ops import _staging

library: Any = torch.ops.mithril
EMPTY = 2**32 - 1


def ragged(rows: list[list[int]], dtype: torch.dtype = torch.int64) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([0, *map(len, rows)])
    return torch.tensor([t for row in rows for t in row], dtype=dtype), lengths.cumsum(0)


def overlapping(shared: int, alone: int, first: int) -> tuple[list[int], list[int]]:
    """Two lists of distinct numbers, of which some are in both."""
    numbers = list(range(first, first + shared + 2 * alone))
    return numbers[: shared + alone], numbers[:shared] + numbers[shared + alone :]


@pytest.mark.parametrize(("shared", "alone"), [(10, 90), (60, 40), (180, 20)])
def test_columns_agree_as_often_as_sets_overlap(shared, alone) -> None:
    rows = [row for k in range(50) for row in overlapping(shared, alone, 1000 * k)]  # ids of a vocabulary, not hashes
    minima = ops.minhash(*ragged(rows), num_permutations=256)
    assert (minima.dtype, minima.shape) == (torch.int64, (100, 256))
    assert int(minima.min()) >= 0
    assert int(minima.max()) < 2**32
    agreement = (minima[::2] == minima[1::2]).double().mean()
    similarity = shared / (shared + 2 * alone)
    assert abs(float(agreement) - similarity) < 5 * (similarity * (1 - similarity) / (50 * 256)) ** 0.5


def test_dtypes_seeds_and_order() -> None:
    rows = [[5, 7, 11, 2**31 - 1], [3], [11, 7, 5, 2**31 - 1, 5]]
    minima = ops.minhash(*ragged(rows))
    assert torch.equal(minima[0], minima[2])  # a set: neither order nor repetition counts
    for dtype in (torch.int32, torch.uint32):
        tokens, offsets = ragged(rows, dtype)
        assert torch.equal(ops.minhash(tokens, offsets), minima)
    assert torch.equal(ops.minhash(*ragged(rows[:1])), minima[:1])
    assert not torch.equal(ops.minhash(*ragged(rows), seed=2), minima)
    assert torch.equal(ops.minhash(*ragged([[-1]], torch.int32)), ops.minhash(*ragged([[-1]])))
    tokens, offsets = ragged(rows)
    strided = torch.stack([tokens, tokens], 1)[:, 0]
    assert torch.equal(ops.minhash(strided, offsets), minima)


def test_ngrams() -> None:
    long, short = [1, 2, 3, 4, 5], [1, 2]
    minima = ops.minhash(*ragged([long, long[::-1], short, [2, 1], [1, 2, 1, 2]]), ngram_size=3)
    assert not torch.equal(minima[0], minima[1])
    assert not torch.equal(minima[2], minima[3])  # a short row is one shingle, in order
    # min over the shingles, each as a row of its own
    each = ops.minhash(*ragged([long[i : i + 3] for i in range(3)]), ngram_size=3)
    assert torch.equal(minima[0], each.min(0).values)
    assert not torch.equal(minima[2], ops.minhash(*ragged([short]), ngram_size=2)[0])  # not the 2-gram of others


def test_empty_rows() -> None:
    minima = ops.minhash(*ragged([[], [1], []]))
    assert (minima == EMPTY).all(1).tolist() == [True, False, True]
    assert ops.minhash(*ragged([])).shape == (0, 128)
    assert ops.minhash_bands(ops.minhash(*ragged([])), num_bands=16, num_rows=8).shape == (0, 16)


def test_bands() -> None:
    rows = [row for k in range(400) for row in overlapping(170, 15, 1000 * k)]
    minima = ops.minhash(*ragged(rows))
    bands = ops.minhash_bands(minima, num_bands=16, num_rows=8)
    assert (bands.dtype, bands.shape) == (torch.int64, (800, 16))
    for band in (0, 7, 15):  # columns band, band + 16, …
        agree = (minima[::2, band::16] == minima[1::2, band::16]).all(1)
        assert torch.equal(bands[::2, band] == bands[1::2, band], agree)
    found = (bands[::2] == bands[1::2]).any(1).double().mean()
    expected = 1 - (1 - 0.85**8) ** 16
    assert float(found) > expected - 0.03
    assert len(set(bands.flatten().tolist())) > 800 * 16 - 400 * 16  # no other bands agree


def test_arguments() -> None:
    tokens, offsets = torch.arange(6), torch.tensor([0, 4, 6])
    for arguments, options, message in (
        ((tokens.float(), offsets), {}, "tokens is float32, int32, uint32 or int64 is expected"),
        ((tokens.view(2, 3), offsets), {}, "tokens has 2 dimensions"),
        ((tokens, offsets.int()), {}, "offsets is not int64 of 1 dimension"),
        ((tokens, torch.tensor([], dtype=torch.int64)), {}, "offsets is empty"),
        ((tokens, torch.tensor([0, 5, 4])), {}, r"offsets\[2\] is 4, not from 5 to 6"),
        ((tokens, torch.tensor([0, 7])), {}, r"offsets\[1\] is 7, not from 0 to 6"),
        ((tokens, torch.tensor([-1, 6])), {}, r"offsets\[0\] is -1"),
        ((tokens, offsets), {"ngram_size": 0}, "ngram_size 0 is not within 1 to 64"),
        ((tokens, offsets), {"num_permutations": 127}, "num_permutations 127 is not even"),
        ((tokens, offsets), {"num_permutations": 2**40}, "num_permutations 1099511627776"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            ops.minhash(*arguments, **options)
    minima = ops.minhash(tokens, offsets)
    for given, bands, rows, message in (
        (minima, 16, 9, "num_rows 9 is not within 1 to 8"),
        (minima, 0, 1, "num_bands 0"),
        (minima.int(), 16, 8, "minima is not int64 of 2 dimensions"),
        (minima - 1 - minima, 16, 8, "not from 0 to 4294967295"),
    ):
        with pytest.raises(InvalidArgumentError, match=message):
            ops.minhash_bands(given, num_bands=bands, num_rows=rows)


def test_opcheck() -> None:
    tokens, offsets = ragged([[1, 2, 3], [], [4]])
    results = opcheck(library.minhash.default, (tokens, offsets), {"ngram_size": 2, "num_permutations": 64})
    assert set(results.values()) == {"SUCCESS"}
    results = opcheck(library.minhash_bands.default, (ops.minhash(tokens, offsets),), {"num_bands": 4, "num_rows": 8})
    assert set(results.values()) == {"SUCCESS"}


@pytest.mark.parametrize("dynamic", [False, True])
def test_compile(dynamic) -> None:
    torch._dynamo.reset()

    def pipeline(tokens: Tensor, offsets: Tensor) -> Tensor:
        minima = ops.minhash(tokens + 1, offsets, ngram_size=2)
        return ops.minhash_bands(minima, num_bands=16, num_rows=8) ^ 1

    compiled = torch.compile(pipeline, fullgraph=True, backend="aot_eager", dynamic=dynamic)
    for rows in ([[1, 2, 3], [4]], [[5, 6], [], [7, 8, 9]]):
        arguments = ragged(rows)
        assert torch.equal(compiled(*arguments), pipeline(*arguments))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda() -> None:
    tokens, offsets = ragged([[1, 2, 3], [], [4]])
    minima = ops.minhash(tokens, offsets)
    on_device = ops.minhash(tokens.cuda(), offsets.cuda())
    assert on_device.is_cuda
    assert torch.equal(on_device.cpu(), minima)
    bands = ops.minhash_bands(on_device, num_bands=16, num_rows=8)
    assert torch.equal(bands.cpu(), ops.minhash_bands(minima, num_bands=16, num_rows=8))


def test_staging_calls_the_same_operators() -> None:
    tokens, offsets = ragged([[1, 2, 3], [4]])
    minima = ops.minhash(tokens, offsets)
    assert torch.equal(_staging.KERNELS["minhash"](tokens, offsets), minima)
    bands = _staging.KERNELS["minhash_bands"](minima, num_bands=2, num_rows=3)
    assert torch.equal(bands, ops.minhash_bands(minima, num_bands=2, num_rows=3))
