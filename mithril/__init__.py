"""Compressed PyTorch checkpoints.

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
)
from mithril._lazy import lazy

if TYPE_CHECKING:
    from mithril._version import __version__ as __version__
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

__all__ = [
    "Archive",
    "CheckpointCompressor",
    "CompressionConfig",
    "CompressionStats",
    "CorruptError",
    "InvalidArgumentError",
    "LoadResult",
    "MithrilError",
    "MithrilStorageReader",
    "MithrilStorageWriter",
    "NotFoundError",
    "SaveResult",
    "StorageError",
    "StorageExistsError",
    "StorageNotFoundError",
    "TensorInfo",
    "TruncatedError",
    "UnsupportedError",
    "from_dcp",
    "load_compressed",
    "load_file",
    "open_archive",
    "save_compressed",
    "save_file",
    "to_safetensors",
    "to_torch_save",
]

__getattr__, __dir__ = lazy(
    __name__,
    {name: "mithril.checkpoint" for name in __all__ if name not in globals()} | {"__version__": "mithril._version"},
)
