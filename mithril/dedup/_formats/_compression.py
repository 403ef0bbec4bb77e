"""Files that are compressed as a whole: read as a stream of pieces, of any number of members or frames; and written."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from mithril._errors import CorruptError, TruncatedError, UnsupportedError
from mithril.dedup._formats._inputs import Compression

__all__ = ["Writable", "compressed_writer", "read_pieces"]

_PIECE_BYTES = 1 << 20
_ZSTD_BYTES = 8 << 10  # a block of 4 bytes may stand for 128 KiB: pieces of 256 MiB at the very most
_ZSTD_WINDOW = 1 << 31  # the largest that zstd --long makes
_GZIP_LEVEL = 6
_ZSTD_LEVEL = 3


class Writable(Protocol):
    """Takes bytes."""

    def write(self, data: Any, /) -> Any: ...


def read_pieces(
    file: IO[bytes], name: str, compression: Compression | None, progress: Callable[[int], None]
) -> Iterator[bytes]:
    """What a file holds, decompressed; `progress` gets the bytes that were read of it.

    Raises:
        CorruptError: It is damaged.
        TruncatedError: It ends too early.
        UnsupportedError: It is .zst, and the package zstandard is not installed.
    """
    counted = _Counted(file, progress)
    if compression == "gzip":
        yield from _read_gzip(counted, name)
    elif compression == "zstd":
        yield from _read_zstd(counted, name)
    else:
        while piece := counted.read(_PIECE_BYTES):
            yield piece
    if compression is not None and counted.bytes == 0:
        raise TruncatedError(f"{name}: is empty, without the begin of a {compression} stream")


class _Counted:
    def __init__(self, file: IO[bytes], progress: Callable[[int], None]) -> None:
        self._file = file
        self._progress = progress
        self.bytes = 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.bytes += len(data)
        self._progress(self.bytes)
        return data


def _read_gzip(file: Any, name: str) -> Iterator[bytes]:
    with gzip.GzipFile(fileobj=file) as reader:
        while True:
            try:
                piece = reader.read(_PIECE_BYTES)
            except EOFError:
                raise TruncatedError(f"{name}: the gzip stream ends too early") from None
            except (gzip.BadGzipFile, zlib.error) as error:
                raise CorruptError(f"{name}: the gzip stream is damaged ({error})") from None
            if not piece:
                return
            yield piece


def _read_zstd(file: _Counted, name: str) -> Iterator[bytes]:
    zstandard = _zstandard(name)
    frame = None
    while data := file.read(_ZSTD_BYTES):
        while data:
            frame = frame or zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW).decompressobj()
            try:
                piece = frame.decompress(data)
            except zstandard.ZstdError as error:
                raise CorruptError(f"{name}: the zstd stream is damaged ({error})") from None
            if piece:
                yield piece
            data = b""
            if frame.eof:
                data, frame = frame.unused_data, None
    if frame is not None:
        raise TruncatedError(f"{name}: the zstd stream ends too early")


@contextmanager
def compressed_writer(path: Path, compression: Compression) -> Iterator[Writable]:
    """A new file that compresses what is written to it."""
    with open(path, "xb") as file:
        if compression == "gzip":
            # Without name and time: the same documents give the same bytes.
            with gzip.GzipFile(filename="", mode="wb", compresslevel=_GZIP_LEVEL, fileobj=file, mtime=0) as writer:
                yield writer
        else:
            compressor = _zstandard(str(path)).ZstdCompressor(level=_ZSTD_LEVEL, write_checksum=True)
            with compressor.stream_writer(file, closefd=False) as writer:
                yield writer


def _zstandard(name: str) -> Any:
    try:
        import zstandard
    except ImportError:
        raise UnsupportedError(f"{name}: .zst needs the package zstandard (pip install zstandard)") from None
    return zstandard
