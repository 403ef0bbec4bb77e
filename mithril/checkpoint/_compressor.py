"""Compression of one buffer in memory."""

import sys
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from mithril._errors import InvalidArgumentError, UnsupportedError
from mithril._native import core
from mithril.checkpoint._config import CompressionConfig

_Out = TypeVar("_Out")

_ALIASES = {
    "bf16": "bfloat16",
    "fp16": "float16",
    "f16": "float16",
    "fp32": "float32",
    "f32": "float32",
    "fp64": "float64",
    "f64": "float64",
    "fp8_e4m3": "float8_e4m3fn",
    "fp8_e5m2": "float8_e5m2",
    "i8": "int8",
    "i16": "int16",
    "i32": "int32",
    "i64": "int64",
    "u8": "uint8",
    "u16": "uint16",
    "u32": "uint32",
    "u64": "uint64",
}


@dataclass(frozen=True)
class CompressionStats:
    """Sizes in bytes, before and after."""

    original_size: int
    compressed_size: int

    @classmethod
    def of(cls, blob: Any) -> "CompressionStats":
        """The sizes of what `CheckpointCompressor.compress` returned; nothing is decompressed."""
        return cls(_open(blob).entry(0).raw_size, len(_as_buffer(blob)))

    @property
    def ratio(self) -> float:
        """original_size ÷ compressed_size."""
        return CheckpointCompressor.compression_ratio(self.original_size, self.compressed_size)


class CheckpointCompressor:
    """Compresses buffers of one dtype, losslessly, into self-describing bytes that are checked when they are read.

    Data are bytes-like objects, NumPy arrays or torch tensors; contiguous ones are read in place. A dtype is a torch
    dtype or its name, in any case, or a short form such as bf16, fp32, i64, u8, fp8_e4m3. It says how bytes form
    elements, which is what makes them compress: the wrong one costs size, never correctness.

    Objects hold nothing but their config and may be shared by threads. For whole models `save_file` is the better door:
    it knows each tensor's dtype, writes in bounded memory and reads single tensors.
    """

    def __init__(self, config: CompressionConfig | None = None) -> None:
        self.config = config if config is not None else CompressionConfig()

    @overload
    def compress(self, data: Any, dtype: Any, previous: None = None, out: None = None) -> bytes: ...
    @overload
    def compress(self, data: Any, dtype: Any, previous: None = None, *, out: Any) -> Any: ...
    def compress(self, data: Any, dtype: Any, previous: None = None, out: Any = None) -> Any:
        """Compress `data`, read as elements of `dtype` in row-major order.

        With `out`, a writable contiguous buffer of `bound` bytes or more, the result is written to its begin, and that
        part is returned: a memoryview, or of a tensor a uint8 tensor. Into memory that was used before it is a quarter
        faster than into new bytes, which the kernel has to clear first.

        Raises InvalidArgumentError for an unknown dtype, when the bytes are not a whole number of elements, and when
        `out` is too small or shares memory with `data`.
        """
        _refuse_previous(previous)
        name, _ = _resolve(dtype)
        buffer = _as_buffer(data)
        shape = [_elements(len(buffer), dtype)]
        options = self.config.writer_options()
        if out is None:
            return core.compress(buffer, name, shape, **options)
        target = _as_target(out)
        return target[: core.compress_into(buffer, name, shape, target, **options)]

    def bound(self, size: int, dtype: Any) -> int:
        """Bytes that compressing `size` bytes of `dtype` takes at most: less than 0.1 % and 10 KiB more than these."""
        return core.compress_bound(
            _elements(size, dtype), _resolve(dtype)[0], block_bytes=self.config.writer_options()["block_bytes"]
        )

    @overload
    def decompress(
        self, blob: Any, dtype: Any = None, original_size: int | None = None, previous: None = None, out: None = None
    ) -> bytes: ...
    @overload
    def decompress(
        self,
        blob: Any,
        dtype: Any = None,
        original_size: int | None = None,
        previous: None = None,
        *,
        out: _Out,
    ) -> _Out: ...
    def decompress(
        self,
        blob: Any,
        dtype: Any = None,
        original_size: int | None = None,
        previous: None = None,
        out: Any = None,
    ) -> Any:
        """The bytes that `compress` was given; or `out`, a writable contiguous buffer of that size, filled with them.

        The blob knows its dtype and size in bytes; given here, they are compared with it. Raises InvalidArgumentError
        when they differ or `out` has another size, CorruptError or TruncatedError for a damaged blob.
        """
        _refuse_previous(previous)
        reader = _open(blob)
        entry = reader.entry(0)
        if dtype is not None and _resolve(dtype)[0] != entry.dtype:
            raise InvalidArgumentError(f"the data are {entry.dtype}, not {_resolve(dtype)[0]}")
        if original_size is not None and original_size != entry.raw_size:
            raise InvalidArgumentError(f"the data have {entry.raw_size} bytes, not {original_size}")
        threads = self.config.num_threads or 0
        if out is None:
            return reader.read_bytes(0, threads=threads)
        target = _as_target(out)
        if len(target) != entry.raw_size:
            raise InvalidArgumentError(f"out has {len(target)} bytes, the data {entry.raw_size}")
        reader.read([(0, target, 0, entry.shape[0])], threads=threads)
        return out

    def compress_raw(self, data: Any) -> bytes:
        """Compress bytes of no particular dtype, such as a pickle; for tensors `save_file` does better."""
        return self.compress(data, "uint8")

    def decompress_raw(self, blob: Any, original_size: int | None = None) -> bytes:
        """The bytes that `compress_raw` was given; `original_size` in bytes is compared when given."""
        return self.decompress(blob, "uint8", original_size)

    @staticmethod
    def compression_ratio(original: int, compressed: int) -> float:
        """How many times smaller: `original` ÷ `compressed`, both in bytes."""
        if original < 0 or compressed <= 0:
            raise InvalidArgumentError(f"no ratio of sizes {original} and {compressed}")
        return original / compressed


def _refuse_previous(previous: object) -> None:
    if previous is not None:
        raise UnsupportedError("compression against a previous version (previous=) is not supported yet")


def _resolve(dtype: object) -> tuple[str, int]:
    """Name and element width of a dtype, given by name, short form or as a torch dtype."""
    short = str(dtype).removeprefix("torch.").lower()
    name = _ALIASES.get(short, short)
    for known, _, width in core.dtypes():
        if known == name:
            return name, width
    raise InvalidArgumentError(f"unknown dtype {str(dtype)!r}")


def _elements(size: int, dtype: object) -> int:
    name, width = _resolve(dtype)
    if size < 0 or size % width:
        raise InvalidArgumentError(f"{size} bytes are not a whole number of {name} elements of {width} bytes")
    return size // width


def _open(blob: Any) -> core.ArchiveReader:
    reader = core.ArchiveReader.from_buffer(_as_buffer(blob))
    if reader.names() != [""]:
        raise InvalidArgumentError("this is an archive of named tensors; read it with load_file or open_archive")
    return reader


def _as_buffer(data: Any) -> Any:
    """The bytes of `data` in row-major order, as a flat buffer with a length; a copy only where they are scattered."""
    torch, numpy = sys.modules.get("torch"), sys.modules.get("numpy")  # who has none of theirs has not imported them
    if torch is not None and isinstance(data, torch.Tensor):
        from mithril.checkpoint._tensors import flat_bytes

        return flat_bytes(data, "data")
    if numpy is not None and isinstance(data, numpy.ndarray):
        if data.dtype.hasobject:
            raise InvalidArgumentError("an array of Python objects has no bytes of its own")
        return numpy.ascontiguousarray(data).reshape(-1).view(numpy.uint8)
    try:
        view = memoryview(data)
    except TypeError:
        raise InvalidArgumentError(f"expected bytes, an array or a tensor, not {type(data).__qualname__}") from None
    if view.nbytes == 0:  # cast refuses these
        return b""
    return view.cast("B") if view.c_contiguous else view.tobytes()


def _as_target(out: Any) -> Any:
    """The memory of `out`, to write into: a flat memoryview, or uint8 tensor."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(out, torch.Tensor):
        from mithril.checkpoint._tensors import is_in_order, memory

        if not is_in_order(out, range(out.dim())):
            raise InvalidArgumentError("out must be a contiguous tensor on the CPU")
        target: Any = memory(out)
    else:
        if not getattr(getattr(out, "flags", out), "c_contiguous", True):  # arrays and memoryviews
            raise InvalidArgumentError("out must be contiguous")
        target = memoryview(_as_buffer(out))
        if target.readonly and len(target) > 0:
            raise InvalidArgumentError("out must be writable")
    return target
