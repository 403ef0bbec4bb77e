"""Arrow arrays of strings as the core reads them: where they lie, without pyarrow being imported for it."""

from collections.abc import Iterable, Iterator
from typing import Any

from mithril._native import core

__all__ = ["described", "texts_of_arrays"]


def texts_of_arrays(arrays: Iterable[Any]) -> core.Texts:
    """The strings of arrays of type string or large_string, where they lie; null is an empty text."""
    return core.texts_from_arrow(list(described(arrays)))


def described(arrays: Iterable[Any]) -> Iterator[tuple[Any, Any, Any, int, int, bool]]:
    """What the core knows an array by: offsets, data, validity, begin, length, and whether offsets have 64 bits."""
    for array in arrays:
        if len(array):  # one of no rows may have no offsets
            validity, offsets, data = array.buffers()
            wide = str(array.type) == "large_string"
            yield offsets, data, validity if array.null_count else None, array.offset, len(array), wide
