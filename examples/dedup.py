"""Near-duplicate removal on texts that every machine has: the licences of the installed Python packages.

Run it with `python examples/dedup.py`. It shows three doors: texts in memory, files, and an index for later texts.
"""

import json
import sysconfig
import tempfile
from pathlib import Path

from mithril.dedup import DedupConfig, Deduplicator, Index, deduplicate_files


def main() -> None:
    names, texts = licences()
    if not texts:
        raise SystemExit("no licences are installed here")
    config = DedupConfig(threshold=0.85)

    print("1. Texts in memory")
    result = Deduplicator(config).deduplicate(texts)
    print(f"   {result.stats.total_documents} licences, {result.stats.unique_documents} of them stay")
    for kept, copies in sorted(result.clusters.items(), key=lambda cluster: -len(cluster[1]))[:2]:
        print(f"   {names[kept]} stands for {len(copies)} more, for example {names[copies[-1]]}")

    print("2. Files")
    with tempfile.TemporaryDirectory() as folder:
        source, clean = Path(folder, "all.jsonl"), Path(folder, "clean.jsonl")
        rows = ({"name": name, "text": text} for name, text in zip(names, texts, strict=True))
        source.write_text("".join(json.dumps(row) + "\n" for row in rows))
        done = deduplicate_files(source, clean, config=config)
        stays = [json.loads(line)["name"] for line in clean.read_text().splitlines()]
        assert stays == [names[n] for n in result.keep_indices]
        for example in done.examples(1):
            removed, kept = (id.rpartition(":")[2] for id in (example.removed, example.kept))
            print(f"   the least similar pair: line {removed} went for line {kept}, {example.similarity:.3f}")

    print("3. An index for later texts")
    index = Index(config)
    index.add([texts[n] for n in result.keep_indices], ids=stays)
    later = [texts[-1].upper(), "Do with it what you like, and tell me about it some day."]
    seen = index.remove_known(later)
    print(f"   of two new texts, {len(seen.keep_indices)} is new; the other is {seen.removed_by[0]}")


def licences() -> tuple[list[str], list[str]]:
    """Names and texts of the licence files of this Python's packages, sorted by name."""
    folder = Path(sysconfig.get_paths()["purelib"])
    paths = sorted(path for path in folder.glob("*.dist-info/**/*LICEN[CS]E*") if path.is_file())
    return [str(path.relative_to(folder)) for path in paths], [path.read_text("utf-8", "replace") for path in paths]


if __name__ == "__main__":
    main()
