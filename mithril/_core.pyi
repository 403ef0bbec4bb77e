"""The native core: archives without torch. Private; the public names are in `mithril`.

Buffers are objects with the buffer protocol (C-contiguous) or with `__dlpack__` on the CPU (contiguous): bytes,
bytearray, memoryview, NumPy arrays, torch tensors. They are read and written without a copy, and the GIL is released.
All errors are subclasses of `mithril.MithrilError`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Buffer = Any

zstd_version: Final[int]

def dtypes() -> list[tuple[str, int, int]]:
    """The dtype table: (name, wire id, bytes per element)."""

def default_threads() -> int:
    """Threads used when none are asked for, at least 1.

    `MITHRIL_NUM_THREADS`, else the cores that this process may use ÷ `LOCAL_WORLD_SIZE`.
    """

def isa() -> str:
    """The kernels in use: "scalar", "avx2" or "avx512"; `MITHRIL_FORCE_ISA` forces one."""

class Part:
    """A piece of an archive in a pooled buffer, which returns to the pool when the part and all views of it are gone.

    Read-only buffer protocol: `memoryview(part)`.
    """

    @property
    def size(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

class OutputFile:
    """A file that appears whole or not at all: temporary file, write, fsync, rename, fsync of the folder."""

    def __init__(self, path: str, *, sync: bool = True, overwrite: bool = True) -> None: ...
    @property
    def bytes_written(self) -> int: ...
    def write(self, data: Buffer) -> None: ...
    def commit(self) -> None:
        """Publish. With `overwrite=False` an existing file is an error, also when it appeared in the meantime."""
    def abort(self) -> None:
        """Remove the temporary file; a no-op after `commit`. Also called when the object is dropped."""

class ArchiveWriter:
    """Compresses tensors into an archive that is pulled in parts. Memory stays bounded by the parts in flight."""

    def __init__(
        self,
        *,
        zstd_level: int = 3,
        split: bool = True,
        block_bytes: int = 524288,
        threads: int = 0,
    ) -> None:
        """`split=False` codes raw bytes without byte planes or float fields. `threads=0` means `default_threads()`."""
    def add(
        self,
        name: str,
        data: Buffer,
        dtype: str,
        shape: Sequence[int],
        *,
        dim_order: Sequence[int] | None = None,
        kind: str = "tensor",
    ) -> int:
        """Enter a "tensor", a plain "value" or a "foreign" blob; returns its number in the index.

        `data` holds the elements in physical order (see dim_order) and is referenced, unchanged, until its bytes have
        been pulled. Raises on a duplicate name, an unknown dtype, or a size that is not that of the shape.
        """
    def add_alias(self, name: str, target: int) -> int:
        """Enter another name for the earlier tensor `target`."""
    def finish(self, metadata: Mapping[str, str] = ...) -> None:
        """No more tensors: what is still to come ends with index and footer."""
    def next_part(self, size: int) -> Part | None:
        """The next `size` bytes of the archive, fewer only at its end; None when there are not that many yet."""
    def drain(self, file: OutputFile) -> None:
        """Compress and write all that was added so far."""
    @property
    def pending_bytes(self) -> int:
        """Raw bytes that were added and not yet pulled."""
    @property
    def raw_bytes(self) -> int:
        """Raw bytes added so far, without aliases."""
    @property
    def archive_size(self) -> int:
        """Bytes pulled so far: the size of the archive once all is pulled."""
    @property
    def content_id(self) -> str:
        """Content id of the archive, 32 hexadecimal digits; after `finish` and once all is pulled."""

class Entry:
    """One entry of an archive's index."""

    @property
    def name(self) -> str: ...
    @property
    def kind(self) -> str:
        """ "tensor", "alias", "value" or "foreign"."""
    @property
    def dtype(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dim_order(self) -> tuple[int, ...]: ...
    @property
    def raw_size(self) -> int:
        """Bytes of the elements."""
    @property
    def stored_size(self) -> int:
        """Bytes of the frame in the archive, table and padding included; 0 for an alias."""
    @property
    def frame_offset(self) -> int: ...
    @property
    def content_id(self) -> str: ...
    @property
    def target(self) -> int | None:
        """For an alias the number of the entry that holds the data."""

class ReadStats:
    @property
    def bytes_read(self) -> int:
        """Bytes fetched from the file for tables and blocks."""
    @property
    def blocks_decoded(self) -> int: ...

class ReadPlan:
    """Ranges to fetch for a set of reads; each range, once fed, is decoded into the outputs."""

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """(offset, size), ascending; neighbours are joined up to a few MiB."""
    def feed(self, range: int, data: Buffer) -> None: ...
    def finish(self) -> ReadStats:
        """Raises if a range was not fed."""

class ArchiveReader:
    @staticmethod
    def open(path: str) -> ArchiveReader:
        """Read and check header, footer and index."""
    @staticmethod
    def from_buffer(data: Buffer) -> ArchiveReader: ...
    def __len__(self) -> int: ...
    def names(self) -> list[str]: ...
    def entry(self, number: int) -> Entry: ...
    def find(self, name: str) -> int:
        """Number of an entry; raises NotFoundError."""
    def metadata(self) -> dict[str, str]: ...
    @property
    def archive_size(self) -> int: ...
    @property
    def content_id(self) -> str: ...
    def check(self, number: int) -> None:
        """Read and check the entry's table: after it, the size of the data is known to be honest."""
    def plan(self, requests: Sequence[tuple[int, Buffer, int, int]]) -> ReadPlan:
        """(entry, output, first element, end element), elements counted in physical order; aliases are followed."""
    def read(self, requests: Sequence[tuple[int, Buffer, int, int]], *, threads: int = 0) -> ReadStats:
        """Plan, fetch and decode; blocks shared by several requests are read once."""
    def read_bytes(self, number: int, *, threads: int = 0) -> bytes:
        """The raw bytes of an entry, in physical order, in a new object."""
    def verify(self, *, decode: bool = False, threads: int = 0) -> ReadStats:
        """Check every byte of the archive against its checksum; with `decode` also decode every block."""

def compress(
    data: Buffer,
    dtype: str,
    shape: Sequence[int],
    *,
    zstd_level: int = 3,
    split: bool = True,
    block_bytes: int = 524288,
    threads: int = 0,
) -> bytes:
    """An archive with one tensor of empty name."""

def compress_into(
    data: Buffer,
    dtype: str,
    shape: Sequence[int],
    out: Buffer,
    *,
    zstd_level: int = 3,
    split: bool = True,
    block_bytes: int = 524288,
    threads: int = 0,
) -> int:
    """The same at the begin of `out`, which has compress_bound() bytes or more; returns its size in bytes."""

def compress_bound(elements: int, dtype: str, *, block_bytes: int = 524288) -> int:
    """Bytes that an archive of so many elements has at most."""

class Removed:
    """What was removed."""

    @property
    def files(self) -> int: ...
    @property
    def bytes(self) -> int: ...

class Census:
    """What a store holds. `bytes` and `files` are totals of all below the root, inodes and quarantine included."""

    @property
    def objects(self) -> int: ...
    @property
    def records(self) -> int: ...
    @property
    def quarantined(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def files(self) -> int: ...

class ObjectStore:
    """Files named by digests, in two trees, "objects" and "records"; shared by processes and threads, within a quota.

    The caller computes digests and checks what is read. Names are 64 lower-case hexadecimal digits.
    """

    def __init__(self, root: str, *, max_bytes: int = 0, max_files: int = 0, read_only: bool = False) -> None:
        """Makes the root with mode 0700 unless `read_only`; its parent must exist. 0 is no quota."""
    def put(self, tree: str, name: str, data: Buffer) -> bool:
        """False when an object of that name and size was there. Raises StorageError and leaves nothing then."""
    def read(self, tree: str, name: str, *, max_size: int = 8589934592, touch: bool = True) -> bytes | None:
        """None when absent or not readable for this user. Raises CorruptError for what is no regular file or too large,
        TruncatedError when it is cut meanwhile, StorageError."""
    def size(self, tree: str, name: str) -> int | None: ...
    def remove(self, tree: str, name: str) -> bool: ...
    def quarantine(self, tree: str, name: str) -> bool:
        """Move a damaged file aside; False when that cannot be."""
    def names(self, tree: str, first: int) -> list[str]:
        """The names that begin with this byte, ascending."""
    def census(self) -> Census: ...
    def gc(self) -> Removed:
        """Remove old temporary and quarantined files, strays and empty folders; evict to the quota; count anew."""
    def clear(self) -> None: ...

# --- dedup: texts in memory ---

class Texts:
    """Texts that can be asked for by their number, from any thread."""

    def __len__(self) -> int: ...
    def text(self, i: int) -> str: ...

def texts_from_list(texts: Sequence[str | None]) -> Texts: ...
def texts_from_arrow(chunks: list[tuple[Buffer, Buffer | None, Buffer | None, int, int, bool]]) -> Texts:
    """Of each chunk: offsets, data, validity, first row, rows, and whether offsets have 64 bits. Nothing is copied."""

class DedupOptions:
    """Checked options; `bands` 0 lets them be chosen."""

    def __init__(
        self,
        *,
        threshold: float,
        permutations: int,
        ngram_size: int,
        bands: int,
        rows: int,
        measure: str,
        verify: bool,
        clusters: str,
        form: str,
        fold_case: bool,
        ignore_punctuation: bool,
        empty: str,
        seed: int,
        threads: int,
    ) -> None: ...
    @property
    def bands(self) -> int: ...
    @property
    def rows(self) -> int: ...
    @property
    def permutations(self) -> int: ...
    def candidate_probability(self, similarity: float) -> float:
        """That a pair of this Jaccard similarity agrees in a band."""

def deduplicate(
    texts: Texts,
    options: DedupOptions,
    order: NDArray[np.uint32] | None,
    progress: Callable[[str, int, int], None] | None,
) -> tuple[NDArray[np.uint32], NDArray[np.float32], dict[str, int]]:
    """Of each document, the kept one that explains its removal (0xffffffff: it is kept) and their similarity."""

def sketch(
    texts: Texts, options: DedupOptions, start: int, stop: int
) -> tuple[NDArray[np.uint32], NDArray[np.uint8], NDArray[np.uint64], NDArray[np.bool_]]:
    """Keys [n, bands], digests [n, permutations / 2], hashes [n, 2] and emptiness [n] of some of the texts."""

def sizes_and_hashes(texts: Texts, threads: int) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Bytes [n] and 128-bit XXH3 [n, 2] of the texts."""

def compare_pairs(
    texts_a: Texts, texts_b: Texts, a: NDArray[np.uint32], b: NDArray[np.uint32], options: DedupOptions
) -> NDArray[np.float32]:
    """Exact similarity of texts_a[a[i]] to texts_b[b[i]]."""

def similarity(a: str | bytes, b: str | bytes, options: DedupOptions) -> float: ...
def estimate(a: str | bytes, b: str | bytes, options: DedupOptions) -> float: ...

# --- dedup: indexes ---

class FetchedTexts(Texts):
    """Texts that `fetch(number)` gives one by one."""

    def __init__(self, fetch: Callable[[int], str | bytes], count: int) -> None: ...

_Removals = tuple[NDArray[np.uint32], NDArray[np.float32], NDArray[np.uint8], int, dict[str, int]]

# `file:row` may be given as names of files, and of each document the number of its file and its row.
_DocumentIds = NDArray[np.int64] | list[str] | tuple[list[str], NDArray[np.uint32], NDArray[np.uint64]] | None

class DedupIndexState:
    """What an index held at a time."""

class DedupIndex:
    """Documents in segments, in memory and in mapped files; numbered in the order in which they were added."""

    def __init__(self, options: DedupOptions, *, store_texts: bool) -> None: ...
    def __len__(self) -> int: ...
    @property
    def seen(self) -> int:
        """Texts given so far."""
    @property
    def left_out(self) -> int:
        """(document, band) pairs that are missing because a bucket was full."""
    @property
    def ids_are_texts(self) -> bool: ...
    def add(self, texts: Texts, ids: _DocumentIds) -> None: ...
    def query(
        self, texts: Texts, known: Texts | None
    ) -> tuple[NDArray[np.uint64], NDArray[np.uint32], NDArray[np.float32]]:
        """Where the matches of each text begin, and one end more; their numbers; their similarities."""
    def deduplicate(
        self,
        texts: Texts,
        ids: _DocumentIds,
        known: Texts | None,
        progress: Callable[[str, int, int], object] | None,
    ) -> _Removals:
        """Of each text the number that explains its removal (0xffffffff: kept), the similarity, whether it is empty;
        the texts given before; counts."""
    def remove_known(self, texts: Texts, known: Texts | None) -> _Removals: ...
    def ids(self, numbers: NDArray[np.uint32]) -> Any:
        """int64, or a list of str."""
    def now(self) -> DedupIndexState: ...
    def restore(self, state: DedupIndexState) -> None:
        """Forget what was added since."""
    def merge(self, other: DedupIndex) -> None: ...
    def attach(self, path: str, *, mapped: bool) -> None: ...
    def save(self, path: str) -> None: ...
    def check(self) -> None: ...

def index_parameters(path: str) -> dict[str, Any]:
    """What a saved index was made with, by the names of DedupConfig, and `store_texts`."""

class BloomIndex:
    """A blocked Bloom filter a band."""

    def __init__(self, options: DedupOptions, *, expected_documents: int, false_positive_rate: float) -> None: ...
    @staticmethod
    def load(path: str, *, threads: int) -> BloomIndex: ...
    def __len__(self) -> int: ...
    @property
    def bytes(self) -> int: ...
    @property
    def false_positive_rate(self) -> float:
        """At present."""
    @property
    def parameters(self) -> dict[str, Any]: ...
    def query(self, texts: Texts) -> NDArray[np.uint8]:
        """0 new, 1 known, 2 without words."""
    def deduplicate(self, texts: Texts) -> NDArray[np.uint8]: ...
    def merge(self, other: BloomIndex) -> None: ...
    def save(self, path: str) -> None: ...

# --- csrc/pybind/bind_dedup_pairs.cpp: decisions on pairs that the caller found ---

def compare_digests(
    a: NDArray[np.uint8], b: NDArray[np.uint8], options: DedupOptions
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Of rows of digests [n, permutations / 2] the estimated similarities, and whether the pairs may be near."""

def near_pairs(
    texts_a: Texts, texts_b: Texts, a: NDArray[np.uint32], b: NDArray[np.uint32], options: DedupOptions
) -> NDArray[np.float32]:
    """As compare_pairs, but 0 where the similarity is below the threshold; it stops as soon as that is known."""

# --- dedup: documents in files ---

class MappedFile:
    """A regular file as memory. Whoever cuts it short while it is mapped may end the process."""

    def __init__(self, path: str) -> None: ...
    @property
    def size(self) -> int: ...

class SpillFile:
    """A temporary file without a name, in `folder`."""

    def __init__(self, folder: str) -> None: ...
    def write(self, data: Buffer) -> None: ...
    def finish(self, name: str) -> MappedFile:
        """What was written; `name` stands in messages. Ends the writing."""

class LineTexts(Texts):
    """Documents that are lines of a file, JSON objects or plain text; texts stay in the file, with 8 bytes each here.

    `unmarked` demands that they have none of the fields that write_marked adds; `source` is looked up in `sources`.
    Progress gets the stages "scan" (bytes) and "write" (documents).
    """

    def __init__(
        self,
        file: MappedFile,
        *,
        json: bool = True,
        text: str = "text",
        score: str = "",
        source: str = "",
        sources: Sequence[str] = [],
        unmarked: bool = False,
        skip_faults: bool = False,
        threads: int = 0,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> None:
        """Raises CorruptError or InvalidArgumentError for a faulty line, which the message names with its offset."""
    @property
    def faults(self) -> int:
        """Lines that were set aside."""
    @property
    def scores(self) -> NDArray[np.float64]: ...
    @property
    def sources(self) -> NDArray[np.uint32]:
        """Places in the list of sources; its length for others."""
    def line_numbers(self, indices: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Of documents, from 1."""
    def require_unchanged(self) -> None: ...
    def write_kept(self, to: Any, keep: Buffer, *, progress: Callable[[str, int, int], None] | None = None) -> None:
        """The lines of which `keep`, bool [n], is true, byte for byte; `to` is an OutputFile or has write()."""
    def write_marked(
        self,
        to: Any,
        keep: Buffer,
        kept_file: Buffer,
        kept_row: Buffer,
        similarity: Buffer,
        *,
        names: Sequence[str],
        file: int,
        threads: int = 0,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> None:
        """All lines with keep, cluster_id, kept_id and similarity; bool, uint32, uint64 (0: none), float32 [n]."""
    def write_faults(self, to: Any, name: str) -> None:
        """A line of JSON for each line that was set aside: file (`name`), row, reason, line."""

class TextSpiller:
    """Puts columns of texts into a temporary file without a name, in `folder`."""

    def __init__(self, folder: str) -> None: ...
    def add(self, offsets: Buffer, data: Buffer | None, start: int, count: int, wide: bool) -> None:
        """`count` texts from number `start` of an Arrow array's buffers; `wide`: offsets have 64 bits."""
    def finish(self) -> Texts: ...

def join_texts(parts: Sequence[Texts]) -> Texts: ...
def find_invalid_texts(texts: Texts, *, first_only: bool = False, threads: int = 0) -> list[tuple[int, int]]:
    """The texts that are not UTF-8, in order, and the offset in each; `first_only`: at most one."""

def removal_lines(
    files: Buffer,
    rows: Buffer,
    kept_files: Buffer,
    kept_rows: Buffer,
    explained: Buffer,
    similarities: Buffer,
    *,
    names: Sequence[str],
    first_in_index: int,
) -> bytes:
    """Lines of JSON of the table of removals; from file `first_in_index` on, kept documents are of earlier runs."""

def text_beginning(texts: Texts, i: int, bytes: int) -> str:
    """At most `bytes` of the begin of text `i`, in whole code points."""

MARK_NAMES: Final[list[str]]
"""The fields that annotating adds."""
