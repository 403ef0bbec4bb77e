"""Corpora: real documents with planted edited copies, whose similarity is known exactly.

    python -m benchmarks.dedup.corpus NAME...       makes them, in build/dedup/corpora

A corpus is a folder: corpus.arrow and corpus.jsonl (id, text), truth.jsonl (a, b: positions of a document and its copy,
jaccard, target, kind) and stats.json. The same sources and seed give the same bytes. What real text repeats by itself -
licences, templated pages - stays in. 15 % of the documents are copies, a quarter of them of a document that has one.
"""

import argparse
import json
import random
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks import measure
from benchmarks.dedup import documents, sources
from benchmarks.dedup.contender import WORD, grams
from benchmarks.dedup.edits import KINDS, Editor

FOLDER = measure.ROOT / "build" / "dedup" / "corpora"
COPIES = 0.15
TARGETS = (1, 1, 0.95, 0.9, 0.875, 0.85, 0.825, 0.8, 0.75, 0.7, 0.6, 0.5)  # equally often
SEED = 1

_TRIES = 4  # of which the copy nearest to the target is taken


@dataclass(frozen=True)
class Recipe:
    count: int
    lengths: documents.Lengths


RECIPES = {
    "pages20k": Recipe(20_000, documents.PAGES),
    "pages200k": Recipe(200_000, documents.PAGES),
    "short100k": Recipe(100_000, documents.SHORT),
    "short1m": Recipe(1_000_000, documents.SHORT),
}


@dataclass(frozen=True)
class Planted:
    base: int  # among the originals
    text: str
    jaccard: float
    target: float
    kind: str


def ensure(name: str) -> Path:
    """The folder of a corpus, made if it is not there."""
    folder = FOLDER / name
    if not folder.exists():
        print(f"making {name}", flush=True)
        make(folder, RECIPES[name], sources.sources())
    return folder


def make(folder: Path, recipe: Recipe, text_folders: Mapping[Path, float], seed: int = SEED) -> None:
    """Write a corpus of the texts below `text_folders` (with the megabytes to take of each)."""
    rng = random.Random(seed)
    pool: list[str] = []
    taken = []
    for source, megabytes in text_folders.items():
        before = len(pool)
        for text in sources.texts(source, megabytes):
            pool.extend(documents.cut(text, recipe.lengths))
        package = source / "PACKAGE"
        origin = package.read_text().strip() if package.exists() else str(source)
        taken.append({"source": origin, "documents": len(pool) - before})
    copies = int(recipe.count * COPIES)
    rng.shuffle(pool)
    originals = pool[: recipe.count - copies]
    if len(originals) + copies < recipe.count:
        raise SystemExit(f"the sources hold {len(pool)} documents; {recipe.count - copies} are needed")
    planted = list(plant(originals, copies, make_editor(pool, rng)))
    place = list(range(recipe.count))
    rng.shuffle(place)
    texts = [""] * recipe.count
    for position, text in zip(place, [*originals, *(copy.text for copy in planted)], strict=True):
        texts[position] = text
    truth = [
        {"a": place[copy.base], "b": place[len(originals) + k]}
        | {key: value for key, value in asdict(copy).items() if key not in ("base", "text")}
        for k, copy in enumerate(planted)
    ]
    write(folder, texts, truth, {"seed": seed, "pool": len(pool), "sources": taken})


def make_editor(pool: list[str], rng: random.Random) -> Editor:
    sample = rng.sample(pool, min(len(pool), 5000))
    vocabulary = sorted({word for text in sample for word in WORD.findall(text) if word.isalpha()})
    paragraphs = [part for text in sample[:300] for part in text.split("\n\n") if 60 < len(part) < 600]
    return Editor(vocabulary, [part for part in paragraphs if WORD.search(part)], rng)


def plant(originals: list[str], count: int, editor: Editor) -> Iterator[Planted]:
    """Edited copies, each the one of several tries that comes nearest to its target."""
    rng = editor.rng
    bases = [i for i, text in enumerate(originals) if len(WORD.findall(text)) >= 8]
    base = rng.choice(bases)
    for k in range(count):
        if rng.random() > 0.25:
            base = rng.choice(bases)
        target = TARGETS[k % len(TARGETS)]
        tries = []
        for _ in range(_TRIES if target < 1 else 1):
            kind = rng.choice(KINDS if target < 1 else ("exact", "form"))
            text = editor.copy(originals[base], kind, target)
            tries.append(Planted(base, text, jaccard(originals[base], text), target, kind))
            if abs(tries[-1].jaccard - target) < 0.01:
                break
        yield min(tries, key=lambda copy: abs(copy.jaccard - copy.target))


def jaccard(a: str, b: str) -> float:
    first, second = set(grams(a)), set(grams(b))
    both = len(first & second)
    return both / (len(first) + len(second) - both)


def write(folder: Path, texts: list[str], truth: list[dict[str, Any]], stats: dict[str, Any]) -> None:
    """All files of a corpus; the folder appears when they are whole."""
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    ids = [f"doc-{i:08d}" for i in range(len(texts))]
    table = pa.table({"id": ids, "text": pa.array(texts, pa.string())})
    with pa.OSFile(str(part / "corpus.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    write_lines(part / "corpus.jsonl", ({"id": name, "text": text} for name, text in zip(ids, texts, strict=True)))
    write_lines(part / "truth.jsonl", truth)
    sizes = sorted(len(text.encode()) for text in texts)
    shares = {f"p{share}": sizes[len(sizes) * share // 100] for share in (10, 50, 90)}
    shape = {"documents": len(texts), "bytes": sum(sizes), **shares, "largest": sizes[-1], "copies": len(truth)}
    (part / "stats.json").write_text(json.dumps(shape | stats, indent=1) + "\n")
    part.rename(folder)


def write_lines(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    with path.open("w") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def stats(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "stats.json").read_text())
    return found


def truth(folder: Path) -> list[dict[str, Any]]:
    with (folder / "truth.jsonl").open() as file:
        return [json.loads(line) for line in file]


def load(folder: Path, count: int | None = None) -> pa.StringArray:
    """The first `count` texts, or all, as one Arrow array in memory of its own."""
    with pa.OSFile(str(folder / "corpus.arrow")) as file:
        column = pa.ipc.open_file(file).read_all().column("text")
    return column.slice(0, count).combine_chunks() if column.num_chunks > 1 else column.chunk(0).slice(0, count)


def count_within(folder: Path, megabytes: float | None) -> int:
    """How many texts from the beginning are no more than so much; all for None."""
    sizes = text_bytes(folder).cumsum()
    return len(sizes) if megabytes is None else int(sizes.searchsorted(megabytes * 1e6, "right"))


def bytes_of(folder: Path, count: int) -> int:
    return int(text_bytes(folder)[:count].sum())


def text_bytes(folder: Path) -> npt.NDArray[np.int64]:
    sizes: npt.NDArray[np.int64] = pc.binary_length(load(folder)).to_numpy().astype(np.int64)
    return sizes


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dedup.corpus", description=__doc__)
    parser.add_argument("names", nargs="+", choices=RECIPES)
    for name in parser.parse_args().names:
        print(ensure(name))


if __name__ == "__main__":
    main()
