"""The compile cache for torch.compile alone, under the names that programs may know: aliases of `mithril.cache`."""

import os
from pathlib import Path

from mithril.cache._config import CacheConfig
from mithril.cache._manager import CacheManager, active_manager
from mithril.cache._statistics import CacheStats

__all__ = ["get_stats", "is_patched", "patch_inductor", "unpatch_inductor"]


def patch_inductor(cache_dir: str | os.PathLike[str] | None = None) -> CacheManager:
    """Serve torch.compile in this process from `cache_dir`, or from where the environment says. Same as making a
    `CacheManager` whose config has `inductor` on."""
    config = CacheConfig.from_env() if cache_dir is None else CacheConfig(Path(cache_dir))
    return CacheManager(config.with_inductor(True))


def unpatch_inductor() -> None:
    """Put everything back. Same as `CacheManager.deactivate`; nothing when nothing is patched."""
    manager = active_manager()
    if manager is not None:
        manager.deactivate()


def is_patched() -> bool:
    """Whether a manager serves torch.compile in this process."""
    manager = active_manager()
    return manager is not None and manager.config.inductor


def get_stats() -> CacheStats | None:
    """`CacheManager.stats` of the manager that serves this process; None when none does."""
    manager = active_manager()
    return None if manager is None else manager.stats()
