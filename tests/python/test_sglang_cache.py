"""SGLang's folders: what torch.compile leaves in them moves, and its variables."""

import json
import os
import shutil
from pathlib import Path

import pytest

from mithril.cache._frameworks.sglang import SglangCacheConfig, SglangCacheManager

PROGRAM = """
import json, sys
from mithril.cache._frameworks.sglang import SglangCacheConfig, SglangCacheManager

manager = SglangCacheManager(SglangCacheConfig(sys.argv[1], remote_url=sys.argv[2]))
manager.set_environment()
restored = manager.warmup()

import torch
from torch._dynamo.utils import counters

with torch.no_grad():
    # A product needs no C++ compiler: the test is about the folder.
    result = torch.compile(lambda x: x @ x)(torch.ones(16, 16))
captured = manager.capture()
print(json.dumps({
    "restored": restored.done, "captured": captured.done, "skipped": captured.skipped,
    "right": bool((result == 16).all()), "hits": counters["inductor"]["fxgraph_cache_hit"],
    "misses": counters["inductor"]["fxgraph_cache_miss"],
}))
"""


def test_what_torch_compile_left_moves(tmp_path: Path, run_python) -> None:
    def run(root: Path) -> dict:
        printed = run_python(PROGRAM, root, tmp_path / "shared", TORCHINDUCTOR_COMPILE_THREADS="1")
        return json.loads(printed.splitlines()[-1])

    first = run(tmp_path / "a")
    assert (first["restored"], first["hits"], first["misses"]) == (0, 0, 1)
    assert first["captured"] > 1
    # Only the shared store reaches the new place.
    shutil.rmtree(tmp_path / "a")
    second = run(tmp_path / "b")
    assert (second["hits"], second["misses"]) == (1, 0)
    assert second["restored"] == first["captured"]
    assert first["right"]
    assert second["right"]
    assert first["skipped"] == second["skipped"] == []


def test_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("MITHRIL_", "SGLANG_", "TORCHINDUCTOR_", "TRITON_", "FLASHINFER_", "HF_")):
            monkeypatch.delenv(name)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    manager = SglangCacheManager(SglangCacheConfig(tmp_path))
    added = manager.set_environment()
    assert added.keys() == {
        "SGLANG_CACHE_DIR",
        "SGLANG_JIT_CACHE_DIR",
        "SGLANG_DG_CACHE_DIR",
        "TORCHINDUCTOR_CACHE_DIR",
        "TRITON_CACHE_DIR",
        "FLASHINFER_WORKSPACE_BASE",
    }
    assert all(Path(value).is_relative_to(tmp_path) for value in added.values())
    assert manager.trees() == {
        "inductor": Path(added["TORCHINDUCTOR_CACHE_DIR"]),
        "triton": Path(added["TRITON_CACHE_DIR"]),
    }


def test_kernels_are_not_those_of_vllm(tmp_path: Path) -> None:
    from mithril.cache._frameworks.vllm import VllmCacheConfig, VllmCacheManager

    SglangCacheManager(SglangCacheConfig(tmp_path)).put_kernel("attention", b"sglang")
    manager = VllmCacheManager(VllmCacheConfig(tmp_path))
    assert manager.get_kernel("attention") is None
    assert manager.clear() == 0
    assert SglangCacheManager(SglangCacheConfig(tmp_path)).get_kernel("attention") == b"sglang"
    assert SglangCacheManager(SglangCacheConfig(tmp_path)).stats().kernels == 1
