"""Deterministic element bytes of every dtype, in plain Python."""

import math
import struct
from functools import lru_cache

from .planes import Dtype

KINDS = ("trained", "special", "random", "constant", "integers")


class Lcg:
    """Knuth's MMIX generator; the same numbers everywhere and for ever."""

    def __init__(self, seed: int) -> None:
        self.state = seed

    def bits(self, count: int) -> int:
        """The upper `count` bits of the next state, at most 32."""
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        return self.state >> 64 - count

    def normal(self) -> float:
        """Nearly gaussian, of standard deviation 1: a sum of twelve uniform numbers."""
        return sum(self.bits(32) for _ in range(12)) / 2**32 - 6


def float_bits(value: float, dtype: Dtype) -> int:
    """The nearest smaller number of the dtype, as bits; denormals become zero, what is too large the largest exponent
    but one; infinity and NaN have the bits that they have in IEEE types."""
    sign = 1 << dtype.exponent + dtype.mantissa if math.copysign(1, value) < 0 else 0
    if value == 0:
        return sign
    if not math.isfinite(value):
        return sign | (1 << dtype.exponent) - 1 << dtype.mantissa | math.isnan(value)
    fraction, power = math.frexp(abs(value))  # fraction in [0.5, 1)
    exponent = power - 1 + (1 << dtype.exponent - 1) - 1
    if exponent < 1:
        return sign
    mantissa = int((2 * fraction - 1) * (1 << dtype.mantissa))
    return sign | min(exponent, (1 << dtype.exponent) - 2) << dtype.mantissa | mantissa


def special_bits(dtype: Dtype) -> list[int]:
    """Zeros, denormals, the largest and the smallest numbers, infinities and NaNs with payloads, of both signs."""
    one, top = 1 << dtype.mantissa, (1 << dtype.exponent) - 1 << dtype.mantissa
    positive = [0, 1, one - 1, one, one + 1, top - 1, top, top + 1, top | one >> 1, top | one >> 1 | 1, top + one - 1]
    return positive + [bits | 1 << dtype.exponent + dtype.mantissa for bits in positive]


def sample(dtype: Dtype, numel: int, kind: str, seed: int = 1) -> bytes:
    """The bytes of `numel` elements. trained: like weights; special: weights between odd values; random: any bits;
    constant: one component repeated; integers: small numbers, as integers or as floats."""
    lcg, width = Lcg(seed), dtype.component
    count = numel * dtype.size // width

    def component() -> int:
        if kind == "random":
            return lcg.bits(32) << 32 | lcg.bits(32)
        if not dtype.exponent:
            return int(lcg.normal() * (1000 if kind == "trained" else 3))
        return float_bits(float(int(lcg.normal() * 3)) if kind == "integers" else lcg.normal() / 32, dtype)

    if dtype.name == "bool":
        components = [lcg.bits(1) for _ in range(count)]
    elif kind == "constant":
        components = [component()] * count
    else:
        components = [component() for _ in range(count)]
    if kind == "special" and dtype.exponent:
        specials = special_bits(dtype)
        components = [specials[i // 3 % len(specials)] if i % 3 == 0 else x for i, x in enumerate(components)]
    return b"".join((x % (1 << 8 * width)).to_bytes(width, "little") for x in components)


CONTENTS = ("normal", "masked", "few values", "outliers", "two scales", "rows", "widened", "blank half", "squares")


@lru_cache
def numbers(kind: str, count: int) -> tuple[float, ...]:
    """Contents that an encoder codes in different ways, as numbers; outliers are also what is no number."""
    lcg = Lcg(len(kind))
    normal = [lcg.normal() / 2 for _ in range(count)]
    if kind == "masked":
        return tuple(x if lcg.bits(8) < 80 else math.copysign(0.0, x) for x in normal)
    if kind == "few values":
        return tuple((0.5, -0.25, 0.125, 3.0, 7.0, -1.5)[lcg.bits(16) % 6] for _ in normal)
    if kind == "outliers":
        odd = {0: 1e6, 200: math.inf, 400: math.nan, 600: -1e-6, 800: -math.inf}
        return tuple(odd.get(i % 1000, x) for i, x in enumerate(normal))
    if kind == "two scales":
        return tuple(x * 300 if i >= count // 2 else x for i, x in enumerate(normal))
    if kind == "rows":  # of 9, like those of a convolution, but of scales far apart
        scales = [2.0 ** lcg.bits(3) for _ in range(count // 9 + 1)]
        return tuple(x * scales[i // 9] for i, x in enumerate(normal))
    if kind == "widened":  # from float16
        return tuple(struct.unpack("<e", struct.pack("<e", x))[0] for x in normal)
    if kind == "blank half":
        return tuple(0.0 if count // 4 <= i < 3 * count // 4 else x for i, x in enumerate(normal))
    if kind == "squares":
        return tuple(x * x for x in normal)
    return tuple(normal)


def content(dtype: Dtype, numel: int, kind: str) -> bytes:
    """`numel` elements of a dtype of floats."""
    count = numel * dtype.size // dtype.component
    return b"".join(float_bits(x, dtype).to_bytes(dtype.component, "little") for x in numbers(kind, count))
