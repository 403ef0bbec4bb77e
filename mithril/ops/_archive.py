"""Tensors to archives and back, in memory: an archive with one tensor of empty name (docs/format.md)."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from mithril._errors import InvalidArgumentError
from mithril.ops._call import call, library

_untraced_call: Callable[..., Any] = torch.compiler.disable(  # type: ignore[no-untyped-call]
    call, reason="mithril.ops.decompress needs dtype= and shape= to be traced"
)


def compress(
    x: Tensor, *, zstd_level: int = 3, split: bool = True, block_bytes: int = 524288, threads: int = 0
) -> Tensor:
    """An archive that holds `x`: uint8 of shape [bytes], always on the CPU.

    `x` has any dtype and shape. Its memory is read in place, and its order kept, when it is dense (channels_last, say);
    other views are copied to row-major order first. The bytes depend on the tensor and the options alone; they are
    those of an archive file, which `mithril.CheckpointCompressor` can decompress as well.

    `zstd_level` is 1 to 22; `split=False` codes raw bytes without byte planes or float fields; `block_bytes` is 4096 to
    1 MiB; `threads=0` is one for each core this process may use.

    Raises InvalidArgumentError for options out of range and when the storage of `x` was freed, UnsupportedError for
    sparse, quantized and meta tensors.
    """
    result: Tensor = call(
        library.compress, x, zstd_level=zstd_level, split=split, block_bytes=block_bytes, threads=threads
    )
    return result


def decompress(
    blob: Tensor,
    *,
    dtype: torch.dtype | None = None,
    shape: Sequence[int] | None = None,
    dim_order: Sequence[int] | None = None,
    threads: int = 0,
) -> Tensor:
    """The tensor in the archive `blob` (uint8), on the device of `blob`; every bit is checked.

    Without options dtype, shape and memory order are the archive's. A traced graph (`torch.compile(fullgraph=True)`,
    `torch.export`) cannot know these and must name `dtype` and `shape`; they are compared with the archive's. With a
    `shape` the result is row-major unless `dim_order` says otherwise (the dimensions from the outermost to the
    innermost in memory, `(0, 2, 3, 1)` for channels_last); an archive of another order costs a copy.

    Raises InvalidArgumentError when dtype or shape are not the archive's, CorruptError or TruncatedError for damage.
    """
    caller = call if dtype is not None and shape is not None else _untraced_call
    result: Tensor = caller(library.decompress, blob, dtype=dtype, shape=shape, dim_order=dim_order, threads=threads)
    return result


def decompress_into(blob: Tensor, out: Tensor, *, threads: int = 0) -> None:
    """Decompress the archive `blob` (uint8) into `out`, which has its dtype and shape, and any strides and device.

    Decodes straight into the memory of `out` when that is on the CPU and in the archive's order. It is for memory, not
    for derivatives: a tensor that requires grad is written under `torch.no_grad()` only. When damage is found `out` may
    have been written in part.

    Raises InvalidArgumentError when dtype or shape differ, when elements of `out` overlap, or its storage was freed;
    CorruptError or TruncatedError for damage.
    """
    if torch.is_grad_enabled() and out.requires_grad:
        raise InvalidArgumentError("out requires grad: write to it under torch.no_grad()")
    if torch.compiler.is_compiling():  # which cannot ask for the bits below, and counts versions itself
        library.decompress_into(blob, out, threads=threads)
    elif out.is_conj() or out.is_neg():
        # Torch resolves pending conjugation and negation where operators read, but not where they write.
        plain = torch.empty_like(out)
        decompress_into(blob, plain, threads=threads)
        out.copy_(plain)
    else:
        call(library.decompress_into, blob, out, threads=threads)
        if not out.is_inference():
            torch.autograd.graph.increment_version(out)
