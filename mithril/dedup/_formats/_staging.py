"""Outputs that appear together: written in hidden folders beside their places, and moved there when all are whole."""

import os
import secrets
import shutil
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
        self._moves: list[tuple[Path, Path]] = []
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
                try:
                    folder.rmdir()
                except OSError:
                    pass

    def place(self, target: Path) -> Path:
        """Where to write what shall be `target`. Raises StorageError when it cannot be written there."""
        folder = target.parent
        try:
            if folder not in self._folders:
                self._make(folder)
                staged = folder / f".mithril-{secrets.token_hex(8)}.tmp"
                staged.mkdir()
                self._folders[folder] = staged
            if target.is_dir():
                raise IsADirectoryError(21, "Is a directory")
        except OSError as error:
            raise StorageError(error.errno, f"cannot write: {error.strerror}", str(target)) from None
        path = self._folders[folder] / target.name
        self._moves.append((path, target))
        return path

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
        for path, target in self._moves:
            try:
                os.replace(path, target)
            except OSError as error:
                raise StorageError(error.errno, f"cannot publish: {error.strerror}", str(target)) from None
