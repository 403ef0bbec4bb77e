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
    """1 to 22: how hard zstd works, in the planes that it codes. On integers and bytes, and on floats without
    `byte_grouping`, higher is smaller and slower to write. The fields of floats mostly go to a faster coder that has no
    level; those that zstd codes get level 1 up to level 15, where 1 is both smallest and fastest, and the level itself
    from 16 on, when it is tried on all of them. From 19 on blocks are 1 MiB instead of 256 KiB, so reading a small
    slice decodes more."""
    byte_grouping: bool = True
    """Whether floats are split into their fields (exponents, mantissas) and integers into bytes, coded apart."""
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
        """The default on bf16, fp32 and fp64, which need no zstd; zstd level 1 on everything else."""
        return cls(zstd_level=1)

    @classmethod
    def best(cls) -> "CompressionConfig":
        """For archives written once: zstd level 19 in blocks of 1 MiB, hundreds of times slower to write."""
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
