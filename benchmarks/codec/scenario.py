"""The codec against its peers: ratio and speed on one core, in memory, on real and made-up tensors.

Contenders take turns on the same bytes; best of the rounds, every result decompressed and compared. A contender that
has used up its seconds for a data set takes no further turns on it, but at least one; one that is very slow gets only
a sample of 8 MiB of each data set (`bytes` says so in the results). Speeds are in GB/s of raw data.
"compress" and "decompress" return new memory, "warm" fills memory that was used before, as a load into existing
tensors does, where a contender can.
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
from benchmarks.codec.turn import Elsewhere, Turns

ONE_THREAD = {"MITHRIL_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "NUMEXPR_NUM_THREADS": "1"}
PIECE, SAMPLE_PIECES = 256 << 10, 32
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
                with closing(Elsewhere(contender, __file__, "uint8")) as taker:
                    taker.take()
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


def sample(data: Any) -> Any:
    """Pieces spread evenly over the data; all of them where it has no more."""
    import numpy as np

    if len(data) <= SAMPLE_PIECES * PIECE:
        return data
    starts = (np.arange(SAMPLE_PIECES) + 0.5) * (len(data) // PIECE) / SAMPLE_PIECES
    return np.concatenate([data[s : s + PIECE] for s in starts.astype(int) * PIECE])


def compare(
    name: str, tensor: Any, contenders: list[ModuleType], path: Path, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """The rows of one data set."""
    import torch

    data, dtype = tensor.flatten().view(torch.uint8).numpy(), str(tensor.dtype).removeprefix("torch.")
    data.tofile(path)
    given = {c: sample(data) if getattr(c, "SAMPLED", False) else data for c in contenders}
    takers, best, used, taken, failed = {}, {}, {}, {}, {}
    for c in contenders:
        takers[c] = Elsewhere(c, str(path), dtype) if hasattr(c, "ENVIRONMENT") else None
        best[c], used[c], taken[c] = {}, 0.0, 0
    for _ in range(options.rounds):
        for c in contenders:
            if c in failed or used[c] > options.seconds:
                continue
            try:
                takers[c] = takers[c] or Turns(c, given[c], dtype)
                turn = takers[c].take()
            except Exception as error:  # a contender that cannot take this data is a result, not a failure of the run
                failed[c] = f"{type(error).__name__}: {error}"
                print(f"{c.NAME} on {name}: {failed[c]}", flush=True)
                continue
            best[c] = {key: min(value, best[c].get(key, value)) for key, value in turn.items()}
            used[c] += sum(value for key, value in turn.items() if key != "size")
            taken[c] += 1
    for taker in takers.values():
        if isinstance(taker, Elsewhere):
            taker.close()
    rows = []
    for c in contenders:
        row = {"data": name, "dtype": dtype, "bytes": len(given[c]), "contender": c.NAME, "rounds": taken[c]}
        if c in failed:
            rows.append({**row, "error": failed[c]})
        else:
            size = best[c].pop("size")
            speeds = {key: round(len(given[c]) / seconds / 1e9, 3) for key, seconds in best[c].items()}
            rows.append({**row, "size": size, "ratio": round(len(given[c]) / size, 4), **speeds})
    return rows
