"""Outputs that appear together: written in hidden folders beside their places, and moved there when all are whole."""

import errno
import os
import secrets
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from mithril._errors import StorageError
from mithril.dedup._formats._inputs import real_target

__all__ = ["Staging"]


class Staging:
    """Places to write files at. They get their own names with commit(); leaving the block without it removes them.

    Of a target that is a link the file that it leads to is replaced. A folder that is made for an output and stays
    empty is removed too.
    """

    def __init__(self) -> None:
        # Folder of targets, and the folder where links among them lead → where they are written. By both, names differ.
        self._folders: dict[tuple[Path, Path], Path] = {}
        self._paths: dict[Path, tuple[Path, Path]] = {}  # target → the file that is replaced, where it is written
        self._made: list[Path] = []

    def __enter__(self) -> "Staging":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for folder in self._folders.values():
            shutil.rmtree(folder, ignore_errors=True)
        if error is not None:
            for folder in reversed(self._made):
                with suppress(OSError):  # something else came into it
                    folder.rmdir()

    def place(self, target: Path) -> Path:
        """Where to write what shall be `target`, the same at each call. Raises StorageError when that cannot be."""
        if target in self._paths:
            return self._paths[target][1]
        real = real_target(target)
        folders = target.parent, real.parent
        try:
            if target.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if target.exists() and not target.is_file():  # renaming would replace a device
                raise OSError(errno.EINVAL, "not a regular file")
            if folders not in self._folders:
                self._make(real.parent)
                staged = real.parent / f".mithril-{secrets.token_hex(8)}.tmp"
                staged.mkdir()
                self._folders[folders] = staged
        except OSError as error:
            raise StorageError(error.errno, f"cannot write: {error.strerror}", str(target)) from None
        self._paths[target] = real, self._folders[folders] / target.name
        return self._paths[target][1]

    def _make(self, folder: Path) -> None:
        missing = []
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            self._made.append(path)

    def commit(self, *, sync: bool = False, last: Path | None = None) -> None:
        """Give all files their names in the order of their places, replacing those that have them.

        Args:
            sync: Whether they are synced to the disk, with their folders.
            last: A target that gets its name after all others, with `sync` when these are on the disk.

        Raises:
            StorageError: A file cannot get its name or be synced.
        """
        others = [target for target in self._paths if target != last]
        for targets in (others, [last] if last is not None and last in self._paths else []):
            if sync:
                self._sync(self._paths[target][1] for target in targets)
            for target in targets:
                real, path = self._paths[target]
                try:
                    os.replace(path, real)
                except OSError as error:
                    raise StorageError(error.errno, f"cannot publish: {error.strerror}", str(target)) from None
            if sync:
                # A folder that was made is an entry of the one above.
                self._sync({self._paths[target][0].parent for target in targets} | {made.parent for made in self._made})

    def _sync(self, paths: Iterable[Path]) -> None:
        for path in paths:
            try:
                file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fsync(file)
                finally:
                    os.close(file)
            except OSError as error:
                if not (error.errno == errno.EINVAL and path.is_dir()):  # some file systems cannot sync a folder
                    raise StorageError(error.errno, f"cannot sync: {error.strerror}", str(path)) from None
