"""Loading in a single process: what is selected, what is refused and how it is said, and where the bytes go."""

import argparse
import copy
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner
from torch.distributed.checkpoint.metadata import MetadataIndex
from torch.distributed.checkpoint.planner import ReadItem

from mithril import (
    CorruptError,
    InvalidArgumentError,
    MithrilStorageReader,
    MithrilStorageWriter,
    NotFoundError,
    StorageNotFoundError,
    TruncatedError,
    UnsupportedError,
    load_compressed,
    save_compressed,
)
from mithril._native import core
from mithril.checkpoint import _dcp_reader

Bits = Callable[[Tensor], bytes]


def sample(seed: int = 1) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "model": {"weight": torch.randn(40, 30, generator=generator), "bias": torch.randn(40, generator=generator)},
        "model_ema": {"weight": torch.randn(40, 30, generator=generator)},
        "layers": [torch.randn(3, generator=generator), {"scale": torch.tensor(1.5 * seed)}],
        "step": seed,
        "rates": (0.1, [seed]),
    }


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_compressed(sample(), tmp_path)
    return tmp_path


def data_file(folder: Path) -> Path:
    (path,) = folder.glob("data-*.mcp")
    return path


# Selection


def test_names_that_only_one_side_has(saved: Path) -> None:
    state = sample(2)
    del state["model"]["bias"], state["step"]
    state["model"]["new"] = torch.zeros(1)
    expected = (
        "rank 0: the state_dict and the checkpoint differ: 1 only in the state_dict: 'model.new'; "
        "2 only in the checkpoint: 'model.bias', 'step'"
    )
    with pytest.raises(NotFoundError) as error:
        load_compressed(state, saved)
    assert str(error.value) == expected
    load_compressed(state, saved, strict=False)
    assert torch.equal(state["model"]["weight"], sample()["model"]["weight"])
    assert torch.equal(state["model"]["new"], torch.zeros(1))


def test_many_names_are_cut(tmp_path: Path) -> None:
    save_compressed({"x": 1}, tmp_path)
    with pytest.raises(NotFoundError, match=r"100 only in the state_dict: '0', '1', '10',.*, …; 1 only"):
        load_compressed({str(number): 1 for number in range(100)}, tmp_path)


def test_keys(saved: Path) -> None:
    state, before = sample(2), sample(2)
    result = load_compressed(state, saved, keys=["model", "layers.1.scale"])
    assert torch.equal(state["model"]["weight"], sample()["model"]["weight"])
    assert torch.equal(state["model"]["bias"], sample()["model"]["bias"])
    assert state["layers"][1]["scale"] == 1.5
    assert torch.equal(state["model_ema"]["weight"], before["model_ema"]["weight"])
    assert torch.equal(state["layers"][0], before["layers"][0])
    assert state["step"] == 2
    assert result.blocks_decoded == 3
    with pytest.raises(NotFoundError, match="1 only in the state_dict: 'optimizer'"):
        load_compressed(state, saved, keys={"model", "optimizer"})
    with pytest.raises(NotFoundError, match=r"1 only in the checkpoint: 'model\.bias'"):
        load_compressed({"model": {"weight": torch.zeros(40, 30)}}, saved, keys=["model"])
    load_compressed({"model": {"weight": torch.zeros(40, 30)}}, saved, keys=["model.weight"])
    with pytest.raises(InvalidArgumentError, match="not the string 'model'"):
        load_compressed(state, saved, keys="model")


def test_kinds_shapes_and_dtypes_must_agree(saved: Path) -> None:
    state = sample(2)
    state["model"]["weight"] = torch.zeros(30, 40)
    with pytest.raises(InvalidArgumentError, match=r"'model.weight' has the shape \(30, 40\) .*\(40, 30\)"):
        load_compressed(state, saved)
    state["model"]["weight"] = 7
    with pytest.raises(InvalidArgumentError, match=r"'model\.weight' is int in the state_dict, but a tensor"):
        load_compressed(state, saved)
    state = sample(2)
    state["step"] = torch.zeros(())
    with pytest.raises(InvalidArgumentError, match="'step' is a tensor in the state_dict, but a value"):
        load_compressed(state, saved)
    state = sample(2)
    state["model"]["weight"] = torch.zeros(40, 30, dtype=torch.bfloat16)
    with pytest.raises(InvalidArgumentError, match=r"'model.weight' is torch.bfloat16 .*torch.float32.*allow_cast"):
        load_compressed(state, saved)
    load_compressed(state, saved, allow_cast=True)
    assert torch.equal(state["model"]["weight"], sample()["model"]["weight"].bfloat16())


class Counter:
    """A Stateful object."""

    def __init__(self, count: int, rates: list[float]) -> None:
        self.state = {"count": count, "rates": rates, "history": torch.full((3,), float(count))}
        self.loads = 0

    def state_dict(self) -> dict[str, Any]:
        return copy.deepcopy(self.state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.state = state
        self.loads += 1


def test_stateful(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    model(torch.ones(4)).sum().backward()
    optimizer.step()
    save_compressed({"model": model, "counter": Counter(7, [0.5]), "epoch": 3}, tmp_path)
    other, counter = nn.Linear(4, 3), Counter(0, [])
    state = {"model": other, "counter": counter, "epoch": 0}
    load_compressed(state, tmp_path)
    assert torch.equal(other.weight, model.weight)
    assert counter.state["count"] == 7
    assert counter.state["rates"] == [0.5]
    assert counter.state["history"].tolist() == [7.0] * 3
    assert state["epoch"] == 3
    assert state["model"] is other
    load_compressed(state, tmp_path, keys=["epoch"])
    assert counter.loads == 1


# Where the bytes go


ORDERS = [(0, 1, 2, 3), (0, 2, 3, 1), (3, 2, 1, 0)]


def in_order(shape: tuple[int, ...], order: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Tensor:
    """A dense tensor with that memory order."""
    flat = torch.empty([shape[dim] for dim in order], dtype=dtype)
    return flat.permute([order.index(dim) for dim in range(len(order))])


@pytest.mark.parametrize("saved_order", ORDERS)
@pytest.mark.parametrize("loaded_order", ORDERS)
@pytest.mark.parametrize("scratch", [1, 100, 32 << 20])
def test_memory_orders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, saved_order: Any, loaded_order: Any, scratch: int
) -> None:
    monkeypatch.setattr(_dcp_reader, "_SCRATCH_BYTES", scratch)
    shape = (4, 3, 5, 6)
    tensor = in_order(shape, saved_order).copy_(torch.randn(shape))
    save_compressed({"x": tensor}, tmp_path)
    dense = in_order(shape, loaded_order).zero_()
    sliced = torch.zeros(4, 6, 5, 12)[:, ::2, :, ::2]
    for target in (dense, sliced):
        load_compressed({"x": target}, tmp_path)
        assert torch.equal(target, tensor)


def test_every_dtype(tmp_path: Path, bits: Bits, make_tensor: Callable[..., Tensor]) -> None:
    names = [name for name, _, _ in core.dtypes()]
    state = {name: make_tensor(name, (6, 10), seed=seed) for seed, name in enumerate(names)}
    save_compressed(state, tmp_path)
    loaded = {name: make_tensor(name, (6, 10), seed=99) for name in names}
    spread = {name: make_tensor(name, (12, 10), seed=99)[::2] for name in names}
    load_compressed(loaded, tmp_path)
    load_compressed(spread, tmp_path)
    for name in names:
        assert bits(loaded[name]) == bits(spread[name]) == bits(state[name]), name


def test_parameters_and_views_are_filled_in_place(tmp_path: Path) -> None:
    save_compressed({"p": torch.arange(6.0).view(2, 3), "c": torch.tensor([1 + 2j])}, tmp_path)
    parameter = nn.Parameter(torch.zeros(2, 3))
    conjugate = torch.zeros(1, dtype=torch.complex64).conj()
    state = {"p": parameter, "c": conjugate}
    load_compressed(state, tmp_path)
    assert state["p"] is parameter
    assert parameter.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert parameter.requires_grad
    assert conjugate.resolve_conj().tolist() == [1 + 2j]


class Part(DefaultLoadPlanner):
    """Wants one box of a tensor."""

    def __init__(self, offsets: tuple[int, ...], lengths: tuple[int, ...]) -> None:
        super().__init__()
        self.box = (offsets, lengths)
        self.result = torch.zeros(lengths)
        self.committed = 0

    def create_local_plan(self) -> dcp.LoadPlan:
        offsets, lengths = map(torch.Size, self.box)
        index = MetadataIndex("x", torch.Size([0] * len(offsets)))
        origin = torch.Size([0] * len(offsets))
        return dcp.LoadPlan([ReadItem(dcp.planner.LoadItemType.TENSOR, index, origin, index, offsets, lengths)])

    def resolve_tensor(self, read_item: ReadItem) -> Tensor:
        return self.result

    def commit_tensor(self, read_item: ReadItem, tensor: Tensor) -> None:
        self.committed += 1


@pytest.mark.parametrize("scratch", [1, 4000, 32 << 20])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
@pytest.mark.parametrize(
    ("offsets", "lengths"),
    [
        ((0, 0, 0), (9, 8, 7)),
        ((2, 0, 0), (3, 8, 7)),
        ((1, 2, 3), (7, 5, 2)),
        ((8, 7, 6), (1, 1, 1)),
        ((3, 1, 0), (1, 4, 7)),
        ((4, 4, 4), (0, 2, 2)),
    ],
)
def test_boxes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offsets: Any, lengths: Any, order: Any, scratch: int
) -> None:
    monkeypatch.setattr(_dcp_reader, "_SCRATCH_BYTES", scratch)
    tensor = in_order((9, 8, 7), order).copy_(torch.randn(9, 8, 7))
    save_compressed({"x": tensor}, tmp_path)
    planner = Part(offsets, lengths)
    dcp.load({}, storage_reader=MithrilStorageReader(tmp_path), planner=planner, no_dist=True)
    expected = tensor[tuple(slice(begin, begin + length) for begin, length in zip(offsets, lengths, strict=True))]
    assert torch.equal(planner.result, expected)
    assert planner.committed == 1


# Objects that are no plain values


def test_objects_are_refused_unless_pickling_is_allowed(tmp_path: Path) -> None:
    state = {"args": {"options": argparse.Namespace(lr=1)}}
    with pytest.raises(UnsupportedError, match=r"args.options: argparse.Namespace is not .*allow_pickle=True"):
        save_compressed(state, tmp_path)
    assert list(tmp_path.iterdir()) == []
    save_compressed(state, tmp_path, allow_pickle=True)
    loaded: dict[str, Any] = {"args": {"options": None}}
    with pytest.raises(UnsupportedError, match=r"'args.options' is a pickled object .*weights_only=False"):
        load_compressed(loaded, tmp_path)
    load_compressed(loaded, tmp_path, weights_only=False)
    assert loaded == state


def test_pickled_tensors_load_as_far_as_torch_permits(tmp_path: Path) -> None:
    state = {"pair": (torch.ones(2), 3)}  # DCP does not look into tuples
    save_compressed(state, tmp_path, allow_pickle=True)
    loaded: dict[str, Any] = {"pair": None}
    load_compressed(loaded, tmp_path)
    assert torch.equal(loaded["pair"][0], torch.ones(2))
    assert loaded["pair"][1] == 3


class Doubling(dcp.DefaultSavePlanner):
    """Makes something else of its objects."""

    def transform_object(self, write_item: dcp.planner.WriteItem, object: Any) -> Any:
        return super().transform_object(write_item, object * 2)


class Foreign(dcp.DefaultSavePlanner):
    """Looks nothing up."""

    def resolve_data(self, write_item: dcp.planner.WriteItem) -> Tensor | io.BytesIO:
        pickled = io.BytesIO()
        torch.save(self.state_dict[write_item.index.fqn] * 2, pickled)
        return pickled


@pytest.mark.parametrize("planner", [Doubling, Foreign])
def test_what_planners_make_of_objects(tmp_path: Path, planner: type[dcp.DefaultSavePlanner]) -> None:
    writer = MithrilStorageWriter(tmp_path)
    dcp.save({"x": [1, (2.5, "a")], "y": "a"}, storage_writer=writer, planner=planner(), no_dist=True)
    loaded = {"x": None, "y": None}
    load_compressed(loaded, tmp_path)
    assert loaded == {"x": [1, (2.5, "a")] * 2, "y": "aa"}
    (tmp_path / "metadata.mcp").unlink()
    with pytest.raises(dcp.CheckpointException, match="x: not a plain value"):
        dcp.save({"x": [len]}, storage_writer=writer, planner=planner(), no_dist=True)


# Damage


def test_no_checkpoint(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(StorageNotFoundError, match="no checkpoint in this folder") as error:
            load_compressed(sample(), folder)
        assert error.value.filename == str(folder)
    with pytest.raises(FileNotFoundError):
        MithrilStorageReader(tmp_path).read_metadata()
    with pytest.raises(InvalidArgumentError, match="s3://bucket"):
        load_compressed({}, "s3://bucket")


def test_a_missing_data_file(saved: Path) -> None:
    path = data_file(saved)
    path.unlink()
    with pytest.raises(StorageNotFoundError, match="a data file is missing") as error:
        load_compressed(sample(), saved)
    assert error.value.filename == str(path)


def outcome(folder: Path) -> str | None:
    """What a load of sample() says, if it is refused."""
    state = sample(2)
    try:
        load_compressed(state, folder)
    except (CorruptError, UnsupportedError, TruncatedError) as error:
        return str(error)
    assert torch.equal(state["model"]["weight"], sample()["model"]["weight"])
    return None


def test_every_flipped_byte_is_noticed(saved: Path) -> None:
    path = data_file(saved)
    intact = path.read_bytes()
    noticed = 0
    for position in range(0, len(intact), 97):
        damaged = bytearray(intact)
        damaged[position] ^= 0x40
        path.write_bytes(damaged)
        said = outcome(saved)
        assert said is None or str(path) in said
        noticed += said is not None
    assert noticed > len(intact) // 97 // 2  # the rest is header, or padding that nothing reads


def test_damage_names_tensor_and_file(saved: Path) -> None:
    path = data_file(saved)
    archive = core.ArchiveReader.open(str(path))
    offset = archive.entry(archive.find("model.weight")).frame_offset
    damaged = bytearray(path.read_bytes())
    damaged[offset] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(CorruptError, match=rf"rank 0: {path}: 'model.weight'"):
        load_compressed(sample(), saved)


def test_a_truncated_data_file(saved: Path) -> None:
    path = data_file(saved)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(TruncatedError):
        load_compressed(sample(), saved)


def test_a_data_file_of_another_save(saved: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    save_compressed(sample(2), other)
    shutil.copy(data_file(other), data_file(saved))
    with pytest.raises(CorruptError, match="content id"):
        load_compressed(sample(), saved)


def test_other_checkpoints_are_refused(tmp_path: Path) -> None:
    dcp.save({"x": torch.ones(2)}, checkpoint_id=tmp_path, no_dist=True)
    metadata = dcp.FileSystemReader(tmp_path).read_metadata()
    with pytest.raises(InvalidArgumentError, match="not that of a mithril checkpoint"):
        MithrilStorageReader(tmp_path).set_up_storage_reader(metadata, True)


def test_arguments() -> None:
    with pytest.raises(InvalidArgumentError, match="thread_count"):
        load_compressed({}, "x", thread_count=0)
    with pytest.raises(InvalidArgumentError, match="single_file_per_rank"):
        MithrilStorageWriter("x", single_file_per_rank=False)
    with pytest.raises(InvalidArgumentError, match="grace_seconds"):
        MithrilStorageWriter("x", grace_seconds=-1)
    with pytest.raises(InvalidArgumentError, match="gs://x"):
        MithrilStorageWriter("gs://x")
    assert MithrilStorageWriter.validate_checkpoint_id("/tmp/x")
    assert not MithrilStorageReader.validate_checkpoint_id("s3://x")


def test_keys_that_are_no_strings(tmp_path: Path) -> None:
    save_compressed({"state": {0: {"exp_avg": torch.ones(3), "n": 7}}, 5: "five"}, tmp_path)
    state: dict[Any, Any] = {"state": {0: {"exp_avg": torch.zeros(3), "n": None}}, 5: None}
    load_compressed(state, tmp_path)
    assert state["state"].keys() == {0}
    assert state["state"][0]["n"] == 7
    assert state[5] == "five"
    assert torch.equal(state["state"][0]["exp_avg"], torch.ones(3))


def test_tied_tensors_are_stored_once(tmp_path: Path) -> None:
    weight = torch.randn(1000, 10)
    state = {"a": weight, "b": weight, "c": weight.t(), "d": weight[:500]}
    saved = save_compressed(state, tmp_path)
    assert saved.original_bytes == 2.5 * weight.nbytes
    loaded = {name: torch.zeros_like(tensor) for name, tensor in state.items()}
    load_compressed(loaded, tmp_path)
    for name, tensor in state.items():
        assert torch.equal(loaded[name], tensor)


def test_a_default_device_changes_nothing(tmp_path: Path) -> None:
    tensor = torch.randn(64, 48)
    target = torch.zeros(48, 64, dtype=torch.float64).t()
    with torch.device("meta"):
        save_compressed({"x": tensor}, tmp_path)
        load_compressed({"x": target}, tmp_path, allow_cast=True)
    assert torch.equal(target, tensor.double())
