"""The transforms float_keys and nonzero_keys (docs/format.md, 6.4): the split, and the join that undoes it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .planes import Dtype


MASK_BITS = 2


class Form(NamedTuple):
    """What a parameter says: mantissa bits in a key, whether all signs are 0, and the key that v numbers from."""

    j: int
    unsigned: int = 0
    base: int = 0

    def parameter(self) -> int:
        return self.j | self.unsigned << 2 | self.base << 3

    def fits(self, dtype: "Dtype") -> bool:
        if self.j > 2 or (self.unsigned and (dtype.mantissa - self.j + 1) % 8 == 1):
            return False
        bits = dtype.exponent + self.j
        return self.base + 256 <= 1 << bits if bits > 8 else self.base == 0


def form_of(parameter: int) -> Form:
    return Form(parameter & 3, parameter >> 2 & 1, parameter >> 3)


def key_bits(form: Form, dtype: "Dtype") -> list[int]:
    """symbol_bits of each plane, without the mask."""
    t, rest = dtype.exponent + form.j, dtype.mantissa - form.j + 1
    top, high = [rest % 8] if rest % 8 else [], [t - 8] if t > 8 else []
    bits = [*top, *[8] * (rest // 8), *high, min(t, 8)]
    return [bits[0] - form.unsigned, *bits[1:]]


def split_keys(components: Sequence[int], form: Form, dtype: "Dtype") -> list[list[int]]:
    j, low = form.j, dtype.mantissa - form.j
    rests = [(x >> dtype.exponent + dtype.mantissa) << low | x % (1 << low) for x in components]
    assert not form.unsigned or not any(r >> low for r in rests), "there are signs"
    bits = dtype.exponent + j
    keys = [key_of(x >> low & (1 << bits) - 1, form.base, bits) for x in components]
    planes, position = [], low + 1
    for width in key_bits(Form(j), dtype)[: -2 if bits > 8 else -1]:
        position -= width
        planes.append([r >> position & (1 << width) - 1 for r in rests])
    if bits > 8:
        planes.append([v // 256 for v in keys])
    return [*planes, [v % 256 for v in keys]]


def key_of(t: int, base: int, bits: int) -> int:
    if bits <= 8:
        return t
    if t == 0:
        return 255
    u = (t - 1 - base) % ((1 << bits) - 1)
    return u if u < 255 else u + 1


def join_keys(planes: Sequence[bytes], form: Form, dtype: "Dtype") -> Iterator[int]:
    """The components."""
    low, bits = dtype.mantissa - form.j, dtype.exponent + form.j
    turn = (1 << bits) - 1
    high = planes[-2] if bits > 8 else bytes(len(planes[-1]))
    rests = planes[: -2 if bits > 8 else -1]
    for i, key in enumerate(planes[-1]):
        r = rests[0][i]
        for plane in rests[1:]:
            r = r << 8 | plane[i]
        v = 256 * high[i] + key
        if bits <= 8:
            t = v
        elif v == 255:
            t = 0
        else:
            t = ((v if v < 255 else v - 1) + form.base) % turn + 1
        yield (r >> low) << dtype.exponent + dtype.mantissa | t << low | r % (1 << low)


def split_mask(components: Sequence[int], dtype: "Dtype") -> tuple[list[int], list[int]]:
    """The mask, and the components that are not zero."""
    minus_zero = 1 << dtype.exponent + dtype.mantissa
    mask = [{0: 0, minus_zero: 2}.get(x, 1) for x in components]
    return mask, [x for x, m in zip(components, mask, strict=True) if m == 1]


def spread(components: Iterable[int], mask: bytes, dtype: "Dtype") -> Iterator[int]:
    """The components where the mask is 1, and elsewhere zero of the sign that it says."""
    following, minus_zero = iter(components), 1 << dtype.exponent + dtype.mantissa
    return (next(following) if m == 1 else minus_zero if m == 2 else 0 for m in mask)
