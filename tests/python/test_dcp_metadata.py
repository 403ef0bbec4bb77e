"""`metadata.mcp`: what is written comes back, and what makes no sense is refused with the name of the field."""

import copy
import json
import pickle
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.distributed.checkpoint.metadata import (
    BytesStorageMetadata,
    ChunkStorageMetadata,
    Metadata,
    MetadataIndex,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.storage import WriteResult

from mithril import CorruptError, MithrilError, StorageNotFoundError, TruncatedError, UnsupportedError, save_compressed
from mithril._native import core
from mithril.checkpoint import _dcp_metadata
from mithril.checkpoint._dcp_index import DataFile, Location, StorageData, build_index
from mithril.checkpoint._dcp_metadata import read_metadata, write_metadata
from tests.reference.values import read_checkpoint

FILES = [DataFile(f"data-{rank:05d}-{rank:016x}.mcp", 1000 + rank, f"{rank:032x}", 4000) for rank in range(3)]


def tensor(dtype: torch.dtype, size: tuple[int, ...], *boxes: tuple[tuple[int, ...], tuple[int, ...]]) -> Any:
    chunks = [ChunkStorageMetadata(torch.Size(offsets), torch.Size(sizes)) for offsets, sizes in boxes]
    properties = TensorProperties(dtype=dtype, requires_grad=len(size) == 2, memory_format=torch.preserve_format)
    return TensorStorageMetadata(properties, torch.Size(size), chunks)


STATE = {
    "weight": tensor(torch.float32, (6, 4), ((0, 0), (3, 4)), ((3, 0), (2, 4)), ((5, 0), (1, 4))),
    "naïve\n": tensor(torch.bfloat16, (2, 3, 5), ((0, 0, 0), (2, 3, 5))),
    "scalar": tensor(torch.int64, (), ((), ())),
    "empty": tensor(torch.float64, (0, 7), ((0, 0), (0, 7))),
    "step": BytesStorageMetadata(),
    "args.lr": BytesStorageMetadata(),
}
PLANNER_DATA = {"weight": ("weight",), "args.lr": ("args", "lr"), "layers.0": ("layers", 0)}


def results_of(state: dict[str, Any]) -> list[list[WriteResult]]:
    """As three ranks would give them."""
    results: list[list[WriteResult]] = [[], [], []]
    for fqn, stored in state.items():
        offsets = [chunk.offsets for chunk in stored.chunks] if isinstance(stored, TensorStorageMetadata) else [None]
        for number, offset in enumerate(offsets):
            rank = (len(fqn) + number) % 3
            index = MetadataIndex(fqn, offset, None if offset is None else number)
            results[rank].append(WriteResult(index, 1, Location(FILES[rank], len(results[rank]))))
    return results


def write(folder: Path, state: dict[str, Any] = STATE, planner_data: object = PLANNER_DATA) -> StorageData:
    output = core.OutputFile(str(folder / "metadata.mcp"), sync=False)
    storage = write_metadata(output, build_index(state, results_of(state)), planner_data, threads=1)
    output.commit()
    return storage


def check(metadata: Metadata, state: dict[str, Any]) -> None:
    assert list(metadata.state_dict_metadata) == sorted(state, key=lambda fqn: (hasattr(state[fqn], "chunks") < 1, fqn))
    for fqn, stored in state.items():
        found = metadata.state_dict_metadata[fqn]
        assert type(found) is type(stored)
        if isinstance(found, TensorStorageMetadata):
            assert (found.size, found.properties) == (stored.size, stored.properties)
            assert list(found.chunks) == stored.chunks
            assert found.chunks[-1] == stored.chunks[-1]
            assert found.chunks[:2] == stored.chunks[:2]
    for result in (each for rank in results_of(state) for each in rank):
        assert metadata.storage_data[result.index] == result.storage_data
        assert metadata.storage_data[MetadataIndex(result.index.fqn, result.index.offset)] == result.storage_data
    assert dict(metadata.storage_data) == {
        result.index: result.storage_data for rank in results_of(state) for result in rank
    }


def test_round_trip(tmp_path: Path) -> None:
    written = write(tmp_path)
    metadata = read_metadata(tmp_path)
    check(metadata, STATE)
    assert metadata.planner_data == PLANNER_DATA
    assert metadata.planner_data["layers.0"] == ("layers", 0)
    assert written.files == metadata.storage_data.files == FILES
    assert written.content_id == metadata.storage_data.content_id
    assert written.metadata_bytes == metadata.storage_data.metadata_bytes == (tmp_path / "metadata.mcp").stat().st_size
    assert len(metadata.storage_data) == len(list(metadata.storage_data)) == 8
    for mapping, key in ((metadata.state_dict_metadata, "none"), (metadata.storage_data, MetadataIndex("none"))):
        assert key not in mapping
        with pytest.raises(KeyError):
            mapping[key]
    with pytest.raises(KeyError):
        metadata.storage_data[MetadataIndex("weight", [1, 1], 1)]


def test_metadata_can_be_pickled_and_copied(tmp_path: Path) -> None:
    write(tmp_path)
    metadata = read_metadata(tmp_path)
    assert type(pickle.loads(pickle.dumps(metadata)).planner_data) is dict
    for clone in (pickle.loads(pickle.dumps(metadata)), copy.deepcopy(metadata)):
        check(clone, STATE)
        assert clone.planner_data == PLANNER_DATA


@pytest.mark.parametrize("planner_data", [None, {}, [1, {"a": (2,)}], "text", {"$dict": 1}])
def test_planner_data(tmp_path: Path, planner_data: object) -> None:
    write(tmp_path, planner_data=planner_data)
    assert read_metadata(tmp_path).planner_data == planner_data


def test_an_empty_checkpoint(tmp_path: Path) -> None:
    write(tmp_path, {}, {})
    metadata = read_metadata(tmp_path)
    assert len(metadata.state_dict_metadata) == len(metadata.storage_data) == 0


def test_the_reference_decoder_agrees(tmp_path: Path) -> None:
    write(tmp_path)
    found = read_checkpoint(tmp_path)
    assert found["files"] == FILES
    assert found["planner_data"] == PLANNER_DATA
    assert found["values"] == {"args.lr": (1, 2), "step": (1, 1)}
    assert found["tensors"]["weight"] == {
        "dtype": "float32",
        "shape": (6, 4),
        "requires_grad": True,
        "pin_memory": False,
        "memory_format": "preserve_format",
        "chunks": [((0, 0), (3, 4), 0, 0), ((3, 0), (2, 4), 1, 0), ((5, 0), (1, 4), 2, 0)],
    }


def test_a_saved_folder_and_the_reference_decoder_agree(tmp_path: Path) -> None:
    state = {"model": {"w": torch.ones(3, 2)}, "step": 7}
    save_compressed(state, tmp_path)
    found = read_checkpoint(tmp_path)
    ((name, size, content_id, raw_bytes),) = found["files"]
    archive = core.ArchiveReader.open(str(tmp_path / name))
    assert (size, content_id, raw_bytes) == (archive.archive_size, archive.content_id, 24 + 1)
    assert found["planner_data"] == {"model.w": ("model", "w"), "step": ("step",)}
    assert found["tensors"]["model.w"]["chunks"] == [((0, 0), (3, 2), 0, 0)]
    assert found["values"] == {"step": (0, 1)}


@pytest.mark.parametrize("missing", ["weight", "step"])
def test_everything_planned_must_be_written(missing: str) -> None:
    results = [[each for each in rank if each.index.fqn != missing] for rank in results_of(STATE)]
    with pytest.raises(MithrilError, match=f"'{missing}' was planned but not written"):
        build_index(STATE, results)


def test_slices_of_the_list_of_tensors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = {f"layer {number} é": tensor(torch.float32, (number,), ((0,), (number,))) for number in range(300)}
    write(tmp_path, state)
    for size in (64, 77, 1000, 1 << 20):
        monkeypatch.setattr(_dcp_metadata, "_SLICE_BYTES", size)
        assert len(read_metadata(tmp_path).state_dict_metadata) == 300


# Hostile metadata

Change = dict[str, Any]


def rewrite(folder: Path, changes: Change, metadata: dict[str, str] | None = None) -> None:
    """The same archive, but for some entries: other values, other columns, or None to leave one out."""
    path = folder / "metadata.mcp"
    reader = core.ArchiveReader.open(str(path))
    writer = core.ArchiveWriter()
    for number, name in enumerate(reader.names()):
        entry = reader.entry(number)
        kind, dtype, data = entry.kind, entry.dtype, bytearray(entry.raw_size)
        reader.read([(number, data, 0, entry.shape[0])])
        if name in changes:
            change = changes[name]
            if change is None:
                continue
            kind, dtype, data = (*change, None)[:3] if isinstance(change, tuple) else (kind, dtype, change)
            if not isinstance(data, bytes | array):
                data = to_json(data) if kind == "value" else array("q", data)
        size = len(data) * data.itemsize if isinstance(data, array) else len(data)
        writer.add(name, data, dtype, [size // (8 if dtype == "int64" else 1)], kind=kind)
    writer.finish(reader.metadata() if metadata is None else metadata)
    output = core.OutputFile(str(path), sync=False)
    writer.drain(output)
    output.commit()


def to_json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def row(name: str, *rest: Any) -> list[Any]:
    return [name, *(rest or ("float32", [2], False, False, "contiguous_format"))]


def rows(*extra: Any) -> list[Any]:
    """The rows of STATE, one of them replaced."""
    kept = [
        row("empty", "float64", [0, 7], True, False, "preserve_format"),
        row("naïve\n", "bfloat16", [2, 3, 5], False, False, "preserve_format"),
        row("scalar", "int64", [], False, False, "preserve_format"),
    ]
    return [*kept, *extra]


def files(**changes: Any) -> list[Any]:
    first = {"name": FILES[0].name, "size": 1, "content_id": "0" * 32, "raw": 1} | changes
    return [list(first.values()), *map(list, FILES[1:])]


REFUSED_AT_ONCE: list[tuple[str, Change]] = [
    *((name, {name: None}) for name in ("files", "tensors", "values", "chunk_count", "chunk_size", "value_entry")),
    ("planner_data", {"planner_data": None}),
    ("planner_data", {"planner_data": b"{"}),
    ("planner_data", {"planner_data": ("tensor", "uint8", b"null")}),
    ("files", {"files": {"a": 1}}),
    ("files", {"files": 1}),
    ("files", {"files": [1]}),
    ("files", {"files": [[FILES[0].name, 1, "0" * 32]]}),
    ("files", {"files": files(name="../data-00000-0000000000000000.mcp")}),
    ("files", {"files": files(name="data-00000-0000000000000000.mcp\n")}),
    ("files", {"files": files(name="metadata.mcp")}),
    ("files", {"files": files(name="data-0000-0000000000000000.mcp")}),
    ("files", {"files": files(name=FILES[1].name)}),
    ("files", {"files": files(size=-1)}),
    ("files", {"files": files(size=True)}),
    ("files", {"files": files(raw=1 << 63)}),
    ("files", {"files": files(content_id="0" * 31)}),
    ("files", {"files": files(content_id="G" * 32)}),
    ("values", {"values": ["step", "args.lr"]}),
    ("values", {"values": ["step", "step"]}),
    ("values", {"values": ["args.lr", 1]}),
    ("values", {"values": "ab"}),
    ("values", {"values": ["args.lr", "weight"]}),
    ("value_file", {"values": ["args.lr"]}),
    ("tensors", {"tensors": rows(row("alpha"))}),
    ("tensors", {"tensors": rows(row("scalar"))}),
    ("tensors", {"tensors": rows(["weight"])}),
    ("tensors", {"tensors": rows([*row("weight"), 1])}),
    ("tensors", {"tensors": rows("abcdef")}),
    ("tensors", {"tensors": rows(7)}),
    ("tensors", {"tensors": rows(row("weight", "float32", "ab", False, False, "contiguous_format"))}),
    ("tensors", {"tensors": rows(row("weight", "float32", [[1]], False, False, "contiguous_format"))}),
    ("tensors", {"tensors": rows(row("weight", "float32", [2.0], False, False, "contiguous_format"))}),
    ("tensors", {"tensors": rows(row("weight", "float32", [-1], False, False, "contiguous_format"))}),
    ("tensors", {"tensors": rows(row("weight", "float32", [1 << 61], False, False, "contiguous_format"))}),
    ("tensors", {"tensors": rows(row("weight", "float32", [0, 1 << 63], False, False, "contiguous_format"))}),
    ("tensors", {"tensors": rows(row("weight", "float32", [1] * 65, False, False, "contiguous_format"))}),
    ("tensors", {"tensors": rows(row("weight", 12, [2], False, False, "contiguous_format"))}),
    ("tensors", {"tensors": rows(row("weight", "float32", [2], 0, False, "contiguous_format"))}),
    ("tensors", {"tensors": rows(row("weight", "float32", [2], False, None, "contiguous_format"))}),
    ("tensors", {"tensors": rows(row("weight", "float32", [2], False, False, "odd_format"))}),
    ("tensors", {"tensors": rows(row("weight", "float32", [2], False, False, ["x"]))}),
    ("tensors", {"tensors": b"[["}),
    ("tensors", {"tensors": b"[" * 200_000}),
    ("tensors", {"tensors": b"]"}),
    ("tensors", {"tensors": b""}),
    ("tensors", {"tensors": b"[]]"}),
    ("tensors", {"tensors": b"[] "}),
    ("tensors", {"tensors": b"[\xff]"}),
    ("tensors", {"tensors": b'{"a":[]}'}),
    ("chunk_count", {"tensors": b"[]"}),
    ("chunk_count", {"chunk_count": [1, 1, 1]}),
    ("chunk_count", {"chunk_count": [-1, 3, 1, 3]}),
    ("chunk_count", {"chunk_count": ("tensor", "uint8", b"\x01\x01\x01\x03")}),
    ("chunk_offset", {"chunk_count": [1, 1, 1, 1 << 62]}),
    ("chunk_offset", {"chunk_offset": [0]}),
    ("chunk_file", {"chunk_file": [0]}),
    ("chunk_entry", {"chunk_entry": []}),
    ("value_entry", {"value_entry": [0, 0, 0]}),
]


@pytest.mark.parametrize(("field", "changes"), REFUSED_AT_ONCE, ids=lambda each: str(each)[:60])
def test_refused_at_once(tmp_path: Path, field: str, changes: Change) -> None:
    write(tmp_path)
    rewrite(tmp_path, changes)
    with pytest.raises(CorruptError, match=rf"metadata\.mcp: {field}"):
        read_metadata(tmp_path)


def look_at_chunks(metadata: Metadata) -> object:
    return list(metadata.state_dict_metadata["weight"].chunks)


def look_up(metadata: Metadata) -> object:
    return [metadata.storage_data[MetadataIndex("weight", offset)] for offset in ([0, 0], [3, 0], [5, 0])]


def look_up_values(metadata: Metadata) -> object:
    return [metadata.storage_data[MetadataIndex(name)] for name in ("args.lr", "step")]


def look_at_planner_data(metadata: Metadata) -> object:
    return metadata.planner_data["weight"]


FLAT = [0, 0, 0, 0, 0]  # the dims of the first three tensors
REFUSED_ON_ACCESS: list[tuple[Callable[[Metadata], object], str, Change]] = [
    (look_at_chunks, "chunk 0 of 'weight'", {"chunk_offset": [*FLAT, -1, 0, 3, 0, 5, 0]}),
    (look_at_chunks, "chunk 1 of 'weight'", {"chunk_offset": [*FLAT, 0, 0, 3, 1, 5, 0]}),
    (look_at_chunks, "chunk 1 of 'weight'", {"chunk_offset": [*FLAT, 0, 0, (1 << 63) - 1, 0, 5, 0]}),
    (look_at_chunks, "chunk 2 of 'weight'", {"chunk_size": [0, 7, 2, 3, 5, 3, 4, 2, 4, 2, 4]}),
    (look_at_chunks, "chunk 2 of 'weight'", {"chunk_size": [0, 7, 2, 3, 5, 3, 4, 2, 4, -1, 4]}),
    (look_up, "'weight' lies in entry", {"chunk_file": [0, 0, 0, 0, 3, 0]}),
    (look_up, "'weight' lies in entry", {"chunk_file": [0, 0, 0, 0, -1, 0]}),
    (look_up, "'weight' lies in entry", {"chunk_entry": [0, 0, 0, 0, 0, -1]}),
    (look_up_values, "'step' lies in entry", {"value_file": [0, 3]}),
    (look_up_values, "'args.lr' lies in entry", {"value_entry": [-1, 0]}),
    (look_at_planner_data, "planner_data", {"planner_data": b'{"$dict":[1]}'}),
    (look_at_planner_data, "planner_data", {"planner_data": b'{"$dict":'}),
]


@pytest.mark.parametrize(
    ("look", "message", "changes"), REFUSED_ON_ACCESS, ids=lambda each: getattr(each, "__name__", str(each))[:50]
)
def test_refused_on_access(tmp_path: Path, look: Callable[[Metadata], object], message: str, changes: Change) -> None:
    write(tmp_path)
    rewrite(tmp_path, {})
    look(read_metadata(tmp_path))
    rewrite(tmp_path, changes)
    with pytest.raises(CorruptError, match=rf"metadata\.mcp: {message}"):
        look(read_metadata(tmp_path))


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ({}, CorruptError),
        ({"mithril.kind": "series", "mithril.version": "1"}, CorruptError),
        ({"mithril.kind": "checkpoint"}, UnsupportedError),
        ({"mithril.kind": "checkpoint", "mithril.version": "2"}, UnsupportedError),
    ],
)
def test_kind_and_version(tmp_path: Path, kind: dict[str, str], error: type[Exception]) -> None:
    write(tmp_path)
    rewrite(tmp_path, {}, {**kind, "note": "others may add their own"})
    with pytest.raises(error, match=r"metadata\.mcp: mithril\."):
        read_metadata(tmp_path)


def test_unknown_dtype(tmp_path: Path) -> None:
    write(tmp_path)
    rewrite(tmp_path, {"tensors": rows(row("weight", "float7", [6, 4], False, False, "contiguous_format"))})
    with pytest.raises(UnsupportedError, match="float7"):
        read_metadata(tmp_path)


def test_truncated_and_missing(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "metadata.mcp"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(TruncatedError):
        read_metadata(tmp_path)
    path.unlink()
    with pytest.raises(StorageNotFoundError, match="no checkpoint"):
        read_metadata(tmp_path)


# A million chunks

MEASURE = """
import gc, os, sys, time
from pathlib import Path
import torch
from torch.distributed.checkpoint.metadata import *
from torch.distributed.checkpoint.storage import WriteResult
from mithril._native import core
from mithril.checkpoint._dcp_index import DataFile, Location, build_index
from mithril.checkpoint._dcp_metadata import read_metadata, write_metadata

def resident(field):
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith(field))

def measure(function):
    gc.collect()
    gc.freeze()
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # forget the peak so far
    before, begin = resident("VmRSS"), time.process_time()
    result = function()
    print(round(time.process_time() - begin, 2), (resident("VmHWM") - before) >> 20)
    return result

folder, tensors, chunks = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
files = [DataFile(f"data-{rank:05d}-{0:016x}.mcp", 1, "0" * 32, 1) for rank in range(8)]
state, paths, results = {}, {}, [[] for _ in files]
for number in range(tensors):
    fqn = f"model.layers.{number}.self_attn.q_proj.weight"
    boxes = [ChunkStorageMetadata(torch.Size((64 * at, 0)), torch.Size((64, 4096))) for at in range(chunks)]
    state[fqn] = TensorStorageMetadata(TensorProperties(torch.float32), torch.Size((64 * chunks, 4096)), boxes)
    paths[fqn] = ("model", fqn[6:])
    for at, box in enumerate(boxes):
        rank = (number + at) % 8
        index = MetadataIndex(fqn, box.offsets, at)
        results[rank].append(WriteResult(index, 1, Location(files[rank], len(results[rank]))))

def write():
    output = core.OutputFile(str(folder / "metadata.mcp"), sync=False)
    write_metadata(output, build_index(state, results), paths, threads=1)
    output.commit()

measure(write)
del state, paths, results, boxes
metadata = measure(lambda: read_metadata(folder))
assert len(metadata.storage_data) == tensors * chunks
"""


@pytest.mark.slow
@pytest.mark.parametrize(("tensors", "chunks", "megabytes"), [(10_000, 100, 200), (1_000_000, 1, 320)])
def test_a_million_chunks(
    tmp_path: Path, run_python: Callable[..., str], tensors: int, chunks: int, megabytes: int
) -> None:
    """Seconds of processor time and MiB of memory beyond what DCP itself holds, for writing and for reading."""
    figures = run_python(MEASURE, tmp_path, tensors, chunks)
    print(f"{tensors} tensors of {chunks} chunks: write, read (s, MiB):", figures)
    for line in figures.splitlines():
        seconds, used = map(float, line.split())
        assert used <= megabytes
        assert seconds < 20  # a machine may be busy; the figures are for reading
