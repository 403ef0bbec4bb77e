"""Files with an index of earlier runs: what fails changes neither; outputs are on the disk before the index is."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mithril import InvalidArgumentError, StorageError
from mithril.dedup import DedupConfig, Index, deduplicate_files
from tests.python.dedup_texts import made_texts

CONFIG = DedupConfig(threshold=0.8)


def write(path: Path, texts: list[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def interrupt(target: Path) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("fault", "expected"), [(interrupt, KeyboardInterrupt), (Path.mkdir, StorageError)], ids=["ctrl-c", "no place"]
)
def test_a_failed_run_leaves_the_index_as_it_was(
    fault: Callable[[Path], None], expected: type[BaseException], tmp_path: Path
) -> None:
    today, target = write(tmp_path / "today.jsonl", made_texts(200, 1)), tmp_path / "out.jsonl"
    index = Index(CONFIG)
    deduplicate_files(write(tmp_path / "before.jsonl", made_texts(50, 2)), index=index)
    before = len(index), index.seen

    def progress(stage: str, done: int, total: int | None) -> None:
        if stage == "write":
            assert len(index) > before[0]
            fault(target)

    with pytest.raises(expected):
        deduplicate_files(today, target, index=index, progress=progress)
    assert (len(index), index.seen) == before
    index.check()
    if target.is_dir():
        target.rmdir()
    kept = deduplicate_files(today, target, index=index).stats.unique_documents
    assert len(target.read_text().splitlines()) == kept > 100


def test_outputs_are_on_the_disk_before_the_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "a.jsonl", made_texts(20, 3))
    write(tmp_path / "b.jsonl", made_texts(20, 4))
    done: list[tuple[str, str]] = []
    fsync, rename = os.fsync, os.replace

    def synced(file: int) -> None:
        done.append(("sync", os.path.basename(os.readlink(f"/proc/self/fd/{file}"))))
        fsync(file)

    def renamed(source: Path, target: Path) -> None:
        done.append(("rename", target.name))
        rename(source, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    inputs = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    deduplicate_files(inputs, tmp_path / "out", index=Index(CONFIG), index_path=tmp_path / "index")
    outputs = [("sync", "a.jsonl"), ("sync", "b.jsonl"), ("rename", "a.jsonl"), ("rename", "b.jsonl")]
    assert done[:4] == outputs
    first, last = done.index(("sync", "out")), done.index(("rename", "index"))
    assert 4 <= first < last
    assert ("sync", tmp_path.name) in done[4:last], "the folder of the outputs was made"
    assert ("sync", tmp_path.name) in done[last:]
    done.clear()
    deduplicate_files(inputs, tmp_path / "out")
    assert [what for what, _ in done] == ["rename", "rename"]


def test_ids_are_files_and_rows(tmp_path: Path) -> None:
    texts = made_texts(6, 5)
    first = write(tmp_path / "first.jsonl", texts[:3])
    first.write_text("\n" + first.read_text())
    index = Index(CONFIG)
    deduplicate_files([first, write(tmp_path / "second.jsonl", texts[3:])], index=index)
    matches = index.query(texts)
    assert {matches.ids[0], matches.ids[-1]} <= {f"{first}:2", f"{tmp_path / 'second.jsonl'}:3"}


def test_names_of_files_that_are_no_text(tmp_path: Path) -> None:
    index = Index(CONFIG)
    deduplicate_files(write(tmp_path / os.fsdecode(b"\xff.jsonl"), ["some text of a file"]), index=index)
    assert index.query(["some text of a file"]).ids.tolist() == [f"{tmp_path}/\ufffd.jsonl:1"]


def test_the_number_of_threads_is_not_the_indexs(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", ["some text of a file"])
    index = Index(CONFIG)
    deduplicate_files(path, index=index, config=replace(CONFIG, num_threads=1))
    with pytest.raises(InvalidArgumentError, match="config is not that of the index"):
        deduplicate_files(path, index=index, config=replace(CONFIG, threshold=0.9))
    assert len(index) == 1
