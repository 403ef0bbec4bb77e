"""The compile cache: one verified, evicting, shareable store behind torch.compile, Triton, vLLM and SGLang."""

from typing import TYPE_CHECKING

from mithril._lazy import lazy

if TYPE_CHECKING:
    from mithril.cache._bundle import BundleStats
    from mithril.cache._config import CacheConfig
    from mithril.cache._content import ContentStore, GcResult, Group, StoreStats, VerifyResult
    from mithril.cache._manager import CacheManager, CacheStats, ScanResult
    from mithril.cache._tiers import LayerStats
    from mithril.cache._trust import Trust

_HOMES = {
    "_bundle": ("BundleStats",),
    "_config": ("CacheConfig",),
    "_content": ("ContentStore", "GcResult", "Group", "StoreStats", "VerifyResult"),
    "_manager": ("CacheManager", "CacheStats", "ScanResult"),
    "_tiers": ("LayerStats",),
    "_trust": ("Trust",),
}

__all__ = [
    "BundleStats",
    "CacheConfig",
    "CacheManager",
    "CacheStats",
    "ContentStore",
    "GcResult",
    "Group",
    "LayerStats",
    "ScanResult",
    "StoreStats",
    "Trust",
    "VerifyResult",
]

__getattr__, __dir__ = lazy(
    __name__, {name: f"{__name__}.{module}" for module, names in _HOMES.items() for name in names}
)
