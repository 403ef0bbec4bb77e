"""Single files: every dtype and kind of value bit for bit, views, slices, ties, and what goes wrong."""

import itertools
import os
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

import mithril
from mithril import CompressionConfig, InvalidArgumentError, StorageError, load_file, open_archive, save_file
from mithril._native import core
from mithril.checkpoint._tensors import carrier, flat_bytes

DTYPES = [name for name, _, _ in core.dtypes()]
WIDTHS = {name: width for name, _, width in core.dtypes()}
INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
# component width, bits of the mantissa, bits of the exponent
FLOATS = {
    "float16": (2, 10, 5),
    "bfloat16": (2, 7, 8),
    "float32": (4, 23, 8),
    "float64": (8, 52, 11),
    "complex32": (2, 10, 5),
    "complex64": (4, 23, 8),
    "complex128": (8, 52, 11),
}


def special_bytes(dtype: str) -> Tensor:
    """Zeros, denormals, extremes, infinities and NaNs with payloads, of both signs; all values of a one-byte dtype."""
    if dtype not in FLOATS:
        return torch.arange(256, dtype=torch.uint8).repeat(WIDTHS[dtype])
    width, mantissa, exponent = FLOATS[dtype]
    top = (1 << exponent) - 1
    payloads = [
        0,
        1,
        2,
        (1 << mantissa - 1) | 5,
        (1 << mantissa - 1),
        (1 << mantissa) - 1,
        0x55 & ((1 << mantissa) - 1),
    ]
    values = [
        sign << (mantissa + exponent) | e << mantissa | m
        for sign, e, m in itertools.product((0, 1), (0, 1, top // 2, top - 1, top), payloads)
    ]
    raw = b"".join(value.to_bytes(width, "little") for value in values)
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8)


def trained_bytes(dtype: str, trained: dict[str, Tensor]) -> Tensor:
    """Weights as this dtype would hold them where it can, else their bytes."""
    weights = trained["encoder.layer.0.intermediate.dense.weight"].flatten()
    component = {"complex32": "float16", "complex64": "float32", "complex128": "float64"}.get(dtype, dtype)
    if component.startswith(("float", "bfloat")) and not component.endswith(("e8m0fnu", "x2")):
        weights = weights.to(getattr(torch, component))
    return flat_bytes(weights, "weights")


@pytest.mark.parametrize("byte_grouping", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_and_value(dtype, byte_grouping, tmp_path, make_tensor, trained, bits) -> None:
    width = WIDTHS[dtype]
    special = special_bytes(dtype)
    weights = trained_bytes(dtype, trained)
    constant = torch.arange(1, width + 1, dtype=torch.uint8).repeat(300_001)
    tensors = {
        "empty": make_tensor(dtype, (0,)),
        "empty too": make_tensor(dtype, (3, 0, 2)),
        "scalar": make_tensor(dtype, ()),
        "one": make_tensor(dtype, (1,)),
        "odd tail": make_tensor(dtype, (262_144 // width + 7,), seed=1),
        "one less than a block": make_tensor(dtype, (262_144 // width - 1,), seed=2),
        "constant": make_tensor(dtype, (300_001,), data=constant),
        "special": make_tensor(dtype, (special.numel() // width,), data=special),
        "random": make_tensor(dtype, (77, 1001), seed=3),
        "trained": make_tensor(dtype, (weights.numel() // width,), data=weights),
    }
    path = tmp_path / "all.mcp"
    save_file(tensors, path, config=CompressionConfig(byte_grouping=byte_grouping))
    loaded = load_file(path)
    assert list(loaded) == list(tensors)
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype
        assert loaded[name].shape == tensor.shape
        assert bits(loaded[name]) == bits(tensor), name
    with open_archive(path) as archive:
        for name, tensor in tensors.items():
            assert archive.get_slice(name).get_dtype() == dtype
            info = archive.info(name)
            assert (info.dtype, info.shape, info.raw_bytes) == (dtype, tensor.shape, tensor.numel() * width)
            assert 0 < info.stored_bytes < info.raw_bytes + 4096
            assert bits(archive.get_tensor(name)) == bits(tensor), name
        archive.verify()
        archive.verify(decode=True)


@pytest.mark.parametrize(
    "config", [CompressionConfig(), CompressionConfig.fast(), CompressionConfig(byte_grouping=False)], ids=str
)
def test_a_trained_model(config, tmp_path, trained, trained_path, bits) -> None:
    path = tmp_path / "model.mcp"
    save_file(trained, path, {"format": "pt"}, config=config)
    loaded = load_file(path)
    assert list(loaded) == list(trained)
    assert all(bits(loaded[name]) == bits(trained[name]) for name in trained)
    assert path.stat().st_size < trained_path.stat().st_size


def test_best_is_smaller_than_fast(tmp_path, trained) -> None:
    part = {name: tensor for name, tensor in trained.items() if "layer.0." in name}
    for name, config in {"fast": CompressionConfig.fast(), "best": CompressionConfig.best()}.items():
        save_file(part, tmp_path / name, config=config)
    assert (tmp_path / "best").stat().st_size < (tmp_path / "fast").stat().st_size


def test_views(tmp_path, bits) -> None:
    base = torch.randn(4, 6, 8, 10)
    complex_ = torch.randn(3, 5, dtype=torch.complex64)
    tensors = {
        "channels_last": base.contiguous(memory_format=torch.channels_last),
        "transposed": base.transpose(1, 3),
        "sliced": base[1:3, ::2, 3],
        "expanded": base[:1].expand(5, 6, 8, 10),
        "scalar": base[0, 0, 0, 0],
        "gradient": torch.nn.Parameter(base[0]),
        "conjugate": complex_.conj(),
        "negative": complex_.conj().imag,
        "offset": base.flatten()[7:],
    }
    save_file(tensors, tmp_path / "views.mcp")
    for name, loaded in load_file(tmp_path / "views.mcp").items():
        assert bits(loaded) == bits(tensors[name]), name
        assert not loaded.requires_grad
    loaded = load_file(tmp_path / "views.mcp")
    assert loaded["channels_last"].is_contiguous(memory_format=torch.channels_last)
    assert loaded["transposed"].stride() == tensors["transposed"].stride()
    assert loaded["expanded"].is_contiguous()


def test_only_the_part_that_a_view_shows_is_saved(tmp_path) -> None:
    noise = torch.randint(0, 256, (1 << 22,), dtype=torch.uint8)
    save_file({"view": noise[:1000]}, tmp_path / "view.mcp")
    assert (tmp_path / "view.mcp").stat().st_size < 4000


def test_tied_tensors_stay_tied_and_are_stored_once(tmp_path) -> None:
    weight = torch.nn.Parameter(torch.randn(500, 300))
    save_file({"embedding": weight, "other": torch.ones(2), "head": weight}, tmp_path / "tied.mcp")
    save_file({"embedding": weight}, tmp_path / "single.mcp")
    loaded = load_file(tmp_path / "tied.mcp")
    assert list(loaded) == ["embedding", "other", "head"]
    assert loaded["head"] is loaded["embedding"]
    assert (tmp_path / "tied.mcp").stat().st_size < (tmp_path / "single.mcp").stat().st_size + 2000
    with open_archive(tmp_path / "tied.mcp") as archive:
        assert archive.keys() == ["embedding", "other", "head"]
        assert torch.equal(archive.get_tensor("head"), weight)
        assert torch.equal(archive.get_slice("head")[3:5], weight[3:5])


def test_no_tensors(tmp_path) -> None:
    save_file({}, tmp_path / "none.mcp")
    assert load_file(tmp_path / "none.mcp") == {}


def test_names_and_metadata(tmp_path) -> None:
    names = ["", " ", "a.b", "naïve/ünï😀", "x" * 4096, "\n\0"]
    metadata = {"": "", "format": "pt", "schlüssel": "wert\n" * 1000}
    save_file({name: torch.tensor(i) for i, name in enumerate(names)}, tmp_path / "names.mcp", metadata)
    loaded = load_file(str(tmp_path / "names.mcp"))
    assert [(name, tensor.item()) for name, tensor in loaded.items()] == [(name, i) for i, name in enumerate(names)]
    with open_archive(tmp_path / "names.mcp") as archive:
        assert archive.metadata() == metadata


INDICES = [0, -1, 2, slice(None), slice(1, 3), slice(0, 0), slice(None, None, 2), slice(-2, None), slice(5, 1), ...]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_slices_index_like_torch(order, tmp_path) -> None:
    tensor = torch.randn(3, 5, 4).permute(order)
    save_file({"x": tensor}, tmp_path / "x.mcp")
    with open_archive(tmp_path / "x.mcp") as archive:
        lazy = archive.get_slice("x")
        assert lazy.get_shape() == list(tensor.shape)
        for count in range(4):
            for index in itertools.product(INDICES, repeat=count):
                if index.count(...) <= 1:
                    part = lazy[index]
                    assert torch.equal(part, tensor[index]), index
                    assert part.untyped_storage().nbytes() == part.numel() * 4, index
        assert torch.equal(lazy[1], tensor[1])
        assert torch.equal(torch.stack(list(lazy)), tensor)


def test_a_row_range_reads_only_its_blocks(tmp_path) -> None:
    noise = torch.randint(0, 256, (1024, 4096), dtype=torch.uint8)
    save_file({"rows": noise, "columns": noise.t()}, tmp_path / "x.mcp")
    reader = core.ArchiveReader.open(str(tmp_path / "x.mcp"))
    stats = reader.read([(0, bytearray(3 * 4096), 500 * 4096, 503 * 4096)])
    assert stats.blocks_decoded == 1
    assert stats.bytes_read < (1 << 20) + 1024  # one block, of the size that incompressible tensors get, and the table

    damaged = bytearray((tmp_path / "x.mcp").read_bytes())
    damaged[reader.entry(0).frame_offset + 100] ^= 1
    (tmp_path / "x.mcp").write_bytes(damaged)
    with open_archive(tmp_path / "x.mcp") as archive:
        rows = archive.get_slice("rows")
        assert torch.equal(rows[500:503], noise[500:503])
        assert torch.equal(rows[700, 5:9], noise[700, 5:9])
        with pytest.raises(mithril.CorruptError):
            rows[0]
        assert torch.equal(archive.get_slice("columns")[:, 500:503], noise.t()[:, 500:503])


@pytest.mark.parametrize(
    ("index", "error"),
    [
        (5, IndexError),
        (-4, IndexError),
        ((0, 0, 0), IndexError),
        ((..., ...), IndexError),
        (True, TypeError),
        (None, TypeError),
        ([0, 1], TypeError),
        (1.0, TypeError),
        (slice(None, None, -1), ValueError),
        (slice(None, None, 0), ValueError),
    ],
    ids=str,
)
def test_bad_indices(index, error, tmp_path) -> None:
    save_file({"x": torch.zeros(3, 4)}, tmp_path / "x.mcp")
    with open_archive(tmp_path / "x.mcp") as archive, pytest.raises(error):
        archive.get_slice("x")[index]


@st.composite
def views(draw: st.DrawFn) -> Tensor:
    """A tensor of random dtype, shape and bits, seen through random permutations, slices and expansions."""
    dtype = draw(st.sampled_from(DTYPES))
    shape = draw(st.lists(st.integers(0, 6), max_size=4))
    size = WIDTHS[dtype] * torch.Size(shape).numel()
    raw = torch.frombuffer(bytearray(draw(st.binary(min_size=size, max_size=size)) + b"\0"), dtype=torch.uint8)[:size]
    element = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64, 16: torch.complex128}[WIDTHS[dtype]]
    tensor = raw.clone().view(element).view(getattr(torch, dtype)).view(shape)
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from(["permute", "slice", "expand", "select"]))
        if kind == "permute":
            tensor = tensor.permute(draw(st.permutations(range(tensor.dim()))))
        elif kind == "slice" and tensor.dim():
            dim = draw(st.integers(0, tensor.dim() - 1))
            tensor = tensor[(slice(None),) * dim + (draw(forward_slices(tensor.size(dim))),)]
        elif kind == "expand":
            tensor = tensor.unsqueeze(0).expand(draw(st.integers(0, 3)), *tensor.shape)
        elif kind == "select" and tensor.dim() and tensor.size(0):
            tensor = tensor[draw(st.integers(0, tensor.size(0) - 1))]
    return tensor


def forward_slices(size: int) -> st.SearchStrategy[slice]:
    bounds = st.none() | st.integers(-size - 1, size + 1)
    return st.builds(slice, bounds, bounds, st.none() | st.integers(1, 3))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), views(), max_size=4), st.data())
def test_any_tensors(tmp_path, bits, tensors, data) -> None:
    path = tmp_path / "any.mcp"
    save_file(tensors, path, config=CompressionConfig(byte_grouping=data.draw(st.booleans())))
    loaded = load_file(path)
    assert list(loaded) == list(tensors)
    with open_archive(path) as archive:
        for name, tensor in tensors.items():
            assert loaded[name].dtype == tensor.dtype
            assert loaded[name].shape == tensor.shape
            assert bits(loaded[name]) == bits(tensor)
            index = tuple(
                data.draw(st.integers(-size, size - 1) if size and data.draw(st.booleans()) else forward_slices(size))
                for size in tensor.shape
            )
            assert bits(archive.get_slice(name)[index]) == bits(carrier(tensor)[index])


def test_missing_things(tmp_path) -> None:
    for read in (load_file, open_archive):
        with pytest.raises(FileNotFoundError) as failure:
            read(tmp_path / "missing.mcp")
        assert isinstance(failure.value, mithril.StorageNotFoundError)
        assert failure.value.filename == str(tmp_path / "missing.mcp")
    with pytest.raises(FileNotFoundError):
        save_file({}, tmp_path / "missing" / "x.mcp")
    save_file({"there": torch.zeros(1)}, tmp_path / "x.mcp")
    with open_archive(tmp_path / "x.mcp") as archive:
        for read in (archive.get_tensor, archive.get_slice):
            with pytest.raises(KeyError, match="elsewhere"):
                read("elsewhere")


def test_not_a_mithril_file(tmp_path) -> None:
    for content in (b"", b"x", b"PK\3\4" * 1000, bytes(1 << 20)):
        (tmp_path / "x.mcp").write_bytes(content)
        with pytest.raises((mithril.CorruptError, mithril.TruncatedError)):
            load_file(tmp_path / "x.mcp")
    with pytest.raises(mithril.StorageError):
        load_file(tmp_path)


def test_cut_and_damaged_files(tmp_path) -> None:
    path = tmp_path / "x.mcp"
    save_file({"a": torch.randn(1000), "b": torch.arange(5)}, path, {"k": "v"})
    whole = path.read_bytes()
    for size in [*range(0, len(whole), 97), len(whole) - 1]:
        path.write_bytes(whole[:size])
        with pytest.raises((mithril.TruncatedError, mithril.CorruptError)):
            load_file(path)
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(mithril.TruncatedError):
        load_file(path)
    for position in range(0, len(whole), 61):
        damaged = bytearray(whole)
        damaged[position] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(mithril.MithrilError), open_archive(path) as archive:
            archive.verify()


def test_a_closed_archive(tmp_path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "x.mcp")
    archive = open_archive(tmp_path / "x.mcp")
    with archive:
        pass
    archive.close()
    for use in (archive.keys, archive.metadata, archive.verify, lambda: archive.get_tensor("x")):
        with pytest.raises(mithril.InvalidArgumentError, match="closed"):
            use()


def test_refused_before_anything_is_written(tmp_path) -> None:
    good = {"good": torch.zeros(3)}
    path = tmp_path / "x.mcp"
    save_file(good, path)
    before = path.read_bytes()
    with pytest.raises(mithril.UnsupportedError, match="'bad'"):
        save_file({**good, "bad": torch.zeros(3).to_sparse()}, path)
    for name in (1, b"x", "\ud800"):
        with pytest.raises(mithril.InvalidArgumentError, match="a name must be"):
            save_file({name: torch.zeros(3)}, path)
    for metadata in ({"step": 3}, {3: "step"}, {"step": "\ud800"}, {"mithril.kind": "checkpoint"}):
        with pytest.raises(mithril.InvalidArgumentError, match=r"metadata|mithril\."):
            save_file(good, path, metadata)
    with pytest.raises(mithril.MithrilError):
        save_file({"x" * 5000: torch.zeros(3)}, path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["x.mcp"]


def test_an_interrupted_save_leaves_the_old_file(tmp_path, monkeypatch) -> None:
    path = tmp_path / "x.mcp"
    save_file({"old": torch.zeros(3)}, path)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("mithril.checkpoint._file.describe", interrupt)
    with pytest.raises(KeyboardInterrupt):
        save_file({"new": torch.zeros(3)}, path)
    monkeypatch.undo()
    assert list(load_file(path)) == ["old"]
    assert os.listdir(tmp_path) == ["x.mcp"]


def test_other_kinds_of_entries_are_not_passed_over(tmp_path) -> None:
    path = str(tmp_path / "x.mcp")
    file, writer = core.OutputFile(path), core.ArchiveWriter()
    writer.add("weight", torch.zeros(3).view(torch.uint8), "float32", [3])
    writer.add("step", b"7", "uint8", [1], kind="value")
    writer.finish({})
    writer.drain(file)
    file.commit()
    with pytest.raises(mithril.UnsupportedError, match="'step' is a value"):
        load_file(path)
    with open_archive(path) as archive:
        assert archive.keys() == ["weight"]
        with pytest.raises(mithril.UnsupportedError, match="'step' is a value"):
            archive.get_tensor("step")


def test_what_is_no_regular_file_is_not_replaced(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "folder"):
        with pytest.raises(mithril.StorageError, match="not a regular file"):
            save_file({"x": torch.zeros(3)}, tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["folder", "pipe"]


@pytest.mark.parametrize("name", [b"\xff.mcp", "ünï 😀.mcp".encode(), b"a\nb"])
def test_odd_file_names(name: bytes, tmp_path) -> None:
    path = os.path.join(tmp_path, os.fsdecode(name))
    save_file({"x": torch.ones(3)}, path)
    assert os.listdir(os.fsencode(tmp_path)) == [name]
    assert load_file(path)["x"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_the_mode_follows_the_umask(umask: int, tmp_path: Path) -> None:
    old = os.umask(umask)
    try:
        save_file({"x": torch.zeros(3)}, tmp_path / "x.mcp")
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "x.mcp").stat().st_mode) == 0o666 & ~umask


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda(tmp_path, bits, monkeypatch) -> None:
    monkeypatch.setattr("mithril.checkpoint._file._STAGING", 1 << 16)
    tensors = {str(i): torch.randn(100, 200).cuda().t() for i in range(5)} | {"tied": torch.ones(2).cuda()}
    tensors["tie"] = tensors["tied"]
    save_file(tensors, tmp_path / "x.mcp")
    loaded = load_file(tmp_path / "x.mcp", device="cuda")
    assert loaded["tie"] is loaded["tied"]
    for name, tensor in tensors.items():
        assert loaded[name].is_cuda
        assert loaded[name].stride() == tensor.stride()
        assert bits(loaded[name]) == bits(tensor)


class MadeAtEachAccess(Mapping):
    """A mapping whose tensors live no longer than their use, so that their addresses come again."""

    def __getitem__(self, name: str) -> torch.Tensor:
        return torch.full((1 << 20,), float(name))

    def __iter__(self):
        return map(str, range(6))

    def __len__(self) -> int:
        return 6


def test_tensors_that_are_made_at_each_access_are_not_tied(tmp_path) -> None:
    save_file(MadeAtEachAccess(), tmp_path / "x.mcp")
    for name, tensor in load_file(tmp_path / "x.mcp").items():
        assert torch.equal(tensor, torch.full((1 << 20,), float(name)))


def test_a_default_device_changes_nothing(tmp_path) -> None:
    tensor = torch.randn(100, 7)
    with torch.device("meta"):
        save_file({"x": tensor, "t": tensor.t()}, tmp_path / "x.mcp")
        loaded = load_file(tmp_path / "x.mcp")
    assert torch.equal(loaded["x"], tensor)
    assert torch.equal(loaded["t"], tensor.t())


def test_long_names_that_are_not_ascii(tmp_path) -> None:
    with pytest.raises(InvalidArgumentError, match="exceeds the limit"):
        save_file({"a" + "é" * 3000: torch.zeros(1)}, tmp_path / "x.mcp")


def test_only_regular_files_are_replaced(tmp_path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(StorageError, match="not a regular file"):
        save_file({"x": torch.zeros(1)}, tmp_path / "pipe")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_load_into_existing_tensors(tmp_path, bits) -> None:
    weight = torch.randn(300, 70)
    saved = {"w": weight, "tied": weight, "image": torch.randn(2, 3, 8, 8).to(memory_format=torch.channels_last)}
    save_file(saved, tmp_path / "x.mcp")
    shared = torch.nn.Parameter(torch.zeros(300, 70))
    out = {"image": torch.zeros(2, 3, 8, 8), "w": shared, "tied": shared}
    pointer = shared.data_ptr()
    loaded = load_file(tmp_path / "x.mcp", out=out)
    assert list(loaded) == list(saved)
    assert loaded["w"] is shared
    assert shared.data_ptr() == pointer
    for name, tensor in saved.items():
        assert bits(loaded[name].detach()) == bits(tensor), name
    assert out["image"].is_contiguous()
    strided = {**out, "w": torch.zeros(300, 140)[:, ::2]}
    load_file(tmp_path / "x.mcp", out=strided)
    assert torch.equal(strided["w"], weight)


@pytest.mark.parametrize(
    ("out", "message"),
    [
        ({"a": torch.ones(3)}, "the file has the tensor 'b', out has not"),
        ({"a": torch.ones(3), "b": torch.ones(2), "c": torch.ones(1)}, "out has the tensor 'c', the file has not"),
        (
            {"a": torch.ones(3), "b": torch.ones(3)},
            r"out\['b'\] is float32 of shape \(3,\), in the file it is float32 of \(2,\)",
        ),
        ({"a": torch.ones(3), "b": torch.ones(2).double()}, r"out\['b'\] is float64"),
    ],
)
def test_an_out_that_does_not_fit_is_left_alone(out, message, tmp_path) -> None:
    save_file({"a": torch.zeros(3), "b": torch.zeros(2)}, tmp_path / "x.mcp")
    with pytest.raises(InvalidArgumentError, match=message):
        load_file(tmp_path / "x.mcp", out=out)
    assert out["a"].tolist() == [1, 1, 1]
