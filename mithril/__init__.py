"""Compressed PyTorch checkpoints, a compile cache, and near-duplicate removal.

Importing this package imports neither torch nor NumPy: names load when they are first used.
"""

from typing import TYPE_CHECKING

from mithril._errors import (
    CorruptError,
    InvalidArgumentError,
    MithrilError,
    NotFoundError,
    StorageError,
    StorageExistsError,
    StorageNotFoundError,
    TruncatedError,
    UnsupportedError,
    UntrustedError,
)
from mithril._lazy import lazy

if TYPE_CHECKING:
    from mithril._version import __version__ as __version__
    from mithril.cache import (
        CacheConfig,
        CacheManager,
        ContentStore,
        RemoteCacheConfig,
        S3RemoteCache,
        SglangCacheConfig,
        SglangCacheManager,
        VllmCacheConfig,
        VllmCacheManager,
    )
    from mithril.checkpoint import (
        Archive,
        CheckpointCompressor,
        CompressionConfig,
        CompressionStats,
        LoadResult,
        MithrilStorageReader,
        MithrilStorageWriter,
        SaveResult,
        TensorInfo,
        from_dcp,
        load_compressed,
        load_file,
        open_archive,
        save_compressed,
        save_file,
        to_safetensors,
        to_torch_save,
    )
    from mithril.dedup import DedupConfig, Deduplicator, DedupResult, DedupStats, deduplicate_files

__all__ = [
    "Archive",
    "CacheConfig",
    "CacheManager",
    "CheckpointCompressor",
    "CompressionConfig",
    "CompressionStats",
    "ContentStore",
    "CorruptError",
    "DedupConfig",
    "DedupResult",
    "DedupStats",
    "Deduplicator",
    "InvalidArgumentError",
    "LoadResult",
    "MithrilError",
    "MithrilStorageReader",
    "MithrilStorageWriter",
    "NotFoundError",
    "RemoteCacheConfig",
    "S3RemoteCache",
    "SaveResult",
    "SglangCacheConfig",
    "SglangCacheManager",
    "StorageError",
    "StorageExistsError",
    "StorageNotFoundError",
    "TensorInfo",
    "TruncatedError",
    "UnsupportedError",
    "UntrustedError",
    "VllmCacheConfig",
    "VllmCacheManager",
    "deduplicate_files",
    "from_dcp",
    "load_compressed",
    "load_file",
    "open_archive",
    "save_compressed",
    "save_file",
    "to_safetensors",
    "to_torch_save",
]

_CACHE = [
    "CacheConfig",
    "CacheManager",
    "ContentStore",
    "RemoteCacheConfig",
    "S3RemoteCache",
    "SglangCacheConfig",
    "SglangCacheManager",
    "VllmCacheConfig",
    "VllmCacheManager",
]
_DEDUP = ["DedupConfig", "DedupResult", "DedupStats", "Deduplicator", "deduplicate_files"]

__getattr__, __dir__ = lazy(
    __name__,
    {name: "mithril.checkpoint" for name in __all__ if name not in globals()}
    | dict.fromkeys(_CACHE, "mithril.cache")
    | dict.fromkeys(_DEDUP, "mithril.dedup")
    | {"__version__": "mithril._version"},
)
