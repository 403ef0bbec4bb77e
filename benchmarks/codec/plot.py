"""Plots speeds and ratios from the results: `python -m benchmarks.codec.plot [DATA ...]` writes results/codec.svg."""

import json
import sys
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks import measure

DATA = ("MiniLM bf16", "MiniLM fp32")
LEFT_OUT = ("memcpy", "mithril, avx512")  # the latter is the default where it runs
TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20)
SETTINGS = {
    "svg.hashsalt": "mithril",  # the same results give the same bytes
    "svg.fonttype": "none",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],  # wide ones first: the layout is of the first
    "font.size": 9,
}


def main(data: list[str]) -> None:
    mpl.rcParams.update(SETTINGS)
    rows = json.loads((measure.RESULTS / "codec.json").read_text())["rows"]
    rows = [r for r in rows if "error" not in r and r["contender"] not in LEFT_OUT]
    names = list(dict.fromkeys(r["contender"] for r in rows if r["data"] in data))
    size = (1.5 + 4.2 * len(data), 1.2 + 0.23 * len(names))
    figure, grid = plt.subplots(
        1, len(data), figsize=size, sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for axis, name in zip(grid[0], data, strict=True):
        panel(axis, name, [r for r in rows if r["data"] == name], names)
    ticks = [t for t in TICKS if grid[0, 0].get_xlim()[0] <= t <= grid[0, 0].get_xlim()[1]]
    grid[0, 0].set_xticks(ticks, [f"{t:g}" for t in ticks])
    grid[0, 0].minorticks_off()
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(measure.RESULTS / "codec.svg", metadata={"Date": None})


def panel(axis: Axes, name: str, rows: list[dict[str, Any]], names: list[str]) -> None:
    """A line for each contender: both speeds as dots, the ratio beside it."""
    whole = max(r["bytes"] for r in rows)
    for row in rows:
        at, speeds = names.index(row["contender"]), (row["compress"], row.get("decompress_warm", row["decompress"]))
        color = "tab:red" if row["contender"].startswith("mithril") else "0.45"
        labels = ("compress", "decompress (into used memory where it can)") if at == 0 else (None, None)
        axis.plot(speeds, (at, at), color=color, linewidth=1, alpha=0.4)
        axis.plot(speeds[0], at, "o", color=color, label=labels[0])
        axis.plot(speeds[1], at, "o", color=color, markerfacecolor="white", label=labels[1])
        ratio = f"{row['ratio']:.3f}" + ("*" if row["bytes"] < whole else "")
        axis.text(1.03, at, ratio, color=color, va="center", transform=axis.get_yaxis_transform())
    axis.text(1.03, 1.0, "ratio", va="bottom", transform=axis.transAxes)
    sampled = any(r["bytes"] < whole for r in rows)
    axis.set(title=name, xscale="log", xlabel="GB/s on one core" + (" (* on a sample)" if sampled else ""))
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.grid(axis="x", color="0.9")
    axis.set_axisbelow(True)


if __name__ == "__main__":
    main(sys.argv[1:] or list(DATA))
