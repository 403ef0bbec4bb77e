"""Results as Markdown."""

from collections.abc import Iterable
from typing import Any

SPEEDS = ("compress", "compress_warm", "decompress", "decompress_warm")


def of_data(rows: list[dict[str, Any]], data: str) -> str:
    """All contenders on one data set."""
    whole = max(row["bytes"] for row in rows if row["data"] == data)
    lines = [f"| {data} | ratio | compress | warm | decompress | warm |", line(["---"] * 6)]
    for row in rows:
        if row["data"] == data:
            cells = [row.get(key, "") for key in ("ratio", *SPEEDS)]
            lines.append(line([row["contender"] + (" (of a sample)" if row["bytes"] < whole else ""), *cells]))
    return "\n".join(lines)


def against(rows: list[dict[str, Any]], peer: str, own: str = "mithril") -> str:
    """Ratios of a contender and its peer, and how many times faster each of its variants is."""
    found = {(row["data"], row["contender"]): row for row in rows if "error" not in row}
    variants = dict.fromkeys(name for _, name in found if name.startswith(own))
    head = [
        "data",
        f"ratio of {own}",
        f"ratio of {peer}",
        *(f"{name}: compress, warm, decompress, warm" for name in variants),
    ]
    lines = [line(head), line(["---"] * len(head))]
    for data in dict.fromkeys(data for data, _ in found):
        if (data, peer) in found and (data, own) in found:
            base = found[data, peer]
            cells = [data, found[data, own]["ratio"], base["ratio"]]
            cells += [times(found.get((data, name)), base) for name in variants]
            lines.append(line(cells))
    return "\n".join(lines)


def larger(rows: list[dict[str, Any]], peer: str, own: str = "mithril") -> str:
    """The data that a contender stores in more bytes than its peer does: exact sizes, not rounded ratios."""
    sizes = {(row["data"], row["contender"]): row["size"] for row in rows if "error" not in row}
    lines = []
    for (data, name), size in sizes.items():
        theirs = sizes.get((data, peer), size)
        if name == own and size > theirs:
            lines.append(f"- {data}: {size} bytes against {theirs}, {size / theirs - 1:+.2%}")
    return "\n".join([f"{own} is larger than {peer} on {len(lines) or 'no'} data sets", *lines])


def times(row: dict[str, Any] | None, base: dict[str, Any]) -> str:
    if row is None:
        return ""
    return ", ".join(f"{row[key] / base[key.removesuffix('_warm')]:.2f}×" for key in SPEEDS)


def line(cells: Iterable[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


README_DATA = (
    "MiniLM bf16",
    "MiniLM fp32",
    "MiniLM fp16",
    "MiniLM fp8 e4m3, scaled",
    "GPT first moments fp32",
    "GPT second moments fp32",
    "CREPE convolutions bf16",
    "fp32 holding MiniLM bf16",
    "MiniLM bf16, half masked",
    "bf16 from int4, scale per tensor",
)


def readme(rows: list[dict[str, Any]]) -> str:
    """What the README shows: ratio, and GB/s of compressing and of decompressing into used memory where it can."""
    found = {(row["data"], row["contender"]): row for row in rows if "error" not in row}
    contenders = ("mithril", "mithril best", "ZipNN", "zstd 3")
    lines = [line(["", *contenders]), line(["---"] * (len(contenders) + 1))]
    for data in README_DATA:
        cells = []
        for name in contenders:
            row = found[data, name]
            warm = row.get("decompress_warm", row["decompress"])
            cells.append(f"**{row['ratio']:.3f}** {row['compress']:.1f} / {warm:.1f}")
        lines.append(line([data, *cells]))
    return "\n".join(lines)
