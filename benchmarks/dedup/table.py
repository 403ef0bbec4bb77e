"""Results as Markdown."""

from collections.abc import Iterable
from typing import Any

_HEAD = (
    "documents/s a core",
    "MB/s a core",
    "tokens free",
    "documents/s, wall",
    "memory a document",
    "recall",
    "of 0.85–0.9",
    "equal sets",
    "precision",
    "from 0.8",
    "partner named is right",
    "kept",
)


def of_corpus(rows: list[dict[str, Any]], corpus: str) -> str:
    """All contenders on one corpus."""
    lines = [line([corpus, *_HEAD]), line(["---"] * (len(_HEAD) + 1))]
    for row in rows:
        if row["corpus"] != corpus:
            continue
        if "error" in row:
            lines.append(line([row["contender"], row["error"], *[""] * (len(_HEAD) - 1)]))
            continue
        judged = row.get("judged", {})
        shares = judged.get("recall_by_jaccard", {})
        lines.append(
            line(
                [
                    f"{row['contender']} {row['version']}",
                    number(row["docs_per_second"]),
                    f"{row['mb_per_second']:.3g}",
                    number(row["docs_per_second_tokens_free"]),
                    number(row["docs_per_wall_second"]),
                    f"{row['memory_per_document']:.0f} B",
                    part(judged.get("recall")),
                    part(shares.get("0.85", [None])[0]),
                    part(shares.get("1", [None])[0]),
                    part(judged.get("precision")),
                    part(judged.get("precision_lenient")),
                    part(judged.get("evidence")),
                    number(judged["kept"]) if judged else "",
                ]
            )
        )
    return "\n".join(lines)


def readme(rows: list[dict[str, Any]]) -> str:
    """What the README shows of mithril and its peers: rates, memory, recall, precision on the smaller corpora."""
    found = {(row["corpus"], row["contender"]): row for row in rows if "error" not in row and "judged" in row}
    head = [
        "",
        "pages: documents/s a core",
        "short texts: documents/s a core",
        "memory a document",
        "recall from 0.85 on",
        "of 0.85 to 0.9",
        "precision",
    ]
    lines = [line(head), line(["---"] * len(head))]
    for name in dict.fromkeys(name for _, name in found):
        if name.startswith("mithril") and name not in ("mithril, Arrow", "mithril, list of str"):
            continue  # in `own`
        both = [found.get((corpus, name)) for corpus in ("pages20k", "short100k")]
        if None in both:
            continue
        cells = [number(row["docs_per_second"]) for row in both if row]
        cells += [" / ".join(f"{row['memory_per_document']:.0f}" for row in both if row) + " B"]
        cells += [" / ".join(part(row["judged"]["recall"]) for row in both if row)]
        cells += [" / ".join(part(row["judged"]["recall_by_jaccard"]["0.85"][0]) for row in both if row)]
        cells += [" / ".join(part(row["judged"]["precision"]) for row in both if row)]
        lines.append(line([f"**{name}**" if name.startswith("mithril") else name, *cells]))
    return "\n".join(lines)


def own(rows: list[dict[str, Any]]) -> str:
    """Mithril's contenders on all corpora: documents and MB a second; a core, or by the clock where they had two."""
    found = {(row["contender"], row["corpus"]): row for row in rows if "error" not in row}
    corpora = list(dict.fromkeys(corpus for _, corpus in found))
    lines = [line(["", *corpora]), line(["---"] * (len(corpora) + 1))]
    for name in dict.fromkeys(name for name, _ in found if name.startswith("mithril")):
        cells = []
        for corpus in corpora:
            row = found.get((name, corpus))
            rate = "wall_second" if row and row["cores"] > 1 else "second"
            cells.append(f"{number(row[f'docs_per_{rate}'])}, {row[f'mb_per_{rate}']:.0f} MB" if row else "")
        lines.append(line([name, *cells]))
    return "\n".join(lines)


def threads(rows: list[dict[str, Any]]) -> dict[str, float]:
    """How many times faster by the clock two threads are than one, by corpus."""
    found = {(row["contender"], row["corpus"]): row["docs_per_wall_second"] for row in rows if "error" not in row}
    two = {corpus: rate for (name, corpus), rate in found.items() if name == "mithril, 2 threads"}
    one = {corpus: rate for (name, corpus), rate in found.items() if name == "mithril, Arrow"}
    return {corpus: round(two[corpus] / one[corpus], 2) for corpus in two.keys() & one.keys()}


def number(value: float) -> str:
    """Three digits, thousands apart."""
    rounded = int(float(f"{value:.3g}"))
    return f"{rounded:,}".replace(",", " ")


def part(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}" if 0.999 <= value < 1 else f"{value:.3f}"


def line(cells: Iterable[object]) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"
