"""What the contenders of mithril share: an archive of one tensor in memory, made and read by the core."""

from collections.abc import Callable
from typing import Any

from benchmarks.codec.dtypes import WIDTHS
from mithril import CompressionConfig
from mithril._native import core


def room(size: int, dtype: str) -> int:
    return core.compress_bound(size // WIDTHS[dtype], dtype)


def prepare(config: CompressionConfig, dtype: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    width, options = WIDTHS[dtype], config.writer_options()

    def compress(source: memoryview, out: Any = None) -> Any:
        shape = [len(source) // width]
        if out is None:
            return core.compress(source, dtype, shape, **options)
        return memoryview(out)[: core.compress_into(source, dtype, shape, out, **options)]

    def decompress(blob: bytes, out: Any) -> Any:
        reader = core.ArchiveReader.from_buffer(blob)
        if out is None:
            return reader.read_bytes(0)
        reader.read([(0, out, 0, len(out) // width)])
        return out

    return compress, decompress
