"""Which files are read, in which order, as what; and where what stays of each is written."""

import errno
import glob
import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mithril._errors import InvalidArgumentError, StorageError, StorageNotFoundError

__all__ = ["InputFile", "Targets", "find_inputs", "find_targets", "real_target", "split_suffixes"]

_Path = str | os.PathLike[str]

Format = Literal["jsonl", "parquet", "text"]
Compression = Literal["gzip", "zstd"]

_FORMATS: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".txt": "text",
}
_COMPRESSIONS: dict[str, Compression] = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd"}
_MAGIC = "*?["


@dataclass(frozen=True)
class InputFile:
    """A file of documents."""

    path: Path
    name: str
    """The path as it was given; in ids, tables and messages."""
    below: Path
    """Its path below the folder that was given, or its file name."""
    source: int
    """The number of the input, as it was given, that it belongs to."""
    format: Format
    compression: Compression | None
    streamed: bool
    """Whether it can be read only once, from begin to end: compressed, or no regular file."""
    size: int


def split_suffixes(name: str) -> tuple[Format | None, Compression | None]:
    """Format and compression that the end of a file's name says, each None when it says none."""
    stem, suffix = os.path.splitext(name.lower())
    compression = _COMPRESSIONS.get(suffix)
    if compression is not None:
        suffix = os.path.splitext(stem)[1]
    return _FORMATS.get(suffix), compression


def find_inputs(inputs: _Path | Sequence[_Path], format: Format | None) -> tuple[list[InputFile], bool]:
    """The files in the order in which their documents count: inputs as given, those of a folder or pattern by name.

    Args:
        inputs: Files, folders (all files of a known format in them, at any depth, but hidden ones and those that begin
            with an underscore) and patterns with `*`, `?` and `[`; `**` is any depth. Folders that are links are not
            entered.
        format: The format of all files, or None: their names say.

    Returns:
        The files, and whether it is one that was given by its own name.

    Raises:
        InvalidArgumentError: A name says no format, no file was found, one was found twice, or what was found is no
            regular file.
        StorageNotFoundError: There is no such file.
        StorageError: A folder cannot be read.
    """
    given = [inputs] if isinstance(inputs, str | os.PathLike) else list(inputs)
    files: list[InputFile] = []
    for source, item in enumerate(given):
        text = os.fspath(item)
        if not text:
            raise InvalidArgumentError("an input has an empty name")
        if os.path.isdir(text):
            found = [_describe(path, path.relative_to(text), source, format) for path in _walk(Path(text), format)]
        elif os.path.lexists(text) or not any(c in text for c in _MAGIC):
            found = [_describe(Path(text), Path(Path(text).name), source, format)]
        else:
            matches = sorted(Path(match) for match in glob.glob(text, recursive=True) if not os.path.isdir(match))
            _require_regular(matches)
            found = [_describe(path, Path(path.name), source, format) for path in matches]
        if not found:
            raise InvalidArgumentError(f"{text}: no files of a known format (.jsonl, .json, .parquet, .txt; .gz, .zst)")
        files += found
    if not files:
        raise InvalidArgumentError("no inputs")
    _require_different(files)
    return files, len(given) == 1 and len(files) == 1 and files[0].path == Path(given[0])


def _walk(folder: Path, format: Format | None) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise StorageError(error.errno, f"cannot read the folder: {error.strerror}", str(error.filename))

    paths = []
    for root, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith((".", "_"))]
        for name in names:
            known = format is not None or split_suffixes(name)[0] is not None
            if known and not name.startswith((".", "_")):
                paths.append(Path(root, name))
    _require_regular(paths)
    return sorted(paths)


def _require_regular(paths: Iterable[Path]) -> None:
    """Of what was found: a pipe would be waited for, and a link to nothing stands for documents that are missing."""
    for path in paths:
        if not path.is_file():
            why = "a link to nothing" if path.is_symlink() and not path.exists() else "no regular file"
            raise InvalidArgumentError(f"{path}: {why}")


def _describe(path: Path, below: Path, source: int, format: Format | None) -> InputFile:
    named, compression = split_suffixes(path.name)
    try:
        state = path.stat()
    except FileNotFoundError as error:
        raise StorageNotFoundError(error.errno, error.strerror, str(path)) from None
    except OSError as error:
        raise StorageError(error.errno, error.strerror, str(path)) from None
    if format is None and named is None:
        raise InvalidArgumentError(f"{path}: its name says no format; give format='jsonl', 'parquet' or 'text'")
    regular = stat.S_ISREG(state.st_mode)
    used = format or named
    assert used is not None
    if used == "parquet" and (compression is not None or not regular):
        raise InvalidArgumentError(f"{path}: Parquet is read from regular files that are not compressed as a whole")
    streamed = compression is not None or not regular
    name = os.fsencode(path).decode("utf-8", "replace")  # ids are text, names of files need not be
    return InputFile(path, name, below, source, used, compression, streamed, state.st_size if regular else 0)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino


def _require_different(files: Iterable[InputFile]) -> None:
    seen: dict[tuple[int, int] | None, str] = {}
    for file in files:
        first = seen.setdefault(_identity(file.path), file.name)
        if first is not file.name:
            raise InvalidArgumentError(f"{file.name}: the same file as {first}; its documents would all be duplicates")


@dataclass(frozen=True)
class Targets:
    """What is written: the documents of each input, tables of the removals and of rows set aside, and the index."""

    outputs: tuple[Path, ...]
    removals: Path | None
    rejected: Path | None
    index: Path | None


def find_targets(
    files: Sequence[InputFile], single: bool, output: _Path | None, removals: _Path | None, index: _Path | None
) -> Targets:
    """Where what stays of each file goes: to `output` for a single file, else to a file of its name in that folder.

    Args:
        files: The inputs.
        single: Whether they are one file that was given by its own name.
        output: A file or a folder, or None.
        removals: The table of removals, or None.
        index: The index, or None.

    Raises:
        InvalidArgumentError: What is written is an input, or two things would be written to the same file, or a file
            of another format.
        StorageError: What would be written is a device.
    """
    for name, given in (("output", output), ("removals", removals), ("index_path", index)):
        if given is not None and not os.fspath(given):
            raise InvalidArgumentError(f"{name} is an empty name")
    table = None if removals is None else Path(removals)
    outputs = [] if output is None else _output_paths(files, single, output)
    rejected = None if output is None else Path(os.fspath(output).rstrip(os.sep) + ".rejected.jsonl")
    identities = {_identity(file.path): file.name for file in files}
    taken: set[Path] = set()
    index = None if index is None else Path(index)
    for path in (*outputs, table, rejected, index):
        if path is None:
            continue
        real = real_target(path)
        if real in taken:
            raise InvalidArgumentError(f"{path}: two files would be written there")
        taken.add(real)
        identity = _identity(path)
        if identity is not None and identity in identities:
            raise InvalidArgumentError(f"{path}: the output would replace the input {identities[identity]}")
    return Targets(tuple(outputs), table, rejected, index)


def real_target(target: Path) -> Path:
    """The file that is written for `target`: where links lead, whether something is there or not.

    Raises:
        StorageError: It is a device, or lies in /proc: what stdout and the like are links to.
    """
    path = target
    for _ in range(40):
        folder = Path(os.path.realpath(path.parent))
        if folder == Path("/dev") or folder.parts[:2] == ("/", "proc"):
            raise StorageError(errno.EINVAL, "cannot write: not a regular file", str(target))
        path = folder / path.name
        if not path.is_symlink():
            return path
        path = folder / os.readlink(path)
    raise StorageError(errno.ELOOP, f"cannot write: {os.strerror(errno.ELOOP)}", str(target))


def _output_paths(files: Sequence[InputFile], single: bool, output: _Path) -> list[Path]:
    target = Path(output)
    if single and not target.is_dir() and not os.fspath(output).endswith(os.sep):
        named = split_suffixes(target.name)[0]
        if named not in (None, files[0].format):
            raise InvalidArgumentError(f"{target}: the output has the format of the input, {files[0].format}")
        return [target]
    if target.exists() and not target.is_dir():
        raise InvalidArgumentError(f"{target}: several inputs need a folder as output, and this is none")
    return [target / file.below for file in files]
