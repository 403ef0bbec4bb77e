"""Near-duplicate removal of files: read, deduplicate, write what stays."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from mithril._errors import InvalidArgumentError, StorageError
from mithril._native import core
from mithril.dedup._config import DedupConfig
from mithril.dedup._files_index import deduplicate_corpus, restored_on_error
from mithril.dedup._files_result import FilesResult
from mithril.dedup._formats._corpus import Corpus
from mithril.dedup._formats._documents import Documents, Marks, Memory, ReadOptions
from mithril.dedup._formats._inputs import InputFile, Targets, find_inputs, find_targets
from mithril.dedup._formats._lines import read_lines
from mithril.dedup._formats._parquet import read_parquet
from mithril.dedup._formats._removals import write_removals
from mithril.dedup._formats._staging import Staging
from mithril.dedup._index import Index
from mithril.dedup._options import options_of
from mithril.dedup._preference import preference
from mithril.dedup._result import DedupResult, result_of

__all__ = ["deduplicate_files"]

_Path = str | os.PathLike[str]
_INTERVAL = 0.2  # seconds between two calls of `progress`


def deduplicate_files(
    inputs: _Path | Sequence[_Path],
    output: _Path | None = None,
    *,
    config: DedupConfig | None = None,
    column: str = "text",
    format: Literal["auto", "jsonl", "parquet", "text"] = "auto",
    mode: Literal["remove", "annotate"] = "remove",
    removals: _Path | None = None,
    on_error: Literal["raise", "skip"] = "raise",
    max_memory: int | None = None,
    spill_folder: _Path | None = None,
    score_column: str | None = None,
    source_column: str | None = None,
    source_priority: Sequence[str] | None = None,
    index: Index | None = None,
    index_path: _Path | None = None,
    progress: Callable[[str, int, int | None], None] | None = None,
) -> FilesResult:
    """Remove near duplicates from files, within each and between them.

    Formats: JSON Lines (an object a line; blank lines are skipped; of members of the same name the last counts),
    Parquet (through pyarrow), and text (each line is a document). Lines may be compressed as a whole: .gz, or .zst with
    the package zstandard. Documents are numbered in the order of the inputs, those of a folder or pattern sorted by
    name, and then of the rows. A document's id is `file:row`, the file as it was given or found, rows (lines) from 1.

    Of a file of lines the lines that stay are written byte for byte (blank lines of JSON and a byte order mark are left
    out); of Parquet all columns, in the same row groups, with the same schema and compression. Outputs are written
    beside their places and renamed when all are whole, one after the other, the index last; what ends the run before
    that leaves nothing. With `index` they are synced to the disk, before it is if `index_path` is given; else they are
    not. They take the place of files that are there, of a link that of the file it leads to.

    Memory: about 320 bytes a document, and the column of texts of Parquet files as long as it stays below `max_memory`;
    beyond, it goes to a temporary file without a name. Lines are read where they lie, through a memory map whose pages
    the system may take back; compressed ones are unpacked into such a temporary file. Writing Parquet takes a row group
    at a time. Files must not change meanwhile: that is noticed and an error, but one that somebody cuts short while it
    is read may end the process (SIGBUS).

    Args:
        inputs: Files, folders (with the folders in them) and patterns such as `data/**/*.jsonl`.
        output: A file when the input is one file given by its name, else a folder, in which each output has the name of
            its input. None to write no documents.
        config: What counts as a near duplicate, and which document of a group stays.
        column: The field or column of the text.
        format: The format of all files; "auto" goes by their names.
        mode: "remove" writes the documents that are kept. "annotate" writes all, with fields added: keep, cluster_id
            (the id of the document that stays of its group), kept_id (the id of the one that explains a removal) and
            similarity; not for text. Ids of documents of the index begin with `index:`.
        removals: A table to write, Parquet or JSON Lines by its name: file, row, kept_file, kept_row, kept_in_index,
            similarity of each removed document. With `kept_in_index` the kept document is one of an earlier run, whose
            file may have been another of the same name.
        on_error: What a faulty row does: "raise" ends all. "skip" sets it aside: it is not in the output, and is listed
            with the reason in `<output>.rejected.jsonl`.
        max_memory: Bytes for texts in memory; by default a quarter of what the machine or container has.
        spill_folder: Where temporary files go, by default the system's (TMPDIR).
        score_column: With `keep="score"`, the field or column of numbers.
        source_column: With `keep="source"`, the field or column of sources; by default sources are the `inputs`, in
            their order.
        source_priority: With `source_column`, its values, the most preferred first; all others come after them.
        index: Documents of earlier runs. What is near to one of them is removed as well, and what stays is added, with
            its id; when the run fails, it is again what it was. Nothing else may add to it meanwhile. `config` must be
            that of the index, but for `num_threads`, or None.
        index_path: Where to save the index, as one of the outputs; None: that is the caller's.
        progress: Called a few times a second with a stage, what is done and the total (None: not known): "scan" in
            bytes of the inputs, "match" and "write" in documents; with `index` also "sketch" and "look up".

    Returns:
        Counts, what was written, and which documents are removed and why.

    Raises:
        InvalidArgumentError: Options, names or formats do not fit together, an output is an input, a field is missing,
            of another type, or (to annotate) there already. The message names file and row.
        CorruptError: A row is not JSON or not UTF-8, or a file is damaged or changed meanwhile.
        TruncatedError: A compressed file ends too early.
        StorageError: The system refused a read or a write.
        UnsupportedError: pyarrow or zstandard is not installed.
    """
    start = time.perf_counter()
    config = config or (DedupConfig() if index is None else index.config)
    meter = _Meter(progress)
    _check_choices(format=format, mode=mode, on_error=on_error)
    if index is not None and replace(config, num_threads=index.config.num_threads) != index.config:
        raise InvalidArgumentError("config is not that of the index")
    if index is None and index_path is not None:
        raise InvalidArgumentError("index_path needs an index")
    _check_policy(config, score_column, source_column, source_priority)
    files, single = find_inputs(inputs, None if format == "auto" else format)
    targets = find_targets(files, single, output, removals, index_path)
    if mode == "annotate":
        _check_annotate(files, targets)
    options = ReadOptions(
        column=column,
        score_column=score_column,
        source_column=source_column,
        source_priority=tuple(source_priority or ()),
        unmarked=mode == "annotate",
        skip_faults=on_error == "skip",
        memory=Memory(_memory_limit() if max_memory is None else max_memory),
        spill_folder=os.fspath(spill_folder or tempfile.gettempdir()),
        threads=config.num_threads or 0,
    )
    with Staging() as staging, restored_on_error(index):
        for target in (*targets.outputs, targets.removals, targets.index):
            if target is not None:
                staging.place(target)  # what cannot be written is said before the work begins
        documents, bytes_read = _read(files, options, meter)
        corpus = Corpus(documents)
        result = _deduplicate(corpus, config, meter) if index is None else deduplicate_corpus(corpus, index, meter)
        rows_skipped = sum(part.faults for part in documents)
        if not rows_skipped:
            targets = replace(targets, rejected=None)
        _write(staging, targets, mode, corpus, result, meter)
        if index is not None and targets.index is not None:
            with _written(staging, targets.index) as path:
                index.save(path)
        staging.commit(sync=index is not None, last=targets.index)
    result = replace(result, stats=replace(result.stats, processing_time_secs=time.perf_counter() - start))
    return FilesResult(
        stats=result.stats,
        result=result,
        files=tuple(file.name for file in files),
        outputs=targets.outputs,
        removals=targets.removals,
        rejected=targets.rejected,
        bytes_read=bytes_read,
        rows_skipped=rows_skipped,
        corpus=corpus,
    )


_CHOICES = {
    "format": ("auto", "jsonl", "parquet", "text"),
    "mode": ("remove", "annotate"),
    "on_error": ("raise", "skip"),
}


def _check_choices(**given: str) -> None:
    for name, value in given.items():
        if value not in _CHOICES[name]:
            raise InvalidArgumentError(f"{name} {value!r} is not one of {', '.join(_CHOICES[name])}")


def _check_policy(
    config: DedupConfig, score_column: str | None, source_column: str | None, source_priority: Sequence[str] | None
) -> None:
    if (config.keep == "score") != (score_column is not None):
        raise InvalidArgumentError("keep='score' and score_column go together")
    if (source_column is None) != (source_priority is None):
        raise InvalidArgumentError("source_column and source_priority go together")
    if source_column is not None and config.keep != "source":
        raise InvalidArgumentError("source_column needs keep='source'")


def _check_annotate(files: Sequence[InputFile], targets: Targets) -> None:
    if not targets.outputs:
        raise InvalidArgumentError("mode='annotate' needs an output")
    for file in files:
        if file.format == "text":
            raise InvalidArgumentError(f"{file.name}: plain text has no fields to annotate")


def _memory_limit() -> int:
    """A quarter of the memory of the machine, or of the control group if that has less."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError, ValueError):  # no such file, or "max"
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return total // 4


class _Meter:
    """Passes progress on, but not too often."""

    def __init__(self, progress: Callable[[str, int, int | None], None] | None) -> None:
        self._progress = progress
        self._stage = ""
        self._said = 0.0

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        if self._progress is None:
            return
        now = time.monotonic()
        if stage != self._stage or done == total or now - self._said >= _INTERVAL:
            self._stage, self._said = stage, now
            self._progress(stage, done, total)


def _read(files: Sequence[InputFile], options: ReadOptions, meter: _Meter) -> tuple[list[Documents], int]:
    """The documents of all files, and the bytes of these."""
    total = None if any(file.streamed and not file.size for file in files) else sum(file.size for file in files)
    documents: list[Documents] = []
    before = here = 0

    def progress(done: int) -> None:
        nonlocal here
        here = done
        meter("scan", before + done, total)

    for file in files:
        here = 0
        documents.append((read_parquet if file.format == "parquet" else read_lines)(file, options, progress))
        before += file.size or here
    return documents, before


def _deduplicate(corpus: Corpus, config: DedupConfig, meter: _Meter) -> DedupResult:
    if config.keep == "source":
        order: npt.NDArray[np.uint32] | None = np.argsort(corpus.source_ranks(), kind="stable").astype(np.uint32)
    else:
        order = preference(config, corpus.texts, corpus.scores())
    removed_by, similarity, counts = core.deduplicate(corpus.texts, options_of(config), order, meter)
    return result_of(removed_by, similarity, counts, 0.0)


@contextmanager
def _written(staging: Staging, target: Path) -> Iterator[Path]:
    """Where to write what shall be `target`; the system's errors name that."""
    path = staging.place(target)
    try:
        yield path
    except OSError as error:
        # Not its own words: they name another place, and pyarrow's are many.
        why = os.strerror(error.errno) if error.errno else str(error)
        raise StorageError(error.errno, f"cannot write: {why}", str(target)) from None


def _write(staging: Staging, targets: Targets, mode: str, corpus: Corpus, result: DedupResult, meter: _Meter) -> None:
    _write_documents(staging, targets.outputs, mode, corpus, result, meter)
    if targets.removals is not None:
        with _written(staging, targets.removals) as path:
            write_removals(path, corpus, result)
    if targets.rejected is not None:
        with _written(staging, targets.rejected) as path, open(path, "xb") as to:
            for part in corpus.files:
                part.write_faults(to)


def _write_documents(
    staging: Staging, outputs: Sequence[Path], mode: str, corpus: Corpus, result: DedupResult, meter: _Meter
) -> None:
    keep = np.ones(len(corpus), np.bool_)
    keep[result.remove_indices] = False
    for number, target in enumerate(outputs):
        span = corpus.span(number)

        def progress(done: int, before: int = span.start) -> None:
            meter("write", before + done, len(corpus))

        with _written(staging, target) as path:
            if mode == "remove":
                corpus.files[number].write_kept(path, keep[span], progress)
            else:
                corpus.files[number].write_marked(path, _marks(corpus, result, number, keep[span]), progress)


def _marks(corpus: Corpus, result: DedupResult, number: int, keep: npt.NDArray[np.bool_]) -> Marks:
    """The marks of the documents of one file."""
    span = corpus.span(number)
    begin, end = np.searchsorted(result.remove_indices, (span.start, span.stop))
    removed, kept = result.remove_indices[begin:end], result.removed_by[begin:end]
    explained = removed != kept
    places = removed[explained] - span.start
    count = span.stop - span.start
    kept_file, kept_row = np.zeros(count, np.uint32), np.zeros(count, np.uint64)
    similarity = np.zeros(count, np.float32)
    kept_file[places], kept_row[places] = corpus.places(kept[explained])
    similarity[places] = result.similarities[begin:end][explained]
    return Marks(keep, kept_file, kept_row, similarity, corpus.names_in_ids, number)
