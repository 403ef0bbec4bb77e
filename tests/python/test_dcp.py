"""Distributed checkpoints on real ranks: what was saved in one layout comes back bit for bit in any other."""

import functools
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed._shard.sharded_tensor import ShardedTensor
from torch.distributed.checkpoint._nested_dict import flatten_state_dict
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
from torch.distributed.checkpoint.planner import SavePlan
from torch.distributed.checkpoint.state_dict import get_state_dict
from torch.distributed.checkpoint.state_dict_saver import AsyncCheckpointerType
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor

from benchmarks.dcp.rows import Rows
from mithril import LoadResult, MithrilStorageReader, MithrilStorageWriter, SaveResult, load_compressed, save_compressed
from mithril.checkpoint._tensors import flat_bytes
from tests.python.ranks import ranks

pytestmark = pytest.mark.distributed

WORLD = 4


# On the ranks


@functools.cache
def mesh_of(world: int) -> DeviceMesh:
    """The first ranks as a mesh; to be called on all."""
    return DeviceMesh("cpu", list(range(world)))


def digest(state: dict[str, Any]) -> dict[str, str]:
    """Every tensor in full and every value, by flat name; equal only if all bits are. Collective for DTensors."""
    flat, _ = flatten_state_dict(state)
    return {name: describe(value) for name, value in flat.items()}


def describe(value: Any) -> str:
    if isinstance(value, DTensor):
        value = value.full_tensor()
    if isinstance(value, ShardedTensor):
        return ", ".join(f"{shard.metadata.shard_offsets}: {describe(shard.tensor)}" for shard in value.local_shards())
    if not isinstance(value, Tensor):
        return repr(value)
    content = hashlib.sha256(flat_bytes(value, "tensor").numpy().tobytes()).hexdigest()
    return f"{value.dtype} {tuple(value.shape)} {content}"


class Net(nn.Module):
    """Rows that four ranks cannot share evenly: 37, and 3, of which one rank gets none."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(16, 37)
        self.norm = nn.BatchNorm1d(37)  # a 0-d counter
        self.last = nn.Linear(37, 3, dtype=torch.float64)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.relu(self.norm(self.first(x))).double())


Wrap = Callable[[nn.Module], nn.Module]


def train(wrap: Wrap, seed: int) -> dict[str, Any]:
    """The state of a model and its optimizer after a few steps."""
    torch.manual_seed(seed)
    model = wrap(Net())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(8, 16)).square().sum().backward()
        optimizer.step()
    weights, moments = get_state_dict(model, optimizer)
    return {
        "model": weights,
        "optimizer": moments,
        "step": 3 * seed,
        "run": {"name": f"seed {seed}", "rates": [0.1, seed / 7], "rng": torch.get_rng_state()},
    }


def fsdp2(world: int) -> Wrap:
    def wrap(model: nn.Module) -> nn.Module:
        fully_shard(model.last, mesh=mesh_of(world))
        fully_shard(model, mesh=mesh_of(world))
        return model

    return wrap


def fsdp1() -> Wrap:
    wrap = functools.partial(FullyShardedDataParallel, device_id=torch.device("cpu"), use_orig_params=True)

    def wrap_both(model: nn.Module) -> nn.Module:
        model.last = wrap(model.last)  # one dtype each
        return wrap(model)

    return wrap_both


Reshard = tuple[dict[str, str] | None, dict[str, str] | None, SaveResult | None, LoadResult | None]


def reshard(folder: Path, saving: int, loading: int) -> Reshard:
    meshes = {world: mesh_of(world) for world in (1, 2, 3, 4)}
    before = after = saved = loaded = None
    if dist.get_rank() < saving:
        state = train(fsdp2(saving), seed=1)
        saved = save_compressed(state, folder, process_group=meshes[saving].get_group())
        before = digest(state)
    dist.barrier()
    if dist.get_rank() < loading:
        state = train(fsdp2(loading), seed=2)
        loaded = load_compressed(state, folder, process_group=meshes[loading].get_group())
        after = digest(state)
    return before, after, saved, loaded


def reshard_fsdp1(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Each rank's own shards."""
    state = train(fsdp1(), seed=1)
    assert isinstance(state["model"]["last.weight"], ShardedTensor)
    save_compressed(state, folder)
    before = digest(state)
    state = train(fsdp1(), seed=2)
    load_compressed(state, folder)
    return before, digest(state)


Layout = tuple[tuple[int, ...], tuple[Any, ...]]  # shape of the mesh, placements


def place(tensors: dict[str, Tensor], layout: Layout) -> dict[str, Tensor]:
    shape, placements = layout
    mesh = DeviceMesh("cpu", torch.arange(WORLD).view(shape))
    return {
        name: distribute_tensor(tensor, mesh, [p if tensor.dim() > 1 else Replicate() for p in placements])
        for name, tensor in tensors.items()
    }


def special_tensors(seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "matrix": torch.randn(13, 10, generator=generator),
        "bfloat16": torch.randn(7, 6, generator=generator).bfloat16(),
        "integers": torch.randint(-(2**60), 2**60, (5, 9, 2), generator=generator),
        "scalar": torch.randn((), generator=generator),
        "vector": torch.tensor([float("nan"), -0.0, float("inf"), 5e-324], dtype=torch.float64) * seed,
        "empty": torch.empty(0, 3),
    }


def relayout(folder: Path, before: Layout, after: Layout) -> tuple[dict[str, str], dict[str, str], SaveResult, Any]:
    state = place(special_tensors(1), before)
    saved = save_compressed(state, folder)
    expected = digest(state)
    state = place(special_tensors(2), after)
    loaded = load_compressed(state, folder)
    return expected, digest(state), saved, loaded


def save_replicas(folder: Path) -> tuple[SaveResult, dict[str, str]]:
    state: dict[str, Any] = {"tensors": special_tensors(1), "values": [1, "two", (3.0, None)]}
    saved = save_compressed(state, folder)
    state = {"tensors": special_tensors(2), "values": None}
    load_compressed(state, folder)
    return saved, digest(state)


class CountingWriter(MithrilStorageWriter):
    """Counts the items that the planner makes known before they are written."""

    planned = 0

    def prepare_local_plan(self, plan: SavePlan) -> SavePlan:
        self.planned = len(plan.items)
        return super().prepare_local_plan(plan)


def save_through_dcp(folder: Path, mode: str) -> list[tuple[dict[str, str], dict[str, str], int]]:
    """Several checkpoints with one writer, each loaded again; and how much was planned."""
    writer = CountingWriter(folder, thread_count=1)
    compared = []
    for seed in (1, 3, 5):
        state = train(fsdp2(WORLD), seed)
        expected = digest(state)
        planner = DefaultSavePlanner(enable_plan_caching=mode == "plan caching")
        if mode in ("thread", "process"):
            kind = AsyncCheckpointerType(mode)
            dcp.async_save(state, storage_writer=writer, planner=planner, async_checkpointer_type=kind).result()
        else:
            dcp.save(state, storage_writer=writer, planner=planner)
        state = train(fsdp2(WORLD), seed=2)
        dcp.load(state, storage_reader=MithrilStorageReader(folder))
        compared.append((expected, digest(state), writer.planned))
    return compared


BLOCK_BYTES = 256 << 10


def large_tensors() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "float32": torch.randn(4096, 511, generator=generator),
        "bfloat16": torch.randn(8192, 300, generator=generator).bfloat16(),
    }


def save_on_two(folder: Path) -> SaveResult | None:
    mesh = mesh_of(2)
    if dist.get_rank() >= 2:
        return None
    state = {name: distribute_tensor(tensor, mesh, [Shard(0)]) for name, tensor in large_tensors().items()}
    return save_compressed(state, folder, process_group=mesh.get_group())


# The tests


@pytest.mark.parametrize(("saving", "loading"), [(2, 1), (2, 3), (4, 2), (1, 2), (4, 4)])
def test_reshard(tmp_path: Path, saving: int, loading: int) -> None:
    answers = ranks(WORLD).run(reshard, tmp_path, saving, loading)
    before = answers[0][0]
    assert before is not None
    assert len(before) > 30
    for rank, (_, after, saved, loaded) in enumerate(answers):
        assert after == (before if rank < loading else None)
        assert (loaded is not None) == (rank < loading)
        if saved is not None:
            files = list(tmp_path.iterdir())
            assert saved.compressed_bytes == sum(file.stat().st_size for file in files)
            assert len(files) == saving + 1
            assert saved.ratio == saved.original_bytes / saved.compressed_bytes
            assert (saved.original_bytes, saved.path) == (answers[0][2]["original_bytes"], str(tmp_path))


def test_fsdp1(tmp_path: Path) -> None:
    for before, after in ranks(WORLD).run(reshard_fsdp1, tmp_path):
        assert after == before


ONE_DIMENSION = (WORLD,)
LAYOUTS: dict[str, Layout] = {
    "rows": (ONE_DIMENSION, (Shard(0),)),
    "columns": (ONE_DIMENSION, (Shard(1),)),
    "replicas": (ONE_DIMENSION, (Replicate(),)),
    "hybrid": ((2, 2), (Replicate(), Shard(0))),
    "blocks": ((2, 2), (Shard(0), Shard(1))),
}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("rows", "columns"),
        ("columns", "rows"),
        ("columns", "columns"),
        ("replicas", "blocks"),
        ("hybrid", "columns"),
        ("blocks", "hybrid"),
        ("blocks", "replicas"),
    ],
)
def test_layouts(tmp_path: Path, before: str, after: str) -> None:
    for expected, found, saved, _ in ranks(WORLD).run(relayout, tmp_path, LAYOUTS[before], LAYOUTS[after]):
        assert found == expected
        assert saved.original_bytes == sum(tensor.nbytes for tensor in special_tensors(1).values())


def test_replicas_are_stored_once(tmp_path: Path) -> None:
    expected = digest({"tensors": special_tensors(1), "values": [1, "two", (3.0, None)]})
    values = len('[1,"two",{"$tuple":[3.0,null]}]')
    for saved, found in ranks(WORLD).run(save_replicas, tmp_path):
        assert found == expected
        assert saved.original_bytes == values + sum(tensor.nbytes for tensor in special_tensors(1).values())


@pytest.mark.parametrize("mode", ["save", "plan caching", "thread", "process"])
def test_dcp_calls(tmp_path: Path, mode: str) -> None:
    for compared in ranks(WORLD).run(save_through_dcp, tmp_path, mode):
        for number, (before, after, planned) in enumerate(compared):
            assert after == before
            if mode == "plan caching":
                assert (planned == 0) == (number > 0)


@pytest.fixture(scope="module")
def saved_on_two(tmp_path_factory: pytest.TempPathFactory) -> SaveResult:
    saved = ranks(WORLD).run(save_on_two, tmp_path_factory.mktemp("rows"))[0]
    assert saved is not None
    return saved


@pytest.mark.parametrize("part", range(8))
def test_reads_only_the_wanted_rows(saved_on_two: SaveResult, part: int) -> None:
    """From two ranks to one, which wants an eighth of the rows of every tensor."""
    whole = large_tensors()
    state: dict[str, Any] = {}
    for name, tensor in whole.items():
        rows = len(tensor) // 8
        state[name] = Rows(tensor.shape, part * rows, torch.zeros(rows, tensor.shape[1], dtype=tensor.dtype))
    loaded = load_compressed(state, saved_on_two.path)
    for name, tensor in whole.items():
        assert torch.equal(state[name].local, tensor[state[name].first :][: len(tensor) // 8])
    chunks = len(whole)  # an eighth lies in one of the two halves
    blocks = sum(tensor.nbytes / 8 / BLOCK_BYTES for tensor in whole.values())
    assert loaded.blocks_decoded <= blocks + 2 * chunks
    assert loaded.bytes_read <= saved_on_two.compressed_bytes / 8 + 2 * chunks * BLOCK_BYTES


def test_a_rank_reads_its_part(tmp_path: Path) -> None:
    everything = ranks(WORLD).run(relayout, tmp_path, LAYOUTS["rows"], LAYOUTS["rows"])
    assert sum(loaded.bytes_read for _, _, _, loaded in everything) <= everything[0][2].compressed_bytes


def test_a_single_process(tmp_path: Path) -> None:
    state = train(lambda model: model, seed=1)
    save_compressed(state, tmp_path)
    expected = digest(state)
    state = train(lambda model: model, seed=2)
    load_compressed(state, tmp_path)
    assert digest(state) == expected
