"""Conversion between mithril's files and folders and those of PyTorch and safetensors.

A mithril path is a single file of `save_file`, or a folder of `save_compressed`. Conversions run in one process and
hold the checkpoint in memory; only `to_safetensors` of a single file holds one tensor at a time.
"""

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeAlias, cast

import torch
from torch import Tensor
from torch.distributed.checkpoint._nested_dict import unflatten_state_dict
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import _load_state_dict
from torch.distributed.checkpoint.storage import StorageReader

from mithril._errors import UnsupportedError
from mithril._native import core
from mithril.checkpoint._config import CompressionConfig
from mithril.checkpoint._dcp import save_compressed
from mithril.checkpoint._dcp_errors import plain_errors
from mithril.checkpoint._dcp_planner import CompressedLoadPlanner
from mithril.checkpoint._dcp_reader import MithrilStorageReader
from mithril.checkpoint._file import Archive, add_tensors, published, read_tensors, require_tensors
from mithril.checkpoint._safetensors import Item, write_safetensors
from mithril.checkpoint._tensors import allocate, dtype_name
from mithril.checkpoint._values import decode_value, encode_value

_Path: TypeAlias = "str | os.PathLike[str]"


def to_torch_save(path: _Path, out: _Path) -> None:
    """Write what `path` holds as a `torch.save` file, to be read by `torch.load(out)`.

    A folder gives the nested state dict that was saved, with strings for all keys, as DCP keeps them; a single file
    gives a flat dict, in which tied tensors stay tied. The metadata of a single file has no place there and stays
    behind.
    """
    content: object
    if Path(path).is_dir():
        content = _unflatten(*_load_flat(MithrilStorageReader(path)))
    else:
        reader = core.ArchiveReader.open(os.fspath(path))
        content = {**read_tensors(reader, "cpu"), **_read_values(reader)}
    with published(out) as file:
        torch.save(content, cast("IO[bytes]", _Stream(file)))


def to_safetensors(path: _Path, out: _Path) -> None:
    """Write what `path` holds as a safetensors file, the metadata of a single file included.

    The bytes are those that the safetensors library writes, the metadata sorted. Tied tensors are written once for each
    name, and in row-major order, for the format knows neither ties nor memory orders. Raises UnsupportedError, naming
    it, for a value that is not a tensor and for a dtype that the format lacks.
    """
    if Path(path).is_dir():
        flat, _ = _load_flat(MithrilStorageReader(path))
        for name, value in flat.items():
            if not isinstance(value, Tensor):
                raise UnsupportedError(f"{name!r} is a {type(value).__qualname__}; safetensors holds tensors only")
        items = [Item(name, dtype_name(t.dtype), t.shape, partial(flat.__getitem__, name)) for name, t in flat.items()]
        metadata: Mapping[str, str] = {}
    else:
        reader = core.ArchiveReader.open(os.fspath(path))
        require_tensors(reader)
        archive = Archive(reader)
        items = [
            Item(entry.name, entry.dtype, entry.shape, partial(archive.get_tensor, entry.name))
            for entry in map(reader.entry, range(len(reader)))
        ]
        metadata = reader.metadata()
    with published(out) as file:
        write_safetensors(file, items, metadata)


def from_dcp(path: _Path, out: _Path, *, config: CompressionConfig | None = None) -> None:
    """Compress a checkpoint that `torch.distributed.checkpoint` wrote to the folder `path`.

    When `out` ends in `.mcp` it becomes a single file with flat names, else a checkpoint folder as of
    `save_compressed`.

    The metadata and all values other than tensors of such a checkpoint are pickles, which torch unpickles here: convert
    only checkpoints that you trust. The result holds no pickle. Raises UnsupportedError, naming it, for a value that is
    not plain (numbers, strings, bytes, lists, tuples, sets, dicts, dtypes, sizes, devices).
    """
    flat, paths = _load_flat(FileSystemReader(path))
    if Path(out).suffix != ".mcp":
        save_compressed(_unflatten(flat, paths), out, config=config)
        return
    tensors = {name: value for name, value in flat.items() if isinstance(value, Tensor)}
    values = {name: encode_value(value, name) for name, value in flat.items() if name not in tensors}
    writer = core.ArchiveWriter(**(config or CompressionConfig()).writer_options())
    with published(out) as file:
        add_tensors(writer, file, tensors)
        for name, data in values.items():
            writer.add(name, data, "uint8", [len(data)], kind="value")
        writer.finish({})
        writer.drain(file)


def _load_flat(reader: StorageReader) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """All of a distributed checkpoint by its flat names, and the paths of these names in the nested state dict."""
    metadata = reader.read_metadata()
    flat: dict[str, Any] = {
        name: allocate(dtype_name(entry.properties.dtype), entry.size, range(len(entry.size)))
        if isinstance(entry, TensorStorageMetadata)
        else None
        for name, entry in metadata.state_dict_metadata.items()
    }
    planner = CompressedLoadPlanner(flat, strict=True, keys=None, allow_cast=False)
    with plain_errors():
        # The public load would warn that no process group is in use.
        _load_state_dict({}, reader, no_dist=True, planner=planner)
    planner.hand_over()
    return flat, metadata.planner_data


def _unflatten(flat: dict[str, Any], paths: dict[str, Any] | None) -> dict[str, Any]:
    return flat if paths is None else unflatten_state_dict(flat, paths)


def _read_values(reader: core.ArchiveReader) -> dict[str, object]:
    values: dict[str, object] = {}
    for number in range(len(reader)):
        entry = reader.entry(number)
        if entry.kind == "foreign":
            raise UnsupportedError(f"{entry.name!r} is a pickle, which mithril does not unpickle")
        if entry.kind == "value":
            values[entry.name] = decode_value(reader.read_bytes(number), entry.name)
    return values


class _Stream:
    """An OutputFile as `torch.save` takes it."""

    def __init__(self, file: core.OutputFile) -> None:
        self._file = file

    def write(self, data: Any) -> int:
        self._file.write(data)
        return memoryview(data).nbytes

    def flush(self) -> None:
        """Nothing waits here."""
