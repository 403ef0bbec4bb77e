"""The folder of a distributed checkpoint: its names, what it holds now, and the removal of what it no longer needs.

`metadata.mcp` is the checkpoint; a data file that it does not name is no part of it. A superseded data file stays for a
grace period, for readers that read the metadata before: its mtime is the time at which it was superseded.
"""

import contextlib
import os
import re
import secrets
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from mithril._errors import CorruptError, InvalidArgumentError, StorageNotFoundError, TruncatedError, UnsupportedError
from mithril._native import core
from mithril.checkpoint._dcp_metadata import METADATA_NAME, read_files

_TEMPORARY = r"\.[0-9a-f]{16}\.tmp"
_REMOVABLE = re.compile(rf"data-[0-9]{{5,}}-[0-9a-f]{{16}}\.mcp({_TEMPORARY})?|metadata\.mcp{_TEMPORARY}")
_DAMAGES = (CorruptError, TruncatedError, UnsupportedError)


class Checkpoint(NamedTuple):
    """What a folder holds now."""

    identity: str | None
    """Changes with every save; None when there is no checkpoint."""
    names: frozenset[str] | None
    """None when the metadata is damaged."""


def local_path(path: str | os.PathLike[str]) -> Path:
    """A path in the file system. Raises InvalidArgumentError for a URL."""
    if "://" in os.fspath(path):
        raise InvalidArgumentError(f"{os.fspath(path)!r} is not a path in a file system")
    return Path(path)


def make_folder(folder: Path, *, sync: bool) -> None:
    """Create the folder and its parents; with `sync` so that they survive a power failure."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for created in missing if sync else []:
        descriptor = os.open(created.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def new_data_name(rank: int) -> str:
    return f"data-{rank:05d}-{secrets.token_hex(8)}.mcp"


def current_checkpoint(folder: Path) -> Checkpoint:
    """What the folder holds now. Damaged metadata is no error: it may be overwritten."""
    path = folder / METADATA_NAME
    try:
        reader = core.ArchiveReader.open(os.fspath(path))
    except StorageNotFoundError:
        return Checkpoint(None, frozenset())
    except _DAMAGES:
        status = path.stat()
        return Checkpoint(f"damaged {status.st_ino} {status.st_size} {status.st_mtime_ns}", None)
    try:
        return Checkpoint(reader.content_id, frozenset(file.name for file in read_files(reader)))
    except _DAMAGES:
        return Checkpoint(reader.content_id, None)


def mark_superseded(folder: Path, names: Iterable[str]) -> None:
    """Begin the grace period of data files."""
    for name in names:
        with contextlib.suppress(OSError):  # it is missing, or not ours to touch
            os.utime(folder / name)


def remove_unnamed(folder: Path, checkpoint: Checkpoint, grace_seconds: float) -> None:
    """Remove data and temporary files that the checkpoint does not name and whose mtime is older than `grace_seconds`.

    Touches nothing else, and nothing at all when the checkpoint is damaged. What cannot be removed stays.
    """
    if checkpoint.names is None:
        return
    limit = time.time() - grace_seconds
    with contextlib.suppress(OSError):
        names = os.listdir(folder)
        for name in filter(_REMOVABLE.fullmatch, set(names) - checkpoint.names):
            with contextlib.suppress(OSError):
                if os.lstat(folder / name).st_mtime <= limit:
                    os.unlink(folder / name)
