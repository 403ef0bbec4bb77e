"""The folders that torch.compile and Triton work in, below the root or where the user wants them."""

import contextlib
import os
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
    if (
        variable == "TORCHINDUCTOR_CACHE_DIR"
        and path.name.startswith("torchinductor_")
        and path.parent == Path(os.path.abspath(tempfile.gettempdir()))
    ):
        return None
    return path


def make_private(folder: Path, *, required: bool) -> None:
    """Make it; if `required`, refuse one that others could put code into (InvalidArgumentError)."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not required:
        return
    status = folder.stat()
    if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o022:
        raise InvalidArgumentError(
            f"{folder} belongs to or can be written by others; with trust 'require' no code may come from it"
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
        if used > room and modified < time.time() - _LIVE_SECONDS:
            beyond.append(path)
    return beyond
