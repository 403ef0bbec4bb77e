"""Conversion to and from the formats of PyTorch and safetensors."""

import os
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp
from safetensors import safe_open
from safetensors.torch import load_file as load_safetensors
from safetensors.torch import save_file as save_safetensors
from torch import Tensor
from torch.distributed.checkpoint._nested_dict import flatten_state_dict
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

import mithril
from mithril import from_dcp, load_compressed, load_file, save_compressed, save_file, to_safetensors, to_torch_save
from mithril._native import core

pytestmark = [
    # What plain DCP says in a single process.
    pytest.mark.filterwarnings("ignore:torch.distributed is disabled, unavailable or uninitialized"),
    pytest.mark.filterwarnings("ignore:ComplexHalf support is experimental"),
]
DTYPES = [name for name, _, _ in core.dtypes()]
NOT_IN_SAFETENSORS = ("complex32", "complex128")


def nested_state() -> dict[str, object]:
    weight = torch.randn(20, 30)
    return {
        "model": {
            "layer.weight": weight,
            "layer.bias": torch.zeros(20, dtype=torch.bfloat16),
            "count": torch.tensor(3),
        },
        "optimizer": {
            "state": {"layer.weight": {"exp_avg": torch.randn(20, 30), "step": torch.tensor(7.0)}},
            "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "params": [0, 1], "name": None}],
        },
        "step": 1000,
        "rng": b"\0\1\2",
        "empty": torch.zeros(0, 5),
    }


def assert_same(left: object, right: object, where: str = "") -> None:
    assert type(left) is type(right), where
    if isinstance(left, dict):
        assert set(left) == set(right), where
        for key in left:
            assert_same(left[key], right[key], f"{where}.{key}")
    elif isinstance(left, list):
        assert len(left) == len(right), where
        for number, pair in enumerate(zip(left, right, strict=True)):
            assert_same(*pair, f"{where}[{number}]")
    elif isinstance(left, Tensor):
        assert left.dtype == right.dtype, where
        assert torch.equal(left, right), where
    else:
        assert left == right, where


def test_a_folder_to_torch_save(tmp_path) -> None:
    state = nested_state()
    save_compressed(state, tmp_path / "folder")
    to_torch_save(tmp_path / "folder", tmp_path / "x.pt")
    assert_same(torch.load(tmp_path / "x.pt", weights_only=True), state)


def test_a_file_to_torch_save(tmp_path, make_tensor, bits) -> None:
    tensors = {name: make_tensor(name, (5, 4)) for name in DTYPES}
    tensors |= {"transposed": torch.randn(3, 4).t(), "scalar": torch.tensor(1.5), "empty": torch.zeros(0)}
    tensors["tied"] = tensors["transposed"]
    save_file(tensors, tmp_path / "x.mcp")
    to_torch_save(tmp_path / "x.mcp", tmp_path / "x.pt")
    loaded = torch.load(tmp_path / "x.pt", weights_only=True)
    assert list(loaded) == list(tensors)
    for name, tensor in tensors.items():
        assert loaded[name].dtype == tensor.dtype
        assert bits(loaded[name]) == bits(tensor)
        assert loaded[name].stride() == tensor.stride()
    assert loaded["tied"].data_ptr() == loaded["transposed"].data_ptr()


def test_safetensors_comes_back_byte_for_byte(tmp_path, make_tensor) -> None:
    tensors = {f"{i}.{name}": make_tensor(name, (i, 6)) for i in (0, 1, 7) for name in DTYPES}
    names = ["b", "a", 'naïve \n "quoted" \x7f', "ÿ", "😀"]
    tensors |= {name: torch.randn(number) for number, name in enumerate(names)} | {"scalar": torch.ones(())}
    tensors = {name: tensor for name, tensor in tensors.items() if not name.endswith(NOT_IN_SAFETENSORS)}
    for metadata in ({"format": "ü\t\u2028"}, None):  # one entry: the order of several is random there
        save_safetensors(tensors, tmp_path / "before.safetensors", metadata)
        save_file(tensors, tmp_path / "x.mcp", metadata)
        to_safetensors(tmp_path / "x.mcp", tmp_path / "after.safetensors")
        before, after = ((tmp_path / f"{name}.safetensors").read_bytes() for name in ("before", "after"))
        assert after == before


def test_a_trained_model_through_safetensors(tmp_path, trained, trained_path, bits) -> None:
    with safe_open(trained_path, "pt") as source:
        metadata = source.metadata()
    save_file(trained, tmp_path / "x.mcp", metadata)
    to_safetensors(tmp_path / "x.mcp", tmp_path / "x.safetensors")
    loaded = load_safetensors(tmp_path / "x.safetensors")
    assert loaded.keys() == trained.keys()
    assert all(bits(loaded[name]) == bits(trained[name]) for name in trained)


def test_what_safetensors_cannot_express(tmp_path) -> None:
    weight = torch.randn(4, 6)
    save_file({"weight": weight.t(), "tied": weight.t()}, tmp_path / "x.mcp")
    to_safetensors(tmp_path / "x.mcp", tmp_path / "x.safetensors")
    loaded = load_safetensors(tmp_path / "x.safetensors")
    assert torch.equal(loaded["weight"], weight.t())
    assert torch.equal(loaded["tied"], weight.t())
    for name, tensor in {"wide": torch.zeros(2, dtype=torch.complex128), "__metadata__": torch.zeros(2)}.items():
        save_file({"good": torch.zeros(1), name: tensor}, tmp_path / "bad.mcp")
        with pytest.raises(mithril.UnsupportedError, match=name):
            to_safetensors(tmp_path / "bad.mcp", tmp_path / "bad.safetensors")
    assert not (tmp_path / "bad.safetensors").exists()


def test_a_folder_to_safetensors(tmp_path) -> None:
    state = {"model": {"weight": torch.randn(4, 6), "bias": torch.randn(4)}}
    save_compressed(state, tmp_path / "folder")
    to_safetensors(tmp_path / "folder", tmp_path / "x.safetensors")
    loaded = load_safetensors(tmp_path / "x.safetensors")
    assert loaded.keys() == {"model.weight", "model.bias"}
    assert torch.equal(loaded["model.weight"], state["model"]["weight"])
    save_compressed({**state, "step": 3}, tmp_path / "values")
    with pytest.raises(mithril.UnsupportedError, match="'step' is a int"):
        to_safetensors(tmp_path / "values", tmp_path / "y.safetensors")
    assert not (tmp_path / "y.safetensors").exists()


def test_plain_dcp_to_a_folder(tmp_path) -> None:
    state = nested_state()
    dcp.save(state, checkpoint_id=tmp_path / "plain")
    from_dcp(tmp_path / "plain", tmp_path / "folder", config=mithril.CompressionConfig.fast())
    target = nested_state()
    load_compressed(target, tmp_path / "folder")
    assert_same(target, state)
    to_torch_save(tmp_path / "folder", tmp_path / "x.pt")
    dcp_to_torch_save(tmp_path / "plain", tmp_path / "plain.pt")
    assert_same(torch.load(tmp_path / "x.pt", weights_only=True), torch.load(tmp_path / "plain.pt", weights_only=True))


def test_plain_dcp_to_a_file(tmp_path) -> None:
    state = nested_state()
    dcp.save(state, checkpoint_id=tmp_path / "plain")
    from_dcp(tmp_path / "plain", tmp_path / "x.mcp")
    with mithril.open_archive(tmp_path / "x.mcp") as archive:
        moments = archive.get_tensor("optimizer.state.layer.weight.exp_avg")
        assert torch.equal(moments, state["optimizer"]["state"]["layer.weight"]["exp_avg"])
        archive.verify(decode=True)
    to_torch_save(tmp_path / "x.mcp", tmp_path / "x.pt")
    flat = torch.load(tmp_path / "x.pt", weights_only=True)
    assert_same(flat, flatten_state_dict(state)[0])
    for convert in (load_file, lambda path: to_safetensors(path, tmp_path / "x.safetensors")):
        with pytest.raises(mithril.UnsupportedError, match="is a value"):
            convert(tmp_path / "x.mcp")
    dcp.save({"model": state["model"]}, checkpoint_id=tmp_path / "tensors")
    from_dcp(tmp_path / "tensors", tmp_path / "tensors.mcp")
    loaded = load_file(tmp_path / "tensors.mcp")
    assert_same(loaded, {f"model.{name}": tensor for name, tensor in state["model"].items()})


class Opaque:
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Opaque)


def test_values_that_are_not_plain_are_refused(tmp_path) -> None:
    dcp.save({"weight": torch.zeros(3), "odd": Opaque()}, checkpoint_id=tmp_path / "plain")
    for out in ("x.mcp", "folder"):
        with pytest.raises(mithril.UnsupportedError, match="odd"):
            from_dcp(tmp_path / "plain", tmp_path / out)
        assert not (tmp_path / "x.mcp").exists()
        assert not (tmp_path / "folder" / "metadata.mcp").exists()


@pytest.mark.parametrize("convert", [to_torch_save, to_safetensors, from_dcp])
def test_missing_and_foreign_sources(convert, tmp_path: Path) -> None:
    out = tmp_path / "out.mcp"
    with pytest.raises(FileNotFoundError):
        convert(tmp_path / "missing", out)
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileNotFoundError):
        convert(tmp_path / "folder", out)
    if convert is not from_dcp:
        torch.save({}, tmp_path / "x.pt")
        with pytest.raises(mithril.CorruptError):
            convert(tmp_path / "x.pt", out)
    assert not out.exists()


def test_a_failed_conversion_leaves_the_old_file(tmp_path) -> None:
    save_file({"x": torch.randn(100_000)}, tmp_path / "x.mcp")
    to_torch_save(tmp_path / "x.mcp", tmp_path / "x.pt")
    before = (tmp_path / "x.pt").read_bytes()
    damaged = bytearray((tmp_path / "x.mcp").read_bytes())
    damaged[1000] ^= 1
    (tmp_path / "x.mcp").write_bytes(damaged)
    for convert, out in ((to_torch_save, "x.pt"), (to_safetensors, "x.safetensors")):
        with pytest.raises(mithril.CorruptError):
            convert(tmp_path / "x.mcp", tmp_path / out)
    assert (tmp_path / "x.pt").read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["x.mcp", "x.pt"]
