"""The interface of a byte store, and which names it takes."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

from mithril._errors import InvalidArgumentError

_PART = re.compile(r"[A-Za-z0-9._=+-]{1,255}")
_MAX_NAME = 900  # S3 takes keys of 1024 bytes, and a prefix is part of the key


@dataclass(frozen=True)
class ObjectInfo:
    """What a listing says of an object: its name and its size in bytes."""

    name: str
    size: int


class ByteStore(ABC):
    """Objects by name. All methods may be called from any thread; stores can be pickled.

    An object appears whole or not at all, and what has been put is found by every later `get` and `list`, from
    whatever process. A name is a relative path: parts of `A-Z a-z 0-9 . _ = + -` with `/` between, none of them `.` or
    `..`, at most 900 characters. An object must not lie below another: not both `a` and `a/b`.

    Raises InvalidArgumentError for what is no name, and StorageError for what the storage refuses or does not answer.
    """

    @property
    @abstractmethod
    def url(self) -> str:
        """Where this is, for people to read: no credentials in it."""

    @abstractmethod
    def put(self, name: str, data: bytes) -> None:
        """Write an object, in place of one that is there."""

    @abstractmethod
    def put_if_absent(self, name: str, data: bytes) -> bool:
        """Write an object unless one is there, which is left as it is. Returns whether it was written.

        Of several writers at once one succeeds. After an error the object may be there or not.
        """

    @abstractmethod
    def get(self, name: str, *, limit: int) -> bytes | None:
        """The bytes of an object, None when there is none; StorageError when it has more than `limit` bytes.

        Memory is taken for `limit` bytes at most, whatever the storage says.
        """

    @abstractmethod
    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """The objects below the folder `prefix`, in no particular order."""

    @abstractmethod
    def delete(self, name: str) -> None:
        """Remove an object. It is fine when there is none."""


def is_name(name: str) -> bool:
    """Whether a byte store takes `name`."""
    parts = name.split("/")
    return len(name) <= _MAX_NAME and all(_PART.fullmatch(part) and part not in (".", "..") for part in parts)


def check_name(name: str) -> str:
    """`name`, if it is one. Raises InvalidArgumentError."""
    if not isinstance(name, str) or not is_name(name):
        raise InvalidArgumentError(f"not the name of an object: {name!r:.200}")
    return name
