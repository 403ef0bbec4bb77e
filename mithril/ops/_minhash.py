"""MinHash sketches of rows of integers, for pipelines with tokens in tensors; `mithril.dedup.Sketcher` takes texts."""

from torch import Tensor

from mithril.ops._call import call, library


def minhash(
    tokens: Tensor, offsets: Tensor, *, ngram_size: int = 1, num_permutations: int = 128, seed: int = 1
) -> Tensor:
    """MinHash sketches of sets of token n-grams; rows of different length lie one after the other.

    The share of columns in which two rows agree estimates the Jaccard similarity of their sets of n-grams, with a
    standard error of sqrt(s(1 − s) / num_permutations). Tokens are hashed first: ids of a vocabulary are as good as
    hashes of shingles, for which `ngram_size` is 1. Half of the columns are minima, half complements of maxima of
    g·a mod 2³² under odd multipliers g, so that 64 of them serve for 128 permutations.

    Args:
        tokens: int32, uint32 or int64, of shape [total]. Equal numbers count as equal whatever the dtype.
        offsets: int64 of shape [rows + 1], ascending: row i is `tokens[offsets[i]:offsets[i + 1]]`.
        ngram_size: Tokens a shingle, 1 to 64. A row with fewer tokens is one shingle.
        num_permutations: Columns of the sketch: even, 16 to 1024.
        seed: Of the permutations. Sketches made with different seeds, or sizes, cannot be compared.

    Returns:
        int64 of shape [rows, num_permutations], values from 0 to 2³² − 1; all 2³² − 1 in a row without tokens.

    Raises:
        InvalidArgumentError: A dtype, a shape, an offset or a number is not as said above.
    """
    result: Tensor = call(
        library.minhash, tokens, offsets, ngram_size=ngram_size, num_permutations=num_permutations, seed=seed
    )
    return result


def minhash_bands(minima: Tensor, *, num_bands: int, num_rows: int) -> Tensor:
    """64-bit hashes of the bands of sketches, for locality-sensitive hashing: rows that agree in a band are candidates.

    Two rows of similarity s do so with a probability of 1 − (1 − s**num_rows)**num_bands. Band b is made of the columns
    b, b + num_bands, b + 2 · num_bands and so on, `num_rows` of them.

    Args:
        minima: What `minhash` returns: int64 of shape [rows, permutations].
        num_bands: Bands; num_bands · num_rows is at most the number of permutations.
        num_rows: Columns a band.

    Returns:
        int64 of shape [rows, num_bands].

    Raises:
        InvalidArgumentError: Another dtype or shape, values that are no 32-bit integers, or too many bands or rows.
    """
    result: Tensor = call(library.minhash_bands, minima, num_bands=num_bands, num_rows=num_rows)
    return result
