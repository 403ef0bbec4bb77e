"""Folders of cached code that can move: capture a unit as a group of files, restore it under another path.

A unit is what must be there together or not at all: the folder of a Triton kernel (`__grp__….json` and the files it
names), the folder of a model that vLLM compiled (`vllm_compile_cache.py` and the artifacts it names); any other file is
a unit of its own. Those two kinds of files hold absolute paths, which move with their folder (`_tree_paths.py`).

All other files are kept byte for byte. Torch's artifacts find each other by key; the one path in them (the cache folder
of the process that compiled, in the text of a debugging aid) is never followed.
"""

import os
import secrets
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from mithril._errors import CorruptError, InvalidArgumentError, StorageError, UnsupportedError
from mithril.cache._frameworks.tree_paths import attach_all, detach_all, is_encodable, is_marker
from mithril.cache._record import is_member_name

MAX_UNIT_BYTES = 1 << 30  # as much as the remote tier takes
MAX_UNIT_FILES = 4096  # members of a record
# Of this host, of this moment, or never asked for again.
_PASSED_FOLDERS = ("locks", "precompiled_headers")
_PASSED_PREFIXES = (".", "tmp.")
_PASSED_SUFFIXES = (".lock", ".tmp", ".gch", ".pch")


def find_units(root: Path) -> Iterator[str]:
    """Names of the units below `root`. Symbolic links, locks and files in the making are passed over."""
    folders = [""]
    while folders:
        folder = folders.pop()
        try:
            entries = _entries(root / folder)
        except OSError:
            yield folder  # capturing it says what is wrong
            continue
        if folder and any(is_marker(entry.name) for entry in entries if entry.is_file(follow_symlinks=False)):
            yield folder
            continue
        for entry in entries:
            name = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                folders.append(name)
            elif entry.is_file(follow_symlinks=False):
                yield name


def capture(unit: Path) -> dict[str, bytes]:
    """The files of a unit (a folder, or one file) by their names in it, without absolute paths.

    Raises StorageError when it cannot be read, CorruptError when it is not whole or points outside itself, and
    UnsupportedError when it is larger than MAX_UNIT_BYTES or has more files than MAX_UNIT_FILES.
    """
    try:
        if not unit.is_dir():
            return {unit.name: _read(unit, MAX_UNIT_BYTES)}
        members: dict[str, bytes] = {}
        left = MAX_UNIT_BYTES
        for name in _files(unit):
            members[name] = _read(unit / name, left)
            left -= len(members[name])
            if len(members) > MAX_UNIT_FILES:
                raise UnsupportedError(f"{unit} has more than {MAX_UNIT_FILES} files")
    except OSError as error:
        raise StorageError(error.errno, f"cannot be captured: {error.strerror}", str(unit)) from error
    return detach_all(members, str(unit))


def restore(members: Mapping[str, bytes], unit: Path) -> bool:
    """Put a captured unit at `unit`, whole or not at all. False when something is there already: it stays as it is.

    Raises CorruptError for members that are no unit or point outside it, and StorageError when it cannot be written.
    """
    is_folder = any(is_marker(name) for name in members)
    if (not is_folder and list(members) != [unit.name]) or not is_encodable(str(unit)):
        raise CorruptError(f"{unit.name!r:.300}: members {sorted(members)[:3]!r:.300} are no unit")
    members = attach_all(members, os.path.abspath(unit))
    if os.path.lexists(unit) and not (is_folder and _is_empty(unit)):
        return False
    temporary = unit.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        unit.parent.mkdir(parents=True, exist_ok=True)
        if not is_folder:
            return place(unit, members[unit.name], replace=False)
        for name, data in members.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        try:
            temporary.rename(unit)
        except OSError:
            if not os.path.lexists(unit) or _is_empty(unit):
                raise
            return False  # somebody else was faster
    except OSError as error:
        raise StorageError(error.errno, f"cannot be restored: {error.strerror}", str(unit)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return True


def place(path: Path, data: bytes, *, replace: bool) -> bool:
    """Write a file that appears whole. False when it is there already and shall not be replaced. Raises OSError."""
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        temporary.write_bytes(data)
        if replace:
            temporary.replace(path)
            return True
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links
            if os.path.lexists(path):
                return False
            temporary.rename(path)
        return True
    finally:
        temporary.unlink(missing_ok=True)


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder and not passed over, by name; nothing when it is gone."""
    try:
        with os.scandir(folder) as entries:
            return sorted(
                (
                    entry
                    for entry in entries
                    if not entry.name.startswith(_PASSED_PREFIXES)
                    and not entry.name.endswith(_PASSED_SUFFIXES)
                    and entry.name not in _PASSED_FOLDERS
                    and is_member_name(entry.name)
                ),
                key=lambda entry: entry.name,
            )
    except (FileNotFoundError, NotADirectoryError):
        return []


def _files(folder: Path, inner: str = "") -> Iterator[str]:
    for entry in _entries(folder / inner):
        name = f"{inner}/{entry.name}" if inner else entry.name
        if entry.is_dir(follow_symlinks=False):
            yield from _files(folder, name)
        elif entry.is_file(follow_symlinks=False):
            yield name


def _read(path: Path, limit: int) -> bytes:
    """The bytes of a regular file. Raises UnsupportedError when there are more than `limit`."""
    # Neither wait for a pipe nor follow what was a file a moment ago.
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with open(number, "rb") as file:
        status = os.fstat(number)
        if not stat.S_ISREG(status.st_mode):
            raise InvalidArgumentError(f"{path} is not a regular file")
        if status.st_size > limit:
            raise UnsupportedError(f"{path} has {status.st_size} bytes, more than the {limit} left for its unit")
        data = file.read(status.st_size + 1)
    if len(data) != status.st_size:
        raise CorruptError(f"{path} changed while it was read")
    return data


def _is_empty(path: Path) -> bool:
    try:
        return not os.listdir(path)
    except OSError:
        return False
