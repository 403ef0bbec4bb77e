"""An index of documents that were kept: later texts are compared with it, today's process or another's."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mithril._errors import InvalidArgumentError
from mithril._native import core
from mithril.dedup._config import DedupConfig
from mithril.dedup._formats._inputs import real_target
from mithril.dedup._options import options_of
from mithril.dedup._result import NONE, DedupStats, stats_of
from mithril.dedup._texts import texts_of

__all__ = ["Index", "IndexMatches", "IndexResult"]

_Path = str | os.PathLike[str]
_Ids = Sequence[int] | Sequence[str] | NDArray[np.integer[Any]]


@dataclass(frozen=True)
class IndexMatches:
    """Near duplicates in an index, sorted by text, then by their order in the index."""

    positions: NDArray[np.int64]
    """Of the texts that were asked for."""
    ids: NDArray[Any]
    """Of the documents in the index: int64, or str as objects."""
    similarities: NDArray[np.float32]
    """Exact, or estimated with `verify=False`."""


@dataclass(frozen=True)
class IndexResult:
    """Which texts stay. Positions are those in what was given."""

    keep_indices: NDArray[np.int64]
    remove_indices: NDArray[np.int64]
    removed_by: NDArray[Any]
    """Ids of the documents that explain the removals, in the order of `remove_indices`. An empty text has its
    own, or after `remove_known` its position."""
    similarities: NDArray[np.float32]
    """Of removed text and explaining document; 0 for empty texts."""
    stats: DedupStats


class Index:
    """Documents that were kept, to be found again: grows by batches, is saved to one file, and need not fit in memory.

    ```python
    index = Index(DedupConfig(threshold=0.85))
    for batch in batches:
        kept = index.deduplicate(batch).keep_indices
    index.save("corpus.index")

    index = Index.open("corpus.index")  # mapped: only what is looked at is read
    fresh = index.remove_known(texts).keep_indices
    ```

    Documents stand in the order in which they were added: that is the order of preference. `deduplicate` on batches,
    one after the other, keeps what `Deduplicator` would keep of all of them at once, whatever the batches and threads;
    only where more than 128 documents share a key ("full bucket", `left_out`) the two may differ. Texts without words
    are never in the index. Methods may be called from several threads.

    By default the index stores the texts as they are, so that it can verify exactly by itself. That takes the bytes of
    the texts, about what their shingles would take as 64-bit hashes (8 bytes a word), and serves any version; in an
    opened file they cost no memory until they are compared. With `store_texts=False` the texts must be given again as
    `known`, or `verify=False` lets the sketches decide, which is approximate.

    The rest is some 230 bytes a document at 16 bands and 128 permutations. Additions in memory are merged now and then,
    which for a moment takes twice their memory.
    """

    def __init__(self, config: DedupConfig | None = None, *, store_texts: bool = True) -> None:
        """An empty index.

        Args:
            config: `clusters` must be "star" and `keep` "first": what is in the index stays.
            store_texts: Whether to store texts for exact verification.

        Raises:
            InvalidArgumentError: The config asks for what an index cannot do.
        """
        self.config = config or DedupConfig()
        self.store_texts = store_texts
        for name, only in (("clusters", "star"), ("keep", "first")):
            if getattr(self.config, name) != only:
                raise InvalidArgumentError(
                    f"{name} is {getattr(self.config, name)!r}: an index removes what comes later, {name}={only!r} only"
                )
        self._index = core.DedupIndex(options_of(self.config), store_texts=store_texts)

    @classmethod
    def open(cls, path: _Path, config: DedupConfig | None = None) -> "Index":
        """Map a saved index: ready at once, and only what is looked at is read. Additions stay in memory until `save`.

        Header, directory and sizes are checked now, the rest where it is used; `check` reads everything. The file may
        be replaced, by `save` too, but must not be written to or cut while it is mapped.

        Args:
            path: What `save` wrote.
            config: Options from now on; by default those that the index was made with. What decides about sketches must
                be the same; `threshold`, `measure` and `verify` may differ.

        Raises:
            CorruptError, TruncatedError: The file is damaged. The message names field and offset.
            UnsupportedError: It was written by a later version, or its sketches are made in another way.
            InvalidArgumentError: The config does not fit the index.
            StorageError: It cannot be read.
        """
        return cls._from_file(path, config, mapped=True)

    @classmethod
    def load(cls, path: _Path, config: DedupConfig | None = None) -> "Index":
        """Read a saved index into memory, and check all of it. Arguments and errors are those of `open`."""
        return cls._from_file(path, config, mapped=False)

    @classmethod
    def _from_file(cls, path: _Path, config: DedupConfig | None, *, mapped: bool) -> "Index":
        parameters = core.index_parameters(os.fspath(path))
        store_texts = parameters.pop("store_texts")
        index = cls(config or DedupConfig(**parameters), store_texts=store_texts)
        index._index.attach(os.fspath(path), mapped=mapped)
        return index

    def __len__(self) -> int:
        return len(self._index)

    @property
    def seen(self) -> int:
        """Texts that were given to the index so far: automatic ids go on from here."""
        seen: int = self._index.seen
        return seen

    @property
    def left_out(self) -> int:
        """Pairs of a document and a band in which it cannot be found, since 128 earlier ones have its key there."""
        left_out: int = self._index.left_out
        return left_out

    def add(self, texts: Any, *, ids: _Ids | None = None, column: str = "text") -> int:
        """Add texts as they are, near duplicates too; returns how many, which are those with words.

        Args:
            texts: What `Deduplicator.deduplicate` takes.
            ids: What to call them: integers or str, the same kind in the whole index. They need not be unique. By
                default the position among all texts that were given to the index so far.
            column: The column of texts where there are several.

        Raises:
            InvalidArgumentError: The ids are of another kind than before, or not as many as texts.
            CorruptError: A text is not UTF-8. Nothing was added.
        """
        before = len(self)
        self._index.add(texts_of(texts, column), _ids_of(ids))
        return len(self) - before

    def query(self, texts: Any, *, known: Any = None, column: str = "text") -> IndexMatches:
        """All near duplicates of each text, up to 128 of the same key in a band.

        Args:
            texts: What `Deduplicator.deduplicate` takes.
            known: Only for `store_texts=False` with `verify=True`: the indexed texts, all in the order of the index, or
                a function from an id to its text.
            column: The column of texts where there are several.

        Raises:
            InvalidArgumentError: `known` is missing or has another length.
            CorruptError: A text is not UTF-8, or the mapped file is damaged.
        """
        offsets, numbers, similarities = self._index.query(texts_of(texts, column), self._known(known))
        counts = (offsets[1:] - offsets[:-1]).astype(np.int64)
        positions = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
        return IndexMatches(positions, self._ids_at(numbers), similarities)

    def deduplicate(
        self,
        texts: Any,
        *,
        ids: _Ids | None = None,
        known: Any = None,
        column: str = "text",
        progress: Callable[[str, int, int], None] | None = None,
    ) -> IndexResult:
        """Remove texts with a near duplicate in the index or earlier among `texts`; add the others to the index.

        Args and errors are those of `add` and `query`; `progress` is called with a stage ("sketch", "look up",
        "match"), the texts done and all of them. When it raises, nothing is added.
        """
        start, given = time.perf_counter(), _ids_of(ids)
        answer = self._index.deduplicate(texts_of(texts, column), given, self._known(known), progress)
        return self._result(answer, given, start)

    def remove_known(self, texts: Any, *, known: Any = None, column: str = "text") -> IndexResult:
        """Remove texts that have a near duplicate in the index, and nothing else; nothing is added.

        Args and errors are those of `query`.
        """
        start = time.perf_counter()
        return self._result(self._index.remove_known(texts_of(texts, column), self._known(known)), None, start)

    def merge(self, other: "Index") -> None:
        """Append all documents of another index, which stays as it is. Near duplicates between the two stay as well.

        Ids stay as they are; automatic ones go on from those here, as if the texts had been given to this index.

        Raises:
            InvalidArgumentError: The two make sketches in different ways, or have ids of different kinds.
        """
        self._index.merge(other._index)

    def save(self, path: _Path) -> None:
        """Write the index as one file, which appears whole or not at all (docs/dedup-index-format.md).

        Takes little memory beyond the index. The same documents give the same bytes, however they came here. Of a link
        the file that it leads to is replaced.

        Raises:
            StorageError: The file cannot be written. What was there before stays.
        """
        self._index.save(os.fspath(real_target(Path(path))))

    def check(self) -> None:
        """Read all that is held, and raise CorruptError where a checksum, an order or a number is wrong."""
        self._index.check()

    def _known(self, known: Any) -> Any:
        if known is None:
            return None
        if callable(known):
            return core.FetchedTexts(lambda number: self._fetch(known, number), len(self))
        return texts_of(known)

    def _fetch(self, known: Callable[[Any], str], number: int) -> bytes:
        id = self._index.ids(np.array([number], np.uint32))[0]
        text = known(id)
        if not isinstance(text, str):
            raise InvalidArgumentError(f"known: of id {id!r} it gives a {type(text).__name__}, not a str")
        return text.encode("utf-8", "surrogatepass")  # the core refuses a lone surrogate, with its place

    def _ids_at(self, numbers: NDArray[np.uint32]) -> NDArray[Any]:
        ids = self._index.ids(numbers)
        return np.array(ids, dtype=object) if self._index.ids_are_texts else ids

    def _result(self, answer: tuple[Any, ...], given: Any, start: float) -> IndexResult:
        numbers, similarities, empty, first, counts = answer
        found = np.flatnonzero(numbers != NONE)
        removed = numbers != NONE
        if self.config.empty == "remove":
            removed |= empty != 0
        own = np.arange(first, first + len(numbers)) if given is None else np.asarray(given)
        by = own.astype(object if self._index.ids_are_texts else np.int64)
        by[found] = self._ids_at(numbers[found])
        stats = stats_of(removed, len(np.unique(numbers[found])), counts, time.perf_counter() - start)
        return IndexResult(np.flatnonzero(~removed), np.flatnonzero(removed), by[removed], similarities[removed], stats)


def _ids_of(ids: _Ids | None) -> Any:
    """None, int64, or a list of str."""
    if ids is None:
        return None
    if not hasattr(ids, "__len__") or isinstance(ids, (str, bytes)):
        raise InvalidArgumentError(f"ids is a {type(ids).__name__}, not a sequence")
    if all(isinstance(value, str) for value in ids) and len(ids):
        for value in ids:
            try:
                str(value).encode()
            except UnicodeEncodeError as error:
                raise InvalidArgumentError(
                    f"id {value!r} cannot be encoded as UTF-8: character {error.start}"
                ) from None
        return list(ids)
    try:
        numbers = np.asarray(ids)
    except (TypeError, ValueError) as error:
        raise InvalidArgumentError(f"ids are neither integers nor str: {error}") from None
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
        raise InvalidArgumentError("ids are neither integers nor str")
    if numbers.size and int(numbers.max()) > np.iinfo(np.int64).max:
        raise InvalidArgumentError(f"ids: {numbers.max()} is not a 64-bit integer")
    return numbers.astype(np.int64)
