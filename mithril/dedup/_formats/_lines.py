"""Documents that are lines: JSON Lines and plain text. Compressed files are unpacked into a temporary file first."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mithril._errors import StorageError
from mithril._native import core
from mithril.dedup._formats._compression import Writable, compressed_writer, read_pieces
from mithril.dedup._formats._documents import Documents, Marks, Progress, ReadOptions
from mithril.dedup._formats._inputs import InputFile, split_suffixes

__all__ = ["read_lines"]


def read_lines(file: InputFile, options: ReadOptions, progress: Progress) -> "LineDocuments":
    """Read a file of lines; `progress` gets the bytes that were read of it.

    Raises:
        CorruptError: A line is not JSON or not UTF-8, or the file changed meanwhile. The message names line and offset.
        InvalidArgumentError: A line has not the fields that `options` asks for.
        TruncatedError: A compressed file ends too early.
        StorageError: The file cannot be read, or the temporary file not be written.
    """
    mapped = _unpack(file, options.spill_folder, progress) if file.streamed else core.MappedFile(str(file.path))
    lines = core.LineTexts(
        mapped,
        json=file.format == "jsonl",
        text=options.column,
        score=options.score_column or "",
        source=options.source_column or "",
        sources=list(options.source_priority),
        unmarked=options.unmarked,
        skip_faults=options.skip_faults,
        threads=options.threads,
        progress=None if file.streamed else lambda stage, done, total: progress(done),
    )
    return LineDocuments(
        file,
        lines,
        lines.faults,
        scores=lines.scores if options.score_column else None,
        ranks=lines.sources if options.source_column else None,
        lines=lines,
        threads=options.threads,
    )


def _unpack(file: InputFile, folder: str, progress: Progress) -> core.MappedFile:
    spill = core.SpillFile(folder)
    try:
        with open(file.path, "rb") as packed:
            for piece in read_pieces(packed, file.name, file.compression, progress):
                spill.write(piece)
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(error.errno, f"cannot read: {error.strerror or error}", file.name) from None
    return spill.finish(file.name)


@dataclass
class LineDocuments(Documents):
    """Lines in a mapped file."""

    lines: core.LineTexts
    threads: int

    def rows(self, indices: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
        return self.lines.line_numbers(indices)

    def write_kept(self, path: Path, keep: npt.NDArray[np.bool_], progress: Progress) -> None:
        with _new_file(path) as to:
            self.lines.write_kept(to, keep, progress=_documents(progress))
            self.lines.require_unchanged()

    def write_marked(self, path: Path, marks: Marks, progress: Progress) -> None:
        with _new_file(path) as to:
            self.lines.write_marked(
                to,
                marks.keep,
                marks.kept_file,
                marks.kept_row,
                marks.similarity,
                names=marks.names,
                file=marks.file,
                threads=self.threads,
                progress=_documents(progress),
            )
            self.lines.require_unchanged()

    def write_faults(self, to: Writable) -> None:
        self.lines.write_faults(to, self.file.name)


def _documents(progress: Progress) -> Callable[[str, int, int], None]:
    return lambda stage, done, total: progress(done)


def _new_file(path: Path) -> AbstractContextManager[Writable]:
    compression = split_suffixes(path.name)[1]
    return _plain_writer(path) if compression is None else compressed_writer(path, compression)


@contextmanager
def _plain_writer(path: Path) -> Iterator[core.OutputFile]:
    file = core.OutputFile(str(path), sync=False)
    try:
        yield file
        file.commit()
    finally:
        file.abort()
