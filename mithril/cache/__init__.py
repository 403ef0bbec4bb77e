"""The compile cache: one verified, evicting, shareable store behind torch.compile, Triton, vLLM and SGLang."""

from typing import TYPE_CHECKING

from mithril._lazy import lazy

if TYPE_CHECKING:
    from mithril.cache._bundle import BundleStats
    from mithril.cache._config import CacheConfig
    from mithril.cache._content import ContentStore, GcResult, Group, StoreStats, VerifyResult
    from mithril.cache._frameworks.framework import FrameworkCacheStats, TreeResult
    from mithril.cache._frameworks.sglang import SglangCacheConfig, SglangCacheManager
    from mithril.cache._frameworks.vllm import VllmCacheConfig, VllmCacheManager
    from mithril.cache._keys.device_class import DeviceClass
    from mithril.cache._keys.explain import Difference, explain_miss
    from mithril.cache._keys.graph_key import GraphKey, graph_key
    from mithril.cache._keys.levels import Artifact, ArtifactLevel, best_artifact, can_use, put_artifact
    from mithril.cache._manager import CacheManager, ScanResult
    from mithril.cache._remote.copy import PullStats, PushStats, RemoteStats, RemoteTier, SyncStats
    from mithril.cache._remote.s3 import RemoteCacheConfig, S3RemoteCache
    from mithril.cache._statistics import CacheStats
    from mithril.cache._tiers import LayerStats
    from mithril.cache._trust import Trust

__all__ = [
    "Artifact",
    "ArtifactLevel",
    "BundleStats",
    "CacheConfig",
    "CacheManager",
    "CacheStats",
    "ContentStore",
    "DeviceClass",
    "Difference",
    "FrameworkCacheStats",
    "GcResult",
    "GraphKey",
    "Group",
    "LayerStats",
    "PullStats",
    "PushStats",
    "RemoteCacheConfig",
    "RemoteStats",
    "RemoteTier",
    "S3RemoteCache",
    "ScanResult",
    "SglangCacheConfig",
    "SglangCacheManager",
    "StoreStats",
    "SyncStats",
    "TreeResult",
    "Trust",
    "VerifyResult",
    "VllmCacheConfig",
    "VllmCacheManager",
    "best_artifact",
    "can_use",
    "explain_miss",
    "graph_key",
    "put_artifact",
]

_HOMES = {
    "_bundle": ("BundleStats",),
    "_config": ("CacheConfig",),
    "_content": ("ContentStore", "GcResult", "Group", "StoreStats", "VerifyResult"),
    "_keys.device_class": ("DeviceClass",),
    "_keys.explain": ("Difference", "explain_miss"),
    "_frameworks.framework": ("FrameworkCacheStats", "TreeResult"),
    "_keys.graph_key": ("GraphKey", "graph_key"),
    "_keys.levels": ("Artifact", "ArtifactLevel", "best_artifact", "can_use", "put_artifact"),
    "_manager": ("CacheManager", "ScanResult"),
    "_statistics": ("CacheStats",),
    "_remote.copy": ("PullStats", "PushStats", "RemoteStats", "RemoteTier", "SyncStats"),
    "_remote.s3": ("RemoteCacheConfig", "S3RemoteCache"),
    "_frameworks.sglang": ("SglangCacheConfig", "SglangCacheManager"),
    "_tiers": ("LayerStats",),
    "_trust": ("Trust",),
    "_frameworks.vllm": ("VllmCacheConfig", "VllmCacheManager"),
}

__getattr__, __dir__ = lazy(
    __name__, {name: f"{__name__}.{module}" for module, names in _HOMES.items() for name in names}
)
