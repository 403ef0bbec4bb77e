"""Outputs that appear together: written in hidden folders beside their places, and moved there when all are whole."""

import errno
import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from mithril._errors import StorageError

__all__ = ["Staging"]


class Staging:
    """Places to write files at. They get their own names with commit(); leaving the block without it removes them.

    A folder that is made for an output and stays empty is removed too. Nothing is synced to the disk.
    """

    def __init__(self) -> None:
        self._folders: dict[Path, Path] = {}  # where files shall go → where they are written
        self._paths: dict[Path, Path] = {}  # the same for files
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
            return self._paths[target]
        folder = target.parent
        try:
            if target.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if target.exists() and not target.is_file():  # renaming would replace a device
                raise OSError(errno.EINVAL, "not a regular file")
            if folder not in self._folders:
                self._make(folder)
                staged = folder / f".mithril-{secrets.token_hex(8)}.tmp"
                staged.mkdir()
                self._folders[folder] = staged
        except OSError as error:
            raise StorageError(error.errno, f"cannot write: {error.strerror}", str(target)) from None
        return self._paths.setdefault(target, self._folders[folder] / target.name)

    def _make(self, folder: Path) -> None:
        missing = []
        while not folder.exists():
            missing.append(folder)
            folder = folder.parent
        for path in reversed(missing):
            path.mkdir(exist_ok=True)
            self._made.append(path)

    def commit(self) -> None:
        """Give all files their names, replacing those that have them. Raises StorageError."""
        for target, path in self._paths.items():
            try:
                os.replace(path, target)
            except OSError as error:
                raise StorageError(error.errno, f"cannot publish: {error.strerror}", str(target)) from None
