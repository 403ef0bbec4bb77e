"""The operators on CUDA tensors: through pinned memory to the CPU kernels, and the results back to the device.

Archives stay on the CPU, where they are written or sent from.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.library import register_kernel

from mithril.ops._call import library


def _to_host(value: Any) -> Any:
    if isinstance(value, list):
        return [_to_host(item) for item in value]
    if not isinstance(value, Tensor) or value.device.type == "cpu":
        return value
    # Keeps the strides of a dense tensor. The copy waits for the device.
    return torch.empty_like(value, device="cpu", pin_memory=value.is_cuda).copy_(value)


def _to_device(value: Any, device: torch.device) -> Any:
    return [item.to(device) for item in value] if isinstance(value, list) else value.to(device)


def _there_and_back(name: str) -> Callable[..., Any]:
    def kernel(x: Any, *args: Any, **kwargs: Any) -> Any:
        device = (x[0] if isinstance(x, list) else x).device
        return _to_device(getattr(library, name)(_to_host(x), *args, **kwargs), device)

    return kernel


def _compress(x: Tensor, **options: Any) -> Any:
    return library.compress(_to_host(x), **options)


def _decompress_into(blob: Tensor, out: Tensor, **options: Any) -> None:
    host = out if out.device.type == "cpu" else torch.empty_like(out, device="cpu", pin_memory=out.is_cuda)
    library.decompress_into(_to_host(blob), host, **options)
    if host is not out:
        out.copy_(host)


def _minhash(tokens: Tensor, offsets: Tensor, **options: Any) -> Any:
    return library.minhash(_to_host(tokens), _to_host(offsets), **options).to(tokens.device)


KERNELS: dict[str, Callable[..., Any]] = {
    **{
        name: _there_and_back(name)
        for name in (
            "byte_group",
            "byte_ungroup",
            "split_float_fields",
            "join_float_fields",
            "decompress",
            "minhash_bands",
        )
    },
    "compress": _compress,
    "decompress_into": _decompress_into,
    "minhash": _minhash,
}


def register() -> None:
    for name, kernel in KERNELS.items():
        register_kernel(f"mithril::{name}", "cuda", kernel)
