"""vLLM: its compiled graphs, and what Inductor and Triton compiled for it."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mithril.cache._frameworks.framework import FrameworkCacheConfig, FrameworkCacheManager, chosen
from mithril.cache._inductor.host import cpu_tag


@dataclass(frozen=True)
class VllmCacheConfig(FrameworkCacheConfig):
    """Where the cache of vLLM lives."""


class VllmCacheManager(FrameworkCacheManager):
    """Restores what vLLM compiled before it starts, and captures what it compiled.

    Captured are `torch_compile_cache` below VLLM_CACHE_ROOT (handles with absolute paths are rewritten for the folder
    they are restored to), and the folders of Inductor and Triton. FlashInfer and DeepGEMM are only given a folder here:
    they check absolute paths and times of files, so that what they built serves where it was built.
    """

    framework: ClassVar[str] = "vllm"

    def __init__(self, config: VllmCacheConfig | None = None) -> None:
        super().__init__(config or VllmCacheConfig())

    def environment(self) -> dict[str, str]:
        """Variables of vLLM's current releases, with the folders below `cache_dir` that they should name."""
        root = self.config.cache_dir
        return {
            "VLLM_CACHE_ROOT": str(root / "vllm" / cpu_tag()),
            "TORCHINDUCTOR_CACHE_DIR": str(root / "inductor" / cpu_tag()),
            "TRITON_CACHE_DIR": str(root / "triton"),
            "FLASHINFER_WORKSPACE_BASE": str(root / "flashinfer"),
            "DG_JIT_CACHE_DIR": str(root / "deep_gemm"),
        }

    def trees(self) -> dict[str, Path]:
        """The trees to capture and restore, by name: where the variables say now, or would say."""
        folders = {name: chosen(name, Path(default)) for name, default in self.environment().items()}
        return {
            "torch_compile_cache": folders["VLLM_CACHE_ROOT"] / "torch_compile_cache",
            "inductor": folders["TORCHINDUCTOR_CACHE_DIR"],
            "triton": folders["TRITON_CACHE_DIR"],
        }
