"""Compressed checkpoints: single files, distributed checkpoints (DCP), conversion, and compression in memory."""

from typing import TYPE_CHECKING

from mithril._lazy import lazy

if TYPE_CHECKING:
    from mithril.checkpoint._compressor import CheckpointCompressor, CompressionStats
    from mithril.checkpoint._config import CompressionConfig
    from mithril.checkpoint._convert import from_dcp, to_safetensors, to_torch_save
    from mithril.checkpoint._dcp import LoadResult, SaveResult, load_compressed, save_compressed
    from mithril.checkpoint._dcp_reader import MithrilStorageReader
    from mithril.checkpoint._dcp_writer import MithrilStorageWriter
    from mithril.checkpoint._file import Archive, TensorInfo, load_file, open_archive, save_file

__all__ = [
    "Archive",
    "CheckpointCompressor",
    "CompressionConfig",
    "CompressionStats",
    "LoadResult",
    "MithrilStorageReader",
    "MithrilStorageWriter",
    "SaveResult",
    "TensorInfo",
    "from_dcp",
    "load_compressed",
    "load_file",
    "open_archive",
    "save_compressed",
    "save_file",
    "to_safetensors",
    "to_torch_save",
]

_HOMES = {
    "_compressor": ("CheckpointCompressor", "CompressionStats"),
    "_config": ("CompressionConfig",),
    "_convert": ("from_dcp", "to_safetensors", "to_torch_save"),
    "_dcp": ("LoadResult", "SaveResult", "load_compressed", "save_compressed"),
    "_dcp_reader": ("MithrilStorageReader",),
    "_dcp_writer": ("MithrilStorageWriter",),
    "_file": ("Archive", "TensorInfo", "load_file", "open_archive", "save_file"),
}

__getattr__, __dir__ = lazy(
    __name__, {name: f"{__name__}.{module}" for module, names in _HOMES.items() for name in names}
)
