"""Errors.

MithrilError
├── InvalidArgumentError (ValueError)       what was passed in cannot be
├── UnsupportedError (NotImplementedError)  valid, but not by this version
├── TruncatedError (EOFError)               an archive ends too early
├── CorruptError (ValueError)               an archive is damaged
├── NotFoundError (KeyError)                no such name
├── UntrustedError (ValueError)             of a cache: not signed as the policy demands
└── StorageError (OSError)                  the system refused a read or a write
    ├── StorageNotFoundError (FileNotFoundError)
    └── StorageExistsError (FileExistsError)
"""


class MithrilError(Exception):
    """Base of all errors that mithril raises itself."""

    def __str__(self) -> str:  # KeyError would quote the message
        return Exception.__str__(self) if not isinstance(self, OSError) else OSError.__str__(self)


class InvalidArgumentError(MithrilError, ValueError):
    """An argument cannot be: wrong dtype, size, shape, name or option."""


class UnsupportedError(MithrilError, NotImplementedError):
    """Valid, but this version cannot do it: an unknown format version, dtype or tensor layout."""


class TruncatedError(MithrilError, EOFError):
    """An archive ends before it should."""


class CorruptError(MithrilError, ValueError):
    """An archive is damaged: a checksum, size or field is wrong. The message names field and offset."""


class NotFoundError(MithrilError, KeyError):
    """No tensor, key or checkpoint of that name."""


class UntrustedError(MithrilError, ValueError):
    """A record or bundle of the compile cache has no valid signature, and the policy demands one."""


class StorageError(MithrilError, OSError):
    """The operating system refused a read or a write; `errno` and `filename` say why and where."""


class StorageNotFoundError(StorageError, FileNotFoundError):
    """The file or folder does not exist."""


class StorageExistsError(StorageError, FileExistsError):
    """The file exists and must not be overwritten."""
