"""The stores that are compared: the content store, plain files, SQLite and diskcache. Only the first verifies."""

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from mithril.cache._content import ContentStore


class Store(Protocol):
    """Keys are addresses: BLAKE3 of the data, in hexadecimal."""

    def put(self, key: str, data: bytes) -> None: ...
    def get(self, key: str) -> bytes | None: ...
    def delete(self, key: str) -> None: ...


class Mithril:
    """Computes the address at each put, verifies it at each get, keeps the quota."""

    def __init__(self, folder: Path, max_bytes: int | None) -> None:
        self.store = ContentStore(folder, max_size_bytes=max_bytes)

    def put(self, key: str, data: bytes) -> None:
        self.store.put(data)

    def get(self, key: str) -> bytes | None:
        return self.store.get(key)

    def delete(self, key: str) -> None:
        self.store.delete(key)


class PlainFiles:
    """Temporary file and rename, open and read. No quota, nothing verified."""

    def __init__(self, folder: Path, max_bytes: int | None) -> None:
        self.folder = folder
        self.number = 0
        folder.mkdir(exist_ok=True)
        for first in range(256):
            (folder / f"{first:02x}").mkdir(exist_ok=True)

    def put(self, key: str, data: bytes) -> None:
        temporary = f"{self.folder}/{os.getpid()}-{self.number}"
        self.number += 1
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        with os.fdopen(fd, "wb", buffering=0) as file:
            file.write(data)
        os.rename(temporary, f"{self.folder}/{key[:2]}/{key}")

    def get(self, key: str) -> bytes | None:
        try:
            with open(f"{self.folder}/{key[:2]}/{key}", "rb", buffering=0) as file:
                return file.read()
        except FileNotFoundError:
            return None

    def delete(self, key: str) -> None:
        with suppress(FileNotFoundError):
            os.unlink(f"{self.folder}/{key[:2]}/{key}")


class Sqlite:
    """One table, write-ahead log, no sync at a commit. No quota, nothing verified."""

    def __init__(self, folder: Path, max_bytes: int | None) -> None:
        folder.mkdir(exist_ok=True)
        self.connection = sqlite3.connect(folder / "store.db", timeout=60, isolation_level=None)
        self.connection.execute("PRAGMA journal_mode=WAL")
        self.connection.execute("PRAGMA synchronous=NORMAL")
        self.connection.execute("CREATE TABLE IF NOT EXISTS objects (key TEXT PRIMARY KEY, data BLOB) WITHOUT ROWID")

    def put(self, key: str, data: bytes) -> None:
        self.connection.execute("INSERT OR REPLACE INTO objects VALUES (?, ?)", (key, data))

    def get(self, key: str) -> bytes | None:
        row = self.connection.execute("SELECT data FROM objects WHERE key = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def delete(self, key: str) -> None:
        self.connection.execute("DELETE FROM objects WHERE key = ?", (key,))


class DiskCache:
    """Its defaults, with the quota: it culls, and verifies nothing."""

    def __init__(self, folder: Path, max_bytes: int | None) -> None:
        import diskcache

        self.cache = diskcache.Cache(str(folder), size_limit=max_bytes or 1 << 40)

    def put(self, key: str, data: bytes) -> None:
        self.cache.set(key, data)

    def get(self, key: str) -> bytes | None:
        data: bytes | None = self.cache.get(key)
        return data

    def delete(self, key: str) -> None:
        self.cache.delete(key)


CONTENDERS = {"mithril": Mithril, "plain_files": PlainFiles, "sqlite": Sqlite, "diskcache": DiskCache}


def available() -> dict[str, type]:
    """Those whose package is installed."""
    try:
        import diskcache  # noqa: F401
    except ImportError:
        return {name: kind for name, kind in CONTENDERS.items() if name != "diskcache"}
    return CONTENDERS
