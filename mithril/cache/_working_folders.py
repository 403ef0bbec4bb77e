"""The folders that torch.compile and Triton work in, below the root or where the user wants them."""

import contextlib
import os
import re
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from mithril._errors import InvalidArgumentError

# A running process may still want what is younger.
_LIVE_SECONDS = 3600.0


def chosen_folder(variable: str) -> Path | None:
    """What the variable says, unless it is where torch would go anyway: torch writes its choice there, and children of
    a process that has compiled inherit it."""
    value = os.environ.get(variable)
    if not value:
        return None
    path = Path(value)
    if variable == "TORCHINDUCTOR_CACHE_DIR":
        is_torchs = path.name.startswith("torchinductor_") and path.parent == Path(tempfile.gettempdir()).absolute()
        # That of a parent process with another root, or with another kind of processor to pretend.
        is_ours = path.parent.name == "inductor" and re.fullmatch("[0-9a-f]{12}", path.name)
        if is_torchs or is_ours:
            return None
    return path


def make_private(folder: Path, *, required: bool) -> None:
    """Make it, and what is missing above it, for its owner only. If `required`, refuse a path on which others could put
    a folder of theirs in its place (InvalidArgumentError)."""
    for path in reversed((folder, *folder.parents)):
        if not path.exists():
            path.mkdir(mode=0o700, exist_ok=True)
    for path in (folder, *folder.parents) if required else ():
        status = path.stat()
        is_open = stat.S_IMODE(status.st_mode) & 0o022 and not status.st_mode & stat.S_ISVTX
        if status.st_uid not in (0, os.getuid()) or is_open or (path == folder and status.st_uid != os.getuid()):
            raise InvalidArgumentError(
                f"{path} belongs to or can be written by others; with trust 'require' no code may come from {folder}"
            )


def files_below(folder: Path) -> Iterator[tuple[float, int, Path]]:
    """Modification time, size and path of every file."""
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                yield status.st_mtime, status.st_size, path


def oldest_beyond(folders: list[Path], room: int) -> list[Path]:
    """The oldest files, so many that the others fit in `room` bytes; none that is younger than an hour."""
    beyond = []
    used = 0
    for modified, size, path in sorted((file for folder in folders for file in files_below(folder)), reverse=True):
        used += size
        # A lock that is removed while it is held keeps nobody out.
        if used > room and path.suffix != ".lock" and modified < time.time() - _LIVE_SECONDS:
            beyond.append(path)
    return beyond
