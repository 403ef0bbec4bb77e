"""The codec against its peers: ratio and speed on one core, in memory, on real and made-up tensors.

Contenders take turns on the same bytes, each in a process of its own; best of the rounds, every result decompressed and
compared. A contender that has used up its seconds for a data set takes no further turns on it, but at least one; one
that is very slow gets only a sample of 8 MiB of each data set (`bytes` says so in the results). Speeds are in GB/s of
raw data. "compress" and "decompress" return new memory, "warm" fills memory that was used before, as a load into
existing tensors does, where a contender can.
"""

import argparse
import importlib
import os
import tempfile
from contextlib import closing
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks import measure
from benchmarks.codec import table
from benchmarks.codec.turn import Turns, sample

ONE_THREAD = {"MITHRIL_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "NUMEXPR_NUM_THREADS": "1"}
CONTENDERS = (
    "mithril_default",
    "mithril_fast",
    "mithril_best",
    "mithril_avx512",
    "mithril_avx2",
    "mithril_ssse3",
    "mithril_scalar",
    "zipnn",
    "openzl",
    "z4ai",
    "moonclip",
    "blosc2",
    "zstd1",
    "zstd3",
    "planes",
    "memcpy",
)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks codec", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="of a contender on a data set (default: %(default)s)"
    )
    parser.add_argument("--elements", type=int, default=24 << 20, help="values in a data set, at most")
    parser.add_argument("--contenders", nargs="+", default=CONTENDERS, choices=CONTENDERS, metavar="CONTENDER")
    parser.add_argument("--data", help="only data sets whose names contain this")
    options = parser.parse_args(arguments)
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    os.environ.update(ONE_THREAD)
    import torch

    from benchmarks.codec.data import data_sets

    torch.set_num_threads(1)
    contenders, skipped = load(options.contenders)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, make in data_sets(options.elements):
            if options.data is None or options.data in name:
                rows += compare(name, make(), contenders, Path(folder) / "data", options)
                print(f"\n{table.of_data(rows, name)}", flush=True)
    print(f"\n{table.against(rows, 'ZipNN')}\n\n{table.larger(rows, 'ZipNN')}")
    result = {
        "rounds": options.rounds,
        "seconds": options.seconds,
        "unit": "GB/s",
        "versions": {c.NAME: version(c) for c in contenders} | {"torch": torch.__version__},
        "skipped": skipped,
        "rows": rows,
    }
    print(measure.write("codec", result))


def load(names: list[str]) -> tuple[list[ModuleType], dict[str, str]]:
    """The contenders that are installed and run here, and why the others do not."""
    contenders, skipped = [], {}
    for name in names:
        try:
            contender = importlib.import_module(f"benchmarks.codec.{name}")
            if hasattr(contender, "ENVIRONMENT"):  # not every build or CPU has every instruction set
                with closing(Turns(contender, __file__, "uint8")) as turns:
                    turns.take()
            contenders.append(contender)
        except (ImportError, RuntimeError) as error:
            skipped[name] = str(error)
            print(f"skipped {name}: {error} (benchmarks/codec/requirements.txt names the packages)")
    return contenders, skipped


def version(contender: ModuleType) -> str:
    try:
        return metadata.version(contender.PACKAGE)
    except metadata.PackageNotFoundError:  # used from the source tree
        return importlib.import_module(contender.PACKAGE).__version__


def compare(
    name: str, tensor: Any, contenders: list[ModuleType], path: Path, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """The rows of one data set."""
    import torch

    data, dtype = tensor.flatten().view(torch.uint8).numpy(), str(tensor.dtype).removeprefix("torch.")
    data.tofile(path)
    size = {c: len(sample(data)) if getattr(c, "SAMPLED", False) else len(data) for c in contenders}
    best, used, taken, failed = {}, {}, {}, {}
    turns = {c: Turns(c, str(path), dtype) for c in contenders}
    for c in contenders:
        best[c], used[c], taken[c] = {}, 0.0, 0
    for _ in range(options.rounds):
        for c in contenders:
            if c in failed or used[c] > options.seconds:
                continue
            try:
                turn = turns[c].take()
            except Exception as error:  # a contender that cannot take this data is a result, not a failure of the run
                failed[c] = str(error)
                print(f"{c.NAME} on {name}: {failed[c]}", flush=True)
                continue
            best[c] = {key: min(value, best[c].get(key, value)) for key, value in turn.items()}
            used[c] += sum(value for key, value in turn.items() if key != "size")
            taken[c] += 1
    for c in contenders:
        turns[c].close()
    rows = []
    for c in contenders:
        row = {"data": name, "dtype": dtype, "bytes": size[c], "contender": c.NAME, "rounds": taken[c]}
        if c in failed:
            rows.append({**row, "error": failed[c]})
        else:
            stored = best[c].pop("size")
            speeds = {key: round(size[c] / seconds / 1e9, 3) for key, seconds in best[c].items()}
            rows.append({**row, "size": stored, "ratio": round(size[c] / stored, 4), **speeds})
    return rows
