"""Boxes of elements in a stored chunk. Dimensions are in physical order here, from the outermost to the innermost."""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from torch import Tensor

Sizes = tuple[int, ...]


class Region(NamedTuple):
    """The elements `offsets[d] <= i[d] < offsets[d] + lengths[d]` of a chunk of the shape `shape`; not empty."""

    shape: Sizes
    offsets: Sizes
    lengths: Sizes

    @property
    def strides(self) -> Sizes:
        """Of the chunk, in elements."""
        return tuple(math.prod(self.shape[dim + 1 :]) for dim in range(len(self.shape)))

    @property
    def first(self) -> int:
        """The element of the chunk with which the region begins."""
        return _dot(self.offsets, self.strides)

    @property
    def span(self) -> int:
        """Elements of the chunk from the first to the last one of the region."""
        return _dot((length - 1 for length in self.lengths), self.strides) + 1

    @property
    def is_run(self) -> bool:
        """Whether the region is all of its span."""
        return self.span == math.prod(self.lengths)

    def split(self, limit: int) -> Iterator["Region"]:
        """The region in parts whose spans are at most `limit` elements, in the order of the chunk."""
        if self.span <= limit:
            yield self
            return
        dim = next(dim for dim, length in enumerate(self.lengths) if length > 1)
        step = max(1, limit // self.strides[dim])
        for start in range(0, self.lengths[dim], step):
            offsets, lengths = list(self.offsets), list(self.lengths)
            offsets[dim] += start
            lengths[dim] = min(step, lengths[dim] - start)
            yield from Region(self.shape, tuple(offsets), tuple(lengths)).split(limit)

    def select(self, tensor: Tensor, whole: "Region") -> Tensor:
        """The view of this part in a tensor that holds the region `whole`."""
        for dim, (offset, start, length) in enumerate(zip(self.offsets, whole.offsets, self.lengths, strict=True)):
            tensor = tensor.narrow(dim, offset - start, length)
        return tensor


def _dot(left: Iterable[int], right: Iterable[int]) -> int:
    return sum(a * b for a, b in zip(left, right, strict=True))
