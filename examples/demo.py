"""The main job, on real input: train a small GPT under FSDP2 on two ranks, save, resume, and load on three ranks.

Run it with `make demo`. It proves what it prints: resumed losses are compared bit by bit, and so is every tensor that
another number of ranks loads.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

STEPS, EVERY, CHECKED = 30, 10, 5  # saves at 10, 20, 30; the resume begins at 20 and is compared for 5 steps
RESUME = 20
SIZE = {"width": 384, "layers": 8, "heads": 6}
GROUPS = {"weights": "model.", "first moments": ".exp_avg", "second moments": ".exp_avg_sq"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="keep the checkpoints in this folder")
    folder = parser.parse_args().keep
    work = folder or Path(tempfile.mkdtemp(prefix="mithril-demo-"))
    work.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    try:
        say(f"1/4  training on 2 ranks for {STEPS} steps, save_compressed every {EVERY}")
        trained = run(2, "train", work)
        say(f"2/4  resuming step {RESUME} on 2 ranks")
        resumed = run(2, "resume", work)
        same = resumed["losses"] == trained["losses"][RESUME : RESUME + CHECKED]
        losses = " ".join(f"{float.fromhex(x):.4f}" for x in resumed["losses"])
        check(same, f"losses of {CHECKED} steps are bit-identical: {losses}")
        say(f"3/4  loading step {RESUME} on 3 ranks")
        other = run(3, "load", work)
        equal = other["digests"] == trained["digests"]
        check(equal, f"{len(other['digests'])} tensors, of weights and optimizer, are bit-equal")
        difference = abs(other["loss"] - trained["loss"])
        check(difference < 1e-5, f"first forward loss on a fixed batch differs by {difference:.1e}")
        say("4/4  the same state with plain DCP and with its ZStandard extension, in turns, best of 3")
        table(run(2, "compare", work))
    finally:
        if folder is None:
            shutil.rmtree(work, ignore_errors=True)
    say(f"done in {time.monotonic() - start:.0f} s")


def say(text: str) -> None:
    print(text, flush=True)


def check(holds: bool, what: str) -> None:
    say(f"     {'ok  ' if holds else 'FAIL'} {what}")
    if not holds:
        sys.exit("the demonstration failed")


def table(rows: dict[str, Any]) -> None:
    raw = rows["raw"]
    say("")
    say(f"{'':28}{'raw MB':>9}{'disk MB':>9}{'ratio':>8}{'save s':>8}{'load s':>8}")
    for name, row in rows["contenders"].items():
        sizes = f"{raw / 1e6:9.1f}{row['disk'] / 1e6:9.1f}{raw / row['disk']:8.3f}"
        say(f"{name:28}{sizes}{row['save']:8.2f}{row['load']:8.2f}")
    for name, (group_raw, stored) in rows["groups"].items():
        say(f"  mithril, {name:17}{group_raw / 1e6:9.1f}{stored / 1e6:9.1f}{group_raw / stored:8.3f}")
    say("")


def run(ranks: int, job: str, work: Path) -> dict[str, Any]:
    """Run `job` on that many gloo ranks; what rank 0 has to tell."""
    world = str(ranks)
    environment = os.environ | {"LOCAL_WORLD_SIZE": world, "WORLD_SIZE": world, "OMP_NUM_THREADS": "1"}
    rendezvous = work / f"{job}.rendezvous"
    rendezvous.unlink(missing_ok=True)
    command = [sys.executable, __file__, "--rank-of", job, str(work), str(rendezvous)]
    processes = [subprocess.Popen(command, env=environment | {"RANK": str(rank)}) for rank in range(ranks)]
    while any(process.poll() is None for process in processes):
        if any(process.poll() for process in processes):  # the others would wait for it
            for process in processes:
                process.kill()
        time.sleep(0.05)
    if codes := [process.returncode for process in processes if process.returncode]:
        sys.exit(f"{job}: ranks ended with exit codes {codes}")
    result: dict[str, Any] = json.loads((work / f"{job}.json").read_text())
    return result


# --- what a rank does -------------------------------------------------------------------------------------------------


def rank_main(job: str, work: Path, rendezvous: Path) -> None:
    import torch.distributed as dist

    sys.path.insert(0, str(Path(__file__).parent))
    rank, world = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=world)
    result = {"train": train, "resume": resume, "load": load, "compare": compare}[job](work)
    if rank == 0:
        (work / f"{job}.json").write_text(json.dumps(result))
    dist.barrier()
    dist.destroy_process_group()


def progress(text: str) -> None:
    import torch.distributed as dist

    if dist.get_rank() == 0:
        say(f"     {text}")


def seed_of(step: int) -> int:
    import torch.distributed as dist

    return 1000 * step + dist.get_rank()


def digests(state: dict[str, Any]) -> dict[str, str]:
    """SHA-256 of every tensor of a state, gathered whole from all ranks."""
    import torch
    from torch.distributed.checkpoint._nested_dict import flatten_state_dict
    from torch.distributed.tensor import DTensor

    found = {}
    for name, value in flatten_state_dict(state)[0].items():
        if isinstance(value, torch.Tensor):
            whole = value.full_tensor() if isinstance(value, DTensor) else value
            found[name] = hashlib.sha256(
                whole.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
            ).hexdigest()
    return found


def fixed_loss(training: Any) -> float:
    import torch
    from gpt import batch, loss_of

    with torch.no_grad():
        return loss_of(training.model, *batch(training.data, seed=7)).item()


def train(work: Path) -> dict[str, Any]:
    from gpt import Training

    import mithril

    training = Training(**SIZE)
    result: dict[str, Any] = {"losses": []}
    for step in range(1, STEPS + 1):
        result["losses"].append(training.step(seed_of(step)).hex())
        if step % EVERY == 0:
            saved = mithril.save_compressed(training.state(), work / f"step-{step:05d}")
            raw, disk = saved.original_bytes / 1e6, saved.compressed_bytes / 1e6
            loss = float.fromhex(result["losses"][-1])
            progress(f"step {step}: loss {loss:.3f}, saved {raw:.1f} MB as {disk:.1f} MB in {saved.seconds:.2f} s")
        if step == RESUME:
            result["digests"] = digests(training.state())
            result["loss"] = fixed_loss(training)
    return result


def restored(work: Path) -> Any:
    from gpt import Training

    import mithril

    training = Training(**SIZE)
    state = training.state()
    loaded = mithril.load_compressed(state, work / f"step-{RESUME:05d}")
    training.restore(state)
    progress(f"loaded in {loaded.seconds:.2f} s, {loaded.bytes_read / 1e6:.1f} MB read by rank 0")
    return training


def resume(work: Path) -> dict[str, Any]:
    training = restored(work)
    return {"losses": [training.step(seed_of(RESUME + 1 + i)).hex() for i in range(CHECKED)]}


def load(work: Path) -> dict[str, Any]:
    training = restored(work)
    return {"digests": digests(training.state()), "loss": fixed_loss(training)}


def compare(work: Path) -> dict[str, Any]:
    import torch.distributed as dist
    import torch.distributed.checkpoint as dcp
    from gpt import Training
    from torch.distributed.checkpoint._extension import ZStandard

    import mithril

    training = Training(**SIZE)
    state = training.state()
    saved = mithril.load_compressed(state, work / f"step-{STEPS:05d}")
    assert saved.blocks_decoded > 0
    folders = {name: work / name for name in ("plain", "zstandard", "mithril")}
    saves = {
        "plain": lambda: dcp.save(state, storage_writer=dcp.FileSystemWriter(folders["plain"])),
        "zstandard": lambda: dcp.save(
            state, storage_writer=dcp.FileSystemWriter(folders["zstandard"], _extensions=[ZStandard()])
        ),
        "mithril": lambda: mithril.save_compressed(state, folders["mithril"]),
    }
    loads = {
        "plain": lambda: dcp.load(state, storage_reader=dcp.FileSystemReader(folders["plain"])),
        "zstandard": lambda: dcp.load(state, storage_reader=dcp.FileSystemReader(folders["zstandard"])),
        "mithril": lambda: mithril.load_compressed(state, folders["mithril"]),
    }
    best: dict[str, dict[str, float]] = {name: {"save": float("inf"), "load": float("inf")} for name in saves}
    for turn in range(3):
        for name in saves:
            for what, job in (("save", saves[name]), ("load", loads[name])):
                if what == "save" and dist.get_rank() == 0:
                    shutil.rmtree(folders[name], ignore_errors=True)
                dist.barrier()
                start = time.perf_counter()
                job()
                dist.barrier()
                best[name][what] = min(best[name][what], time.perf_counter() - start)
        progress(f"turn {turn + 1} of 3")
    labels = {"plain": "plain dcp.save", "zstandard": "dcp.save + ZStandard", "mithril": "mithril.save_compressed"}
    groups = {name: [0, 0] for name in GROUPS}
    raw = 0
    for path in sorted(folders["mithril"].glob("data-*.mcp")):
        with mithril.open_archive(path) as archive:
            for key in archive.keys():  # noqa: SIM118 (no mapping, as in safetensors)
                info = archive.info(key)
                raw += info.raw_bytes
                base = key.split("[")[0]
                for name, mark in GROUPS.items():
                    if base.startswith(mark) or base.endswith(mark):
                        groups[name][0] += info.raw_bytes
                        groups[name][1] += info.stored_bytes
    disk = {name: sum(f.stat().st_size for f in folder.iterdir()) for name, folder in folders.items()}
    return {
        "raw": raw,
        "groups": groups,
        "contenders": {labels[name]: {"disk": disk[name], **best[name]} for name in labels},
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["--rank-of"]:
        rank_main(sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
    else:
        main()
