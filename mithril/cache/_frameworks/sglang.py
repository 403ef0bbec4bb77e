"""SGLang: what Inductor and Triton compiled for it (it keeps no compiled graphs of its own)."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from mithril.cache._frameworks.framework import FrameworkCacheConfig, FrameworkCacheManager, chosen
from mithril.cache._inductor.host import cpu_tag


@dataclass(frozen=True)
class SglangCacheConfig(FrameworkCacheConfig):
    """Where the cache of SGLang lives."""


class SglangCacheManager(FrameworkCacheManager):
    """Restores what was compiled for SGLang before it starts, and captures what was compiled.

    Captured are the folders of Inductor and Triton. SGLang's own kernels, FlashInfer and DeepGEMM are only given a
    folder here: they check absolute paths and times of files, so that what they built serves where it was built.
    """

    framework: ClassVar[str] = "sglang"

    def __init__(self, config: SglangCacheConfig | None = None) -> None:
        super().__init__(config or SglangCacheConfig())

    def environment(self) -> dict[str, str]:
        """Variables of SGLang's current releases, with the folders below `cache_dir` that they should name."""
        root = self.config.cache_dir
        sglang = root / "sglang" / cpu_tag()
        return {
            "SGLANG_CACHE_DIR": str(sglang),
            # Its default does not follow SGLANG_CACHE_DIR; that of DeepGEMM does in newer releases only.
            "SGLANG_JIT_CACHE_DIR": str(sglang / "jit"),
            "SGLANG_DG_CACHE_DIR": str(sglang / "deep_gemm"),
            "TORCHINDUCTOR_CACHE_DIR": str(root / "inductor" / cpu_tag()),
            "TRITON_CACHE_DIR": str(root / "triton"),
            "FLASHINFER_WORKSPACE_BASE": str(root / "flashinfer"),
        }

    def trees(self) -> dict[str, Path]:
        """The trees to capture and restore, by name: where the variables say now, or would say."""
        folders = {name: chosen(name, Path(default)) for name, default in self.environment().items()}
        return {"inductor": folders["TORCHINDUCTOR_CACHE_DIR"], "triton": folders["TRITON_CACHE_DIR"]}
