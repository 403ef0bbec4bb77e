"""The commit: whenever a save dies or fails, the checkpoint of before stays, and what is left over goes later."""

import errno
import multiprocessing
import os
import pickle
import resource
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.planner import LoadPlan, SavePlan, SavePlanner
from torch.distributed.checkpoint.storage import WriteResult
from torch.futures import Future

from mithril import (
    InvalidArgumentError,
    MithrilError,
    MithrilStorageReader,
    MithrilStorageWriter,
    StorageError,
    StorageExistsError,
    StorageNotFoundError,
    UnsupportedError,
    load_compressed,
    save_compressed,
)
from mithril._native import core
from mithril.checkpoint import _dcp_writer
from mithril.checkpoint._dcp_folder import current_checkpoint
from tests.python.ranks import ranks
from tests.soak.kill_saver import kill_savers

WORLD = 4


def state_of(version: int) -> dict[str, Any]:
    return {"w": torch.full((300, 7), float(version)), "b": torch.full((5,), version), "step": version}


def load_version(folder: Path) -> int:
    """The version of a checkpoint, all of which must be of one save."""
    state = state_of(-1)
    load_compressed(state, folder)
    version: int = state["step"]
    assert torch.equal(state["w"], state_of(version)["w"])
    assert torch.equal(state["b"], state_of(version)["b"])
    return version


def save(folder: Path, version: int, **options: Any) -> None:
    dcp.save(state_of(version), storage_writer=MithrilStorageWriter(folder, **options), no_dist=True)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Killed


def watch(event: Callable[[str], None]) -> None:
    """Have every step of a save announced, in this process."""

    class Output(core.OutputFile):
        def __init__(self, path: str, **options: Any) -> None:
            event(f"create {path}")
            super().__init__(path, **options)
            self.path = path

        def commit(self) -> None:
            event(f"commit {self.path}")
            super().commit()
            event(f"committed {self.path}")

    class Writer(core.ArchiveWriter):
        def drain(self, file: Any) -> None:
            event(f"drain {file.path}")
            super().drain(file)

    core.OutputFile, core.ArchiveWriter = Output, Writer
    for name in ("make_folder", "current_checkpoint", "mark_superseded", "remove_unnamed", "build_index"):
        announce(name, event)


def announce(name: str, event: Callable[[str], None]) -> None:
    function = getattr(_dcp_writer, name)

    def announced(*args: Any, **options: Any) -> Any:
        event(name)
        result = function(*args, **options)
        event(f"{name} done")
        return result

    setattr(_dcp_writer, name, announced)


def save_watched(folder: Path, version: int, die_at: int | None, log: Path) -> None:
    """Save, writing the steps to `log`, and die at the given one."""
    count = 0

    def event(name: str) -> None:
        nonlocal count
        with log.open("a") as file:
            file.write(name + "\n")
        if count == die_at:
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1

    watch(event)
    save(folder, version, grace_seconds=0)


def run_forked(function: Callable[..., None], *args: Any) -> int:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch.distributed.checkpoint", "torch.distributed.tensor"])
    process = context.Process(target=function, args=args)
    process.start()
    process.join(60)
    assert process.exitcode is not None
    return process.exitcode


@pytest.mark.distributed
@pytest.mark.parametrize("first", [True, False], ids=["first save", "overwriting"])
def test_killed_at_every_step(tmp_path: Path, first: bool) -> None:
    def prepare(name: str) -> tuple[Path, Path]:
        folder = tmp_path / name
        if not first:
            save(folder, 1)
        return folder, tmp_path / f"{name}.log"

    folder, log = prepare("whole")
    assert run_forked(save_watched, folder, 2, None, log) == 0
    assert load_version(folder) == 2
    steps = [line.replace(str(folder), "") for line in log.read_text().splitlines()]
    committed = steps.index("committed /metadata.mcp")
    assert len(steps) > 15
    for number in range(len(steps)):
        folder, log = prepare(str(number))
        assert run_forked(save_watched, folder, 2, number, log) == -signal.SIGKILL
        if number >= committed:
            assert load_version(folder) == 2
        elif first:
            with pytest.raises(StorageNotFoundError):
                load_version(folder)
        else:
            assert load_version(folder) == 1
        save(folder, 3, grace_seconds=0)
        assert load_version(folder) == 3
        assert len(names(folder)) == 2, steps[number]


@pytest.mark.distributed
def test_killed_at_random_times(tmp_path: Path) -> None:
    assert kill_savers(tmp_path, rounds=10, seed=0) == []


def die_while_others_save(folder: Path) -> str:
    if dist.get_rank() == 1:
        watch(lambda name: os.kill(os.getpid(), signal.SIGKILL) if name.startswith("commit ") else None)
    save_compressed(state_of(2), folder)
    return "saved"


@pytest.mark.distributed
def test_one_rank_is_killed(tmp_path: Path) -> None:
    save(tmp_path, 1)
    with pytest.raises(AssertionError, match="rank 1: died"):
        ranks(2).run(die_while_others_save, tmp_path)
    assert load_version(tmp_path) == 1


# Failed


class Broken:
    """Stateful, but not able to say its state."""

    def state_dict(self) -> dict[str, Any]:
        raise RuntimeError("no state today")

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


def raise_odd(*_: Any) -> None:
    class OddError(Exception):
        """Cannot be pickled."""

    raise OddError("odd")


def raise_full(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "/full")


def raise_unsupported(*_: Any) -> None:
    raise UnsupportedError("'w' is odd")


def fail_on_one_rank(folder: Path, kind: str) -> tuple[str, str, int | None, int]:
    """How the save of all ranks fails when that of rank 1 does; and the number of files left."""
    state = state_of(2) | {f"of rank {rank}": torch.ones(1) for rank in range(WORLD)}
    describe = _dcp_writer.describe
    if dist.get_rank() == 1:
        if kind == "stateful":
            state["broken"] = Broken()
        elif kind == "value":
            state["value of rank 1"] = object()
        else:
            _dcp_writer.describe = {"odd": raise_odd, "full": raise_full, "unsupported": raise_unsupported}[kind]
    try:
        save_compressed(state, folder)
    except MithrilError as error:
        copy = pickle.loads(pickle.dumps(error))
        dist.barrier()
        return type(copy).__name__, str(copy), getattr(copy, "errno", None), len(names(folder))
    finally:
        _dcp_writer.describe = describe
    raise AssertionError("saved")


def test_a_full_disk(tmp_path: Path) -> None:
    save(tmp_path, 1)
    before = names(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    for limit in (1000, 100_000):  # the first block, a later one
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            with pytest.raises(StorageError, match="File too large") as error:
                save_compressed({"noise": torch.randn(300, 300)}, tmp_path)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert error.value.errno == errno.EFBIG
        assert names(tmp_path) == before
    assert load_version(tmp_path) == 1


@pytest.mark.distributed
@pytest.mark.parametrize(
    ("kind", "error", "message"),
    [
        ("unsupported", "UnsupportedError", "rank 1: 'w' is odd"),
        ("odd", "MithrilError", "rank 1: OddError: odd"),
        ("full", "StorageError", "[Errno 28] rank 1: No space left on device: '/full'"),
        ("stateful", "MithrilError", "rank 1: RuntimeError: no state today"),
        (
            "value",
            "UnsupportedError",
            "rank 1: value of rank 1: builtins.object is not a plain value; allow_pickle=True would pickle it",
        ),
    ],
)
def test_all_ranks_fail_alike(tmp_path: Path, kind: str, error: str, message: str) -> None:
    save(tmp_path, 1)
    for answer in ranks(WORLD).run(fail_on_one_rank, tmp_path, kind):
        assert answer == (error, message, 28 if kind == "full" else None, 2)
    assert load_version(tmp_path) == 1


def fail_to_load_on_one_rank(folder: Path) -> tuple[str, str]:
    state = state_of(2)
    if dist.get_rank() == 2:
        state["w"] = torch.zeros(1)
    try:
        load_compressed(state, folder)
    except MithrilError as error:
        return type(error).__name__, str(error)
    raise AssertionError("loaded")


def load_stages(folder: Path) -> tuple[str, list[str]]:
    """Every rank has names of its own, as the stages of a pipeline do; and one name is nowhere."""
    state = {f"stage {rank}": torch.ones(2) * rank for rank in range(WORLD)}
    mine = f"stage {dist.get_rank()}"
    save_compressed({mine: state[mine], "common": 1}, folder)
    loaded: dict[str, Any] = {mine: torch.zeros(2), "common": None}
    load_compressed(loaded, folder)
    assert torch.equal(loaded[mine], state[mine])
    del loaded["common"]
    if dist.get_rank() == 3:
        loaded["extra"] = 1
    try:
        load_compressed(loaded, folder)
    except MithrilError as error:
        return type(error).__name__, str(error)
    raise AssertionError("loaded")


@pytest.mark.distributed
def test_loads_fail_alike(tmp_path: Path) -> None:
    save(tmp_path, 1)
    message = "rank 2: 'w' has the shape (1,) in the state_dict, but (300, 7) in the checkpoint"
    assert ranks(WORLD).run(fail_to_load_on_one_rank, tmp_path) == [("InvalidArgumentError", message)] * WORLD
    message = (
        "rank 0: the state_dict and the checkpoint differ: 1 only in the state_dict: 'extra'; "
        "1 only in the checkpoint: 'common'"
    )
    assert ranks(WORLD).run(load_stages, tmp_path) == [("NotFoundError", message)] * WORLD


# Overwriting, and what is removed when


def test_overwrite_false(tmp_path: Path) -> None:
    save_compressed(state_of(1), tmp_path, overwrite=False)
    before = names(tmp_path)
    with pytest.raises(StorageExistsError, match="overwrite is False") as error:
        save_compressed(state_of(2), tmp_path, overwrite=False)
    assert error.value.filename == str(tmp_path)
    assert names(tmp_path) == before
    assert load_version(tmp_path) == 1


class Interrupted(MithrilStorageWriter):
    """Another save completes while this one writes."""

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        future = super().write_data(plan, planner)
        save(Path(self.checkpoint_id), 7, grace_seconds=0)
        return future


class Late(MithrilStorageWriter):
    """Another save has cleaned up while this one was writing for a long time."""

    def write_data(self, plan: SavePlan, planner: SavePlanner) -> Future[list[WriteResult]]:
        future = super().write_data(plan, planner)
        for path in Path(self.checkpoint_id).glob("data-*"):
            path.unlink()
        return future


@pytest.mark.parametrize("first", [True, False])
def test_two_saves_at_once(tmp_path: Path, first: bool) -> None:
    if not first:
        save(tmp_path, 1)
    with pytest.raises(dcp.CheckpointException) as failure:
        dcp.save(state_of(2), storage_writer=Interrupted(tmp_path, grace_seconds=100), no_dist=True)
    (error, _) = failure.value.failures[0]
    assert isinstance(error, StorageError)
    assert "changed while saving" in str(error)
    assert load_version(tmp_path) == 7


def test_data_files_that_vanish_are_noticed(tmp_path: Path) -> None:
    with pytest.raises(dcp.CheckpointException) as failure:
        dcp.save(state_of(2), storage_writer=Late(tmp_path), no_dist=True)
    (error, _) = failure.value.failures[0]
    assert isinstance(error, StorageNotFoundError)
    assert names(tmp_path) == []


def age(folder: Path, seconds: float) -> None:
    for path in folder.iterdir():
        os.utime(path, (time.time() - seconds,) * 2)


def test_superseded_files_stay_for_the_grace_period(tmp_path: Path) -> None:
    save(tmp_path, 1)
    age(tmp_path, 1000)  # written long ago, but in use until now
    reader = MithrilStorageReader(tmp_path)
    metadata = reader.read_metadata()
    (old,) = tmp_path.glob("data-*")
    save(tmp_path, 2)
    assert old.exists()
    assert time.time() - old.stat().st_mtime < 100
    reader.set_up_storage_reader(metadata, True)
    state = state_of(-1)
    plan = dcp.DefaultLoadPlanner()
    plan.set_up_planner(state, metadata, True)
    reader.read_data(reader.prepare_local_plan(plan.create_local_plan()), plan).wait()
    assert torch.equal(state["w"], state_of(1)["w"])

    save(tmp_path, 3)
    assert len(names(tmp_path)) == 4
    age(tmp_path, 59)
    save(tmp_path, 4)
    assert len(names(tmp_path)) == 5
    age(tmp_path, 61)
    save(tmp_path, 5)
    assert len(names(tmp_path)) == 3  # metadata, and the data of 5 and 4
    assert not old.exists()
    save(tmp_path, 6, grace_seconds=0)
    assert len(names(tmp_path)) == 2
    assert load_version(tmp_path) == 6


def test_only_own_files_are_removed(tmp_path: Path) -> None:
    mine = "0123456789abcdef"
    leftovers = [f"data-00003-{mine}.mcp", f"data-123456-{mine}.mcp.{mine}.tmp", f"metadata.mcp.{mine}.tmp"]
    others = [
        "model.mcp",
        "data-0003-0123456789abcdef.mcp",
        "data-00003-0123456789ABCDEF.mcp",
        f"data-00003-{mine}.mcp.bak",
        f"xdata-00003-{mine}.mcp",
        f"metadata.mcp.{mine}.tmp2",
        ".metadata",
    ]
    tmp_path.joinpath(f"data-00009-{mine}.mcp").mkdir()  # not a file: cannot be removed, and no reason to fail
    for name in leftovers + others:
        (tmp_path / name).write_bytes(b"x")
    age(tmp_path, 100)
    save(tmp_path, 1)
    assert set(names(tmp_path)) >= {*others, f"data-00009-{mine}.mcp"}
    assert not set(names(tmp_path)) & set(leftovers)
    assert load_version(tmp_path) == 1


def test_damaged_metadata_can_be_overwritten(tmp_path: Path) -> None:
    save(tmp_path, 1)
    age(tmp_path, 1000)
    (tmp_path / "metadata.mcp").write_bytes(b"damaged")
    with pytest.raises(StorageExistsError):
        save_compressed(state_of(2), tmp_path, overwrite=False)
    assert len(names(tmp_path)) == 2  # nothing is removed while nobody knows what is needed
    save(tmp_path, 2)
    assert load_version(tmp_path) == 2
    assert len(names(tmp_path)) == 2


def test_ranks_that_read_different_checkpoints(tmp_path: Path) -> None:
    plans = [LoadPlan([], storage_data=identity) for identity in ("a", "a", "b")]
    reader = MithrilStorageReader(tmp_path)
    assert reader.prepare_global_plan(plans[:2]) == plans[:2]
    with pytest.raises(StorageError, match="was replaced while the ranks read its metadata"):
        reader.prepare_global_plan(plans)


def test_without_collectives(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="use_collectives=False"):
        dcp.save(state_of(1), storage_writer=MithrilStorageWriter(tmp_path), no_dist=True, use_collectives=False)


def test_a_plan_must_fit_the_data(tmp_path: Path) -> None:
    """As after a change of dtype, which DCP's cache of plans does not notice."""
    writer, planner = MithrilStorageWriter(tmp_path), dcp.DefaultSavePlanner()
    planner.set_up_planner({"x": torch.ones(3)}, None, True)
    plan = planner.create_local_plan()
    planner.state_dict["x"] = torch.ones(3, dtype=torch.float64)
    writer.set_up_storage_writer(True)
    writer.prepare_local_plan(plan)
    with pytest.raises(InvalidArgumentError, match=r"'x' is float64 \(3,\), but was planned as .*float32"):
        writer.write_data(plan, planner)
    assert names(tmp_path) == []


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pending = []

    class Writer(core.ArchiveWriter):
        def add(self, name: str, data: Any, dtype: str, *args: Any, **options: Any) -> int:
            number: int = super().add(name, data, dtype, *args, **options)
            if dtype == "float32":  # not the metadata
                pending.append(self.pending_bytes)
            return number

    monkeypatch.setattr(core, "ArchiveWriter", Writer)
    monkeypatch.setattr(_dcp_writer, "_PENDING_BYTES", 1000)
    state = {str(number): torch.ones(60) for number in range(50)} | {"large": torch.ones(10, 100).t()}
    save_compressed(state, tmp_path)
    assert max(pending) == 4000
    assert sorted(pending)[-2] <= 1000


def test_the_writer_can_be_pickled_and_reused(tmp_path: Path) -> None:
    writer = MithrilStorageWriter(tmp_path / "1", grace_seconds=0)
    dcp.save(state_of(1), storage_writer=writer, no_dist=True)
    writer = pickle.loads(pickle.dumps(writer))
    dcp.save(state_of(2), storage_writer=writer, no_dist=True)
    assert load_version(tmp_path / "1") == 2
    dcp.save(state_of(3), storage_writer=writer, checkpoint_id=tmp_path / "3", no_dist=True)
    assert writer.checkpoint_id == str(tmp_path / "3")
    assert [load_version(tmp_path / "1"), load_version(tmp_path / "3")] == [2, 3]


def test_a_save_that_cleans_up_late_spares_a_later_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One save commits, then another, and only then the first cleans up."""
    second = []

    def commit_another(folder: Path) -> Any:
        monkeypatch.undo()
        save_compressed({"x": torch.ones(3)}, folder)
        second.append(True)
        return current_checkpoint(folder)

    writer = MithrilStorageWriter(tmp_path, grace_seconds=0)
    publish = writer._publish

    def publish_then_wait(*arguments: Any) -> str:
        identity = publish(*arguments)
        monkeypatch.setattr("mithril.checkpoint._dcp_writer.current_checkpoint", commit_another)
        return identity

    monkeypatch.setattr(writer, "_publish", publish_then_wait)
    dcp.save({"x": torch.zeros(3)}, storage_writer=writer, no_dist=True)
    assert second
    state = {"x": torch.zeros(3)}
    load_compressed(state, tmp_path)
    assert torch.equal(state["x"], torch.ones(3))
