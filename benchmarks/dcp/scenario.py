"""A training checkpoint: two gloo ranks, FSDP2, fp32 weights and both moments of AdamW after 20 steps on text, 515 MB.

Contenders save and load the same state in turns, all with fsync, each into an empty folder; best of the rounds. Sizes
are those of the folders. Memory is the growth of a rank's anonymous memory while it saves, its highest value over all
saves. In the end one process alone reads an eighth of the rows of every tensor.

torch.save and moonclip store the shards of each rank, which only as many ranks can load again. A contender whose
package is missing is skipped; benchmarks/codec/requirements.txt names them.
"""

import argparse
import ctypes
import importlib
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks import measure

RANKS, STEPS = 2, 20
SIZE = {"width": 544, "layers": 12, "heads": 8}
BLOCK = 512 << 10  # of mithril, by default
CONTENDERS = ("plain", "torch_save", "zstandard", "moonclip", "compressed")


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks dcp", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=STEPS, help="training steps before the first save")
    parser.add_argument("--folder", help="where checkpoints go; default: the folder for temporary files")
    options = parser.parse_args(arguments)
    import torch.multiprocessing as mp

    with tempfile.TemporaryDirectory(dir=options.folder) as work:
        mp.start_processes(rank_main, (work, options.rounds, options.steps), nprocs=RANKS, start_method="spawn")
        result = json.loads((Path(work) / "result.json").read_text())
        result["eighth"] = read_an_eighth(Path(work) / "benchmarks.dcp.compressed")
    print(table(result))
    print("one process reads 1/8 of the rows of every tensor:", result["eighth"])
    print(measure.write("dcp", result))


def table(result: dict[str, Any]) -> str:
    """The rows in Markdown, as they stand in the README."""
    raw = result["raw_bytes"]
    lines = ["| | on disk | ratio | save | load | memory while saving |", "| --- | --- | --- | --- | --- | --- |"]
    lines += [
        f"| {name} | {row['disk_bytes'] / 1e6:.0f} MB | {raw / row['disk_bytes']:.3f} | {row['save_s']:.2f} s "
        f"| {row['load_s']:.2f} s | +{row['memory_bytes'] / 1e6:.0f} MB |"
        for name, row in result["rows"].items()
    ]
    return "\n".join(lines)


def read_an_eighth(folder: Path) -> dict[str, int]:
    """Load rows 3/8 to 4/8 of every tensor that has as many, in this process alone, from what two ranks wrote."""
    import torch
    from torch.distributed.checkpoint.metadata import TensorStorageMetadata

    import mithril
    from benchmarks.dcp.rows import Rows

    state: dict[str, Any] = {}
    chunks = 0
    raw_blocks = 0.0
    for name, stored in mithril.MithrilStorageReader(folder).read_metadata().state_dict_metadata.items():
        if isinstance(stored, TensorStorageMetadata) and stored.size and stored.size[0] >= 8:
            first, rows = 3 * stored.size[0] // 8, stored.size[0] // 8
            local = torch.empty(rows, *stored.size[1:], dtype=stored.properties.dtype)
            state[name] = Rows(stored.size, first, local)
            chunks += sum(c.offsets[0] < first + rows and c.offsets[0] + c.sizes[0] > first for c in stored.chunks)
            raw_blocks += local.nbytes / BLOCK
    whole = sum(f.stat().st_size for f in folder.glob("data-*"))
    loaded = mithril.load_compressed(state, folder, strict=False)
    return {
        "bytes_read": loaded.bytes_read,
        "bytes_allowed": whole // 8 + 2 * chunks * BLOCK,
        "bytes_of_data": whole,
        "blocks_decoded": loaded.blocks_decoded,
        "blocks_allowed": int(raw_blocks) + 2 * chunks,
        "chunks": chunks,
    }


def rank_main(rank: int, work: str, rounds: int, steps: int) -> None:
    import torch
    import torch.distributed as dist

    sys.path.insert(0, str(measure.ROOT / "examples"))
    from gpt import Training

    os.environ["LOCAL_WORLD_SIZE"] = str(RANKS)
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{work}/rendezvous", rank=rank, world_size=RANKS)
    training = Training(**SIZE)
    for step in range(steps):
        loss = training.step(1000 * step + rank)
        if rank == 0:
            print(f"step {step + 1} of {steps}: loss {loss:.3f}", flush=True)
    state = training.state()
    contenders = installed(rank)
    rows = {c.NAME: {"save_s": float("inf"), "load_s": float("inf"), "memory_bytes": 0} for c in contenders}
    for turn in range(rounds):
        for contender in contenders:
            row, folder = rows[contender.NAME], Path(work) / contender.__name__
            if rank == 0:
                shutil.rmtree(folder, ignore_errors=True)
            with AnonymousMemory() as memory:
                row["save_s"] = min(row["save_s"], together(contender.save, state, folder))
            row["memory_bytes"] = max(row["memory_bytes"], memory.growth)
            row["load_s"] = min(row["load_s"], together(contender.load, state, folder))
            row["disk_bytes"] = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file())
        if rank == 0:
            print(f"round {turn + 1} of {rounds}", flush=True)
    if rank == 0:
        result = {"ranks": RANKS, "steps": steps, "rounds": rounds, "raw_bytes": raw_bytes(state), "rows": rows}
        Path(work, "result.json").write_text(json.dumps(result))
    dist.barrier()
    dist.destroy_process_group()


def installed(rank: int) -> list[ModuleType]:
    contenders = []
    for name in CONTENDERS:
        try:
            contenders.append(importlib.import_module(f"benchmarks.dcp.{name}"))
        except ImportError as error:
            if rank == 0:
                print(f"skipped {name}: {error}", flush=True)
    return contenders


def together(job: Callable[..., object], *arguments: object) -> float:
    """Seconds until the last rank is done with `job`."""
    import torch.distributed as dist

    dist.barrier()
    return measure.seconds(lambda: (job(*arguments), dist.barrier()))


def raw_bytes(state: dict[str, Any]) -> int:
    """Bytes of all tensors of a state, whole."""
    import torch
    from torch.distributed.checkpoint._nested_dict import flatten_state_dict

    return sum(
        t.numel() * t.element_size() for t in flatten_state_dict(state)[0].values() if isinstance(t, torch.Tensor)
    )


class AnonymousMemory:
    """The growth of this process's anonymous memory, sampled every 2 ms."""

    growth = 0

    def __enter__(self) -> "AnonymousMemory":
        ctypes.CDLL(None).malloc_trim(0)  # what training freed and malloc kept would hide what a save needs
        self._start, self._done = self._now(), threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._done.is_set():
            self.growth = max(self.growth, self._now() - self._start)
            time.sleep(0.002)

    @staticmethod
    def _now() -> int:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("RssAnon"):
                return int(line.split()[1]) * 1024
        return 0
