"""Incompressible input: what the archive costs when compression gains nothing. One core, to and from the page cache.

Random bits as fp32 and as bytes; the contenders write and read the same bytes with plain system calls, and copy them in
memory.
"""

import argparse
import os
import tempfile
from pathlib import Path

import torch

import mithril
from benchmarks import measure

BYTES = 512 << 20


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks raw", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args(arguments).rounds
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    os.environ["MITHRIL_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    rows = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, dtype in (("float32", torch.float32), ("uint8", torch.uint8)):
            rows[name] = compare(torch.randint(-(2**63), 2**63 - 1, (BYTES // 8,)).view(dtype), Path(folder), rounds)
            print(name, rows[name])
    print(measure.write("raw", {"bytes": BYTES, "rounds": rounds, "unit": "GB/s", "rows": rows}))


def compare(tensor: torch.Tensor, folder: Path, rounds: int) -> dict[str, float]:
    from mithril._native import core

    raw = memoryview(tensor.view(torch.uint8).numpy())
    back = torch.empty_like(tensor).fill_(0)
    into = memoryview(back.view(torch.uint8).numpy())
    plain, archive = folder / "plain", folder / "archive.mcp"

    def write() -> None:
        with open(plain, "wb", buffering=0) as file:
            for at in range(0, len(raw), 8 << 20):
                file.write(raw[at : at + (8 << 20)])

    def read() -> None:
        with open(plain, "rb", buffering=0) as file:
            for at in range(0, len(into), 8 << 20):
                file.readinto(into[at : at + (8 << 20)])

    def save() -> None:
        writer, file = core.ArchiveWriter(), core.OutputFile(str(archive), sync=False)
        writer.add("x", raw, str(tensor.dtype)[6:], tensor.shape)
        writer.finish()
        writer.drain(file)
        file.commit()

    def load() -> None:
        core.ArchiveReader.open(str(archive)).read([(0, into, 0, tensor.numel())])

    def copy() -> None:
        back.copy_(tensor)

    best = measure.alternate({"memcpy": copy, "write": write, "save": save, "read": read, "load": load}, rounds)
    with mithril.open_archive(archive) as opened:
        assert torch.equal(opened.get_tensor("x").view(torch.uint8), tensor.view(torch.uint8))
    size = archive.stat().st_size
    return {
        **{name: round(len(raw) / s / 1e9, 2) for name, s in best.items()},
        "save_of_write": round(best["write"] / best["save"], 2),
        "load_of_read": round(best["read"] / best["load"], 2),
        "overhead_percent": round(100 * (size - len(raw)) / len(raw), 4),
        "overhead_bytes": size - len(raw),
    }
