"""Plots ratio against speed from the results: `python -m benchmarks.codec.plot [DATA ...]` writes results/codec.svg."""

import json
import sys

import matplotlib as mpl
from matplotlib import pyplot as plt

from benchmarks import measure

DATA = ("MiniLM bf16", "MiniLM fp32")
LEFT_OUT = ("memcpy", "mithril fast", "mithril, avx512")  # the last two lie on the default

TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10)
LABEL = {"fontsize": 7, "rotation": 35, "rotation_mode": "anchor"}


def main(data: list[str]) -> None:
    mpl.rcParams["svg.hashsalt"] = "mithril"  # the same results give the same bytes
    rows = [r for r in json.loads((measure.RESULTS / "codec.json").read_text())["rows"] if "error" not in r]
    figure, grid = plt.subplots(len(data), 2, figsize=(11, 4.2 * len(data)), squeeze=False, layout="constrained")
    for axes, name in zip(grid, data, strict=True):
        whole = max(r["bytes"] for r in rows if r["data"] == name)
        chosen = [r for r in rows if r["data"] == name and r["contender"] not in LEFT_OUT and r["bytes"] == whole]
        for axis, label in zip(axes, ("compress", "decompress (into used memory where it can)"), strict=True):
            for row in chosen:
                speed = row.get("decompress_warm", row["decompress"]) if label != "compress" else row["compress"]
                own = row["contender"].startswith("mithril")
                axis.plot(speed, row["ratio"], "o", color="tab:red" if own else "tab:gray")
                axis.annotate(row["contender"], (speed, row["ratio"]), (3, 3), textcoords="offset points", **LABEL)
            axis.set(xscale="log", xlabel=f"{label}, GB/s on one core", ylabel="ratio", title=name)
            axis.set_xticks(TICKS, [f"{t:g}" for t in TICKS])
            axis.minorticks_off()
            axis.margins(0.15, 0.3)
            axis.set_xlim(0.1, 10)
    figure.savefig(measure.RESULTS / "codec.svg", metadata={"Date": None})


if __name__ == "__main__":
    main(sys.argv[1:] or list(DATA))
