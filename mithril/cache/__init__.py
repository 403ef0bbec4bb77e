"""The compile cache: one verified, evicting, shareable store behind torch.compile, Triton, vLLM and SGLang."""

from typing import TYPE_CHECKING

from mithril._lazy import lazy

if TYPE_CHECKING:
    from mithril.cache._bundle import BundleStats
    from mithril.cache._config import CacheConfig
    from mithril.cache._content import ContentStore, GcResult, Group, StoreStats, VerifyResult
    from mithril.cache._device_class import DeviceClass
    from mithril.cache._explain import Difference, explain_miss
    from mithril.cache._framework import FrameworkCacheStats, TreeResult
    from mithril.cache._graph_key import GraphKey, graph_key
    from mithril.cache._levels import Artifact, ArtifactLevel, best_artifact, can_use, put_artifact
    from mithril.cache._manager import CacheManager, CacheStats, ScanResult
    from mithril.cache._remote import PullStats, PushStats, RemoteStats, RemoteTier, SyncStats
    from mithril.cache._remote_s3 import RemoteCacheConfig, S3RemoteCache
    from mithril.cache._sglang import SglangCacheConfig, SglangCacheManager
    from mithril.cache._tiers import LayerStats
    from mithril.cache._trust import Trust
    from mithril.cache._vllm import VllmCacheConfig, VllmCacheManager

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
    "_device_class": ("DeviceClass",),
    "_explain": ("Difference", "explain_miss"),
    "_framework": ("FrameworkCacheStats", "TreeResult"),
    "_graph_key": ("GraphKey", "graph_key"),
    "_levels": ("Artifact", "ArtifactLevel", "best_artifact", "can_use", "put_artifact"),
    "_manager": ("CacheManager", "CacheStats", "ScanResult"),
    "_remote": ("PullStats", "PushStats", "RemoteStats", "RemoteTier", "SyncStats"),
    "_remote_s3": ("RemoteCacheConfig", "S3RemoteCache"),
    "_sglang": ("SglangCacheConfig", "SglangCacheManager"),
    "_tiers": ("LayerStats",),
    "_trust": ("Trust",),
    "_vllm": ("VllmCacheConfig", "VllmCacheManager"),
}

__getattr__, __dir__ = lazy(
    __name__, {name: f"{__name__}.{module}" for module, names in _HOMES.items() for name in names}
)
