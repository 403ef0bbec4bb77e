"""Options of compression."""

from dataclasses import dataclass
from typing import TypedDict

from mithril._errors import InvalidArgumentError

_BLOCK = 512 << 10
_BIG_BLOCK = 1 << 20
_BIG_BLOCK_LEVEL = 16


class WriterOptions(TypedDict):
    """The options as the core takes them."""

    zstd_level: int
    split: bool
    block_bytes: int
    threads: int


@dataclass(frozen=True)
class CompressionConfig:
    """How to compress. Whatever is chosen, compression is lossless and the same reader reads it."""

    zstd_level: int = 3
    """1 to 22: how hard the encoder tries.

    Floats go to an entropy coder of mithril's own, with three efforts. 1 (`fast`) codes the exponents alone; 2 to
    15 (the default) each exponent together with the top bit of its mantissa; 16 to 22 (`best`) with the top two, by
    tables that follow the data closely or depend on the value before, in blocks of 1 MiB instead of 512 KiB, so that
    reading a small slice decodes more. (float16 and float8, whose exponents are short, get two bits always.)

    On integers and bytes, on what repeats, and on floats without `byte_grouping` it is the level of zstd: higher is
    smaller and slower to write."""
    byte_grouping: bool = True
    """Whether floats are split into exponents and mantissas and integers into bytes, coded apart."""
    num_threads: int | None = None
    """Threads for compression; None means MITHRIL_NUM_THREADS, else the share of this process in the cores. The bytes
    written do not depend on it."""

    def __post_init__(self) -> None:
        if not _is_int(self.zstd_level) or not 1 <= self.zstd_level <= 22:
            raise InvalidArgumentError(f"zstd_level must be an integer from 1 to 22, not {self.zstd_level!r}")
        if not isinstance(self.byte_grouping, bool):
            raise InvalidArgumentError(f"byte_grouping must be True or False, not {self.byte_grouping!r}")
        if self.num_threads is not None and (not _is_int(self.num_threads) or self.num_threads < 1):
            raise InvalidArgumentError(f"num_threads must be None or a positive integer, not {self.num_threads!r}")

    @classmethod
    def fast(cls) -> "CompressionConfig":
        """Speed first: floats up to one per cent larger than by default, and faster; zstd at level 1 elsewhere."""
        return cls(zstd_level=1)

    @classmethod
    def best(cls) -> "CompressionConfig":
        """Size first: floats up to a few per cent smaller than by default, at 1 to 2 GB/s a core with AVX-512;
        what zstd codes (integers, repeats) is written at its level 19, which is slow."""
        return cls(zstd_level=19)

    def writer_options(self) -> WriterOptions:
        """Keyword arguments for `core.ArchiveWriter` and `core.compress`."""
        return WriterOptions(
            zstd_level=self.zstd_level,
            split=self.byte_grouping,
            block_bytes=_BIG_BLOCK if self.zstd_level >= _BIG_BLOCK_LEVEL else _BLOCK,
            threads=self.num_threads or 0,
        )


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
