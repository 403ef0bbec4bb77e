"""Files against an index of earlier runs: what explains a removal may be a document that is no longer there."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt

from mithril._errors import InvalidArgumentError
from mithril.dedup._formats._corpus import Corpus
from mithril.dedup._index import Index
from mithril.dedup._result import NONE, DedupResult, result_of

__all__ = ["deduplicate_corpus", "restored_on_error"]

_ID = re.compile(r"(.+):(\d+)", re.DOTALL)


@contextmanager
def restored_on_error(index: Index | None) -> Iterator[None]:
    """When what is done inside fails, the index knows what it knew before: what is known must be in the outputs."""
    before = None if index is None else index._index.now()
    try:
        yield
    except BaseException:
        if index is not None and before is not None:
            index._index.restore(before)
        raise


def deduplicate_corpus(corpus: Corpus, index: Index, progress: Callable[[str, int, int], None]) -> DedupResult:
    """Remove what has a near duplicate in the index or earlier in the corpus, and add the rest to the index.

    In the result the documents of the index that explain a removal are numbered from `len(corpus)` on, and the corpus
    knows where they lay. Their ids in the index are `file:row`.

    Raises:
        InvalidArgumentError: The index was not made from files, or stores no texts although they are to decide.
        CorruptError: A text is not UTF-8, or the file of the index is damaged.
    """
    before, documents = len(index), np.arange(len(corpus), dtype=np.int64)
    ids = (corpus.names, *corpus.places(documents))
    numbers, similarities, empty, _, counts = index._index.deduplicate(corpus.texts, ids, None, progress)
    found = numbers != NONE
    # The index numbers what it takes in the order of the corpus.
    added = np.flatnonzero(~found & (empty == 0))
    earlier, places = np.unique(numbers[found & (numbers < before)], return_inverse=True)
    corpus.add_earlier(_places_of(index, earlier.astype(np.uint32)))
    removed_by = np.full(len(corpus), NONE, np.uint32)
    removed_by[found & (numbers < before)] = len(corpus) + places
    here = found & (numbers >= before)
    removed_by[here] = added[numbers[here] - before]
    if index.config.empty == "remove":
        removed_by[empty != 0] = documents[empty != 0]
    return result_of(removed_by, similarities, counts, 0.0)


def _places_of(index: Index, numbers: npt.NDArray[np.uint32]) -> list[tuple[str, int]]:
    """File and row of documents of the index."""
    places = []
    for id in index._index.ids(numbers):
        match = _ID.fullmatch(id) if isinstance(id, str) else None
        if match is None:
            raise InvalidArgumentError(f"the index has a document {id!r}: it was not made from files")
        places.append((match[1], int(match[2])))
    return places
