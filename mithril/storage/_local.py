"""A byte store in a folder, local or shared.

An object is written to a temporary file in `~tmp`, which is no name of an object, synced, and renamed or linked to its
place. Folders are opened one by one, and no symbolic link below the root is followed.
"""

import contextlib
import errno
import os
import secrets
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from mithril._errors import InvalidArgumentError, StorageError
from mithril.storage._store import ByteStore, ObjectInfo, check_name, is_name

_TEMPORARY = "~tmp"
_TEMPORARY_SECONDS = 86_400.0
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Without O_NONBLOCK, opening a pipe would wait for its other end.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class LocalByteStore(ByteStore):
    """A byte store in the folder `path`, made by the first put. Who else may read follows from the umask.

    `put_if_absent` needs a file system with hard links.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if not os.fspath(path) or "\0" in os.fspath(path):
            raise InvalidArgumentError(f"not the path of a folder: {os.fspath(path)!r}")
        self._path = os.path.abspath(os.fspath(path))
        self._is_swept = False

    @property
    def url(self) -> str:
        return Path(self._path).as_uri()

    def put(self, name: str, data: bytes) -> None:
        self._write(name, data, replace=True)

    def put_if_absent(self, name: str, data: bytes) -> bool:
        return self._write(name, data, replace=False)

    def get(self, name: str, *, limit: int) -> bytes | None:
        *folders, last = check_name(name).split("/")
        path = os.path.join(self._path, name)
        with _translated(path):
            try:
                with self._opened(folders) as folder:
                    descriptor = os.open(last, _READ, dir_fd=folder)
            except (FileNotFoundError, NotADirectoryError):
                return None
            with open(descriptor, "rb") as file:
                status = os.fstat(descriptor)
                if not stat.S_ISREG(status.st_mode):
                    raise StorageError(errno.EINVAL, "not a regular file", path)
                if status.st_size > limit:
                    raise StorageError(errno.EFBIG, f"{status.st_size} bytes, more than the limit of {limit}", path)
                return file.read(status.st_size)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        pending = [tuple(check_name(prefix).split("/")) if prefix else ()]
        while pending:
            folders = pending.pop()
            with _translated(os.path.join(self._path, *folders)):
                found = self._entries(folders)
            for parts, size in found:
                if size is None:
                    pending.append(parts)
                else:
                    yield ObjectInfo("/".join(parts), size)

    def delete(self, name: str) -> None:
        *folders, last = check_name(name).split("/")
        with (
            _translated(os.path.join(self._path, name)),
            contextlib.suppress(FileNotFoundError, NotADirectoryError),
            self._opened(folders) as folder,
        ):
            os.unlink(last, dir_fd=folder)

    def _write(self, name: str, data: bytes, *, replace: bool) -> bool:
        *folders, last = check_name(name).split("/")
        with (
            _translated(os.path.join(self._path, name)),
            self._opened([_TEMPORARY], create=True) as temporary,
            self._opened(folders, create=True) as folder,
        ):
            self._sweep(temporary)
            source = f"{os.getpid()}-{secrets.token_hex(8)}"
            try:
                with open(os.open(source, _CREATE, 0o666, dir_fd=temporary), "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                if replace:
                    os.rename(source, last, src_dir_fd=temporary, dst_dir_fd=folder)
                else:
                    os.link(source, last, src_dir_fd=temporary, dst_dir_fd=folder, follow_symlinks=False)
                os.fsync(folder)
            except FileExistsError:
                if replace:
                    raise
                return False
            finally:
                with contextlib.suppress(OSError):  # renamed, or there is nothing to be done about it
                    os.unlink(source, dir_fd=temporary)
        return True

    @contextlib.contextmanager
    def _opened(self, folders: Sequence[str], *, create: bool = False) -> Iterator[int]:
        """A descriptor of the folder below the root."""
        if create:
            os.makedirs(self._path, exist_ok=True)
        descriptor = os.open(self._path, _FOLDER)
        try:
            for part in folders:
                if create:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, dir_fd=descriptor)
                below = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)

    def _entries(self, folders: tuple[str, ...]) -> Sequence[tuple[tuple[str, ...], int | None]]:
        """What lies in a folder: the parts of each name with its size, None for a folder. Nothing if there is none."""
        found = []
        with (
            contextlib.suppress(FileNotFoundError, NotADirectoryError),
            self._opened(folders) as descriptor,
            os.scandir(descriptor) as entries,
        ):
            for entry in entries:
                parts = (*folders, entry.name)
                if not is_name("/".join(parts)):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(status.st_mode) or stat.S_ISREG(status.st_mode):
                        found.append((parts, status.st_size if stat.S_ISREG(status.st_mode) else None))
        return found

    def _sweep(self, temporary: int) -> None:
        """Once: remove what writers that died have left."""
        if self._is_swept:
            return
        self._is_swept = True
        with os.scandir(temporary) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    if time.time() - entry.stat(follow_symlinks=False).st_mtime > _TEMPORARY_SECONDS:
                        os.unlink(entry.name, dir_fd=temporary)


@contextlib.contextmanager
def _translated(path: str) -> Iterator[None]:
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(error.errno, error.strerror, path) from None
