"""The files of cached code that hold absolute paths into their own folder, and how they move to another one.

`vllm_compile_cache.py` is a Python literal with the handles of artifacts, `__grp__….json` of Triton names the files of
a kernel. As they are stored the paths in them are relative. A path to anywhere else is refused, both ways, and so is
one to a file that is missing.
"""

import ast
import json
import os
import pprint
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath

from mithril._errors import CorruptError
from mithril.cache._record import is_member_name

_MAX_TEXT_BYTES = 4 << 20
_HANDLES = "vllm_compile_cache.py"
_GROUP = "__grp__"
_FOLDER = "[mithril:folder]"  # stands for the folder, at the start of a path in a stored _HANDLES


def is_marker(name: str) -> bool:
    """Whether a file of that name, at the top of a folder, makes the folder a unit."""
    return name == _HANDLES or (name.startswith(_GROUP) and "/" not in name)


def is_encodable(path: str) -> bool:
    """Whether the system takes such a path."""
    try:
        return b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        return False


def detach_all(members: Mapping[str, bytes], folder: str) -> dict[str, bytes]:
    """The files of the unit at `folder` as they are stored.

    Raises CorruptError when a path in them leaves the folder, or a file that they name is missing.
    """
    spellings = [os.path.abspath(folder), os.path.realpath(folder)]
    detached = {name: _detach_paths(name, data, spellings) for name, data in members.items()}
    attach_all(detached, spellings[0])  # what could not be restored must not be stored
    return detached


def attach_all(members: Mapping[str, bytes], folder: str) -> dict[str, bytes]:
    """The files of a captured unit as they are to be written into `folder`.

    Raises CorruptError when a name or a path in them leaves the folder, or a file that they name is missing.
    """
    for name in members:
        if not (is_member_name(name) and is_encodable(name)):
            raise CorruptError(f"member {name!r:.300} is no name of a file in a folder")
    there = {"", *members, *(str(parent) for name in members for parent in PurePosixPath(name).parents)}
    attached = {}
    for name, data in members.items():
        attached[name], named = _attach_paths(name, data, folder)
        if missing := named - there:
            raise CorruptError(f"{name}: {min(missing)!r:.300}, which it names, is missing")
    return attached


def _detach_paths(name: str, data: bytes, folders: Sequence[str]) -> bytes:
    """A file of a unit with the paths into its folder, spelled in any of these ways, made relative."""

    def detach(text: str) -> str:
        if text.startswith("/") and is_encodable(text):
            for spelling in (os.path.normpath(text), os.path.realpath(text)):
                for folder in folders:
                    if spelling == folder or spelling.startswith(folder + "/"):
                        return _FOLDER + spelling[len(folder) :]
        if text.startswith(("/", _FOLDER)):
            raise CorruptError(f"{name}: {text!r:.300} lies outside its folder")
        return text

    inner, _, base = name.rpartition("/")
    if base == _HANDLES:
        return _map_literal(name, data, detach)
    if base.startswith(_GROUP):
        children = _children(name, data)
        for child, path in children.items():
            # Triton's folder may be given relative to the current one.
            if detach(os.path.abspath(path)) != os.path.join(_FOLDER, inner, child):
                raise CorruptError(f"{name}: {path!r:.300} is not {child!r:.300} beside it")
        return _encode_children({child: child for child in children})
    return data


def _attach_paths(name: str, data: bytes, folder: str) -> tuple[bytes, set[str]]:
    """A file of a captured unit with its paths leading into `folder`, and the names they have there, unchecked."""
    named: set[str] = set()

    def attach(text: str) -> str:
        if not text.startswith(("/", _FOLDER)):
            return text
        place = text.removeprefix(_FOLDER)
        if place == text or place[:1] not in ("", "/"):
            raise CorruptError(f"{name}: {text!r:.300} leaves its folder")
        named.add(place[1:])
        return folder + place

    inner, _, base = name.rpartition("/")
    if base == _HANDLES:
        return _map_literal(name, data, attach), named
    if base.startswith(_GROUP):
        children = _children(name, data)
        for child, path in children.items():
            if path != child or "/" in child or not is_member_name(child):
                raise CorruptError(f"{name}: {path!r:.300} leaves its folder")
        named.update(os.path.join(inner, child) for child in children)
        return _encode_children({child: os.path.join(folder, inner, child) for child in children}), named
    return data, named


def _children(name: str, data: bytes) -> dict[str, str]:
    """Names and paths in a group file of Triton."""
    try:
        children = json.loads(data[:_MAX_TEXT_BYTES])["child_paths"]
        if all(isinstance(path, str) for path in children.values()):
            return dict(children)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    raise CorruptError(f"{name}: no group of files")


def _encode_children(children: Mapping[str, str]) -> bytes:
    return json.dumps({"child_paths": children}).encode()


def _map_literal(name: str, data: bytes, change: Callable[[str], str]) -> bytes:
    """A file of one Python literal with every text in it, save keys of dictionaries, changed."""

    def walk(value: object) -> object:
        if isinstance(value, str):
            return change(value)
        if isinstance(value, dict):
            return {key: walk(item) for key, item in value.items()}
        if isinstance(value, (tuple, list, set)):
            return type(value)(walk(item) for item in value)
        return value

    if len(data) > _MAX_TEXT_BYTES:
        raise CorruptError(f"{name}: {len(data)} bytes, more than {_MAX_TEXT_BYTES}")
    try:
        value = ast.literal_eval(data.decode())
        return pprint.pformat(walk(value), indent=4, sort_dicts=False).encode()
    except CorruptError:
        raise
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise CorruptError(f"{name}: no Python literal ({type(error).__name__})") from None
