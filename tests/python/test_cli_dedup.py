"""`mithril dedup` on real files: what it writes, what it says as JSON and to people, and its exit codes."""

import gzip
import json
import os
import pty
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import pytest

from mithril.cli import main
from mithril.cli._dedup import dedup
from mithril.cli._dedup_differences import differences, marked
from mithril.cli._dedup_options import GROUPS

DOCS = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
SECTION = DOCS.split("\n## mithril dedup\n")[1].partition("\n## ")[0]
Run = Callable[..., dict[str, Any]]


def page(seed: int, words: int = 120) -> str:
    """A text that has next to nothing in common with that of another seed."""
    chosen = random.Random(seed)
    return " ".join(f"w{chosen.randrange(10_000)}" for _ in range(words))


def replaced(text: str, place: int, word: str = "other") -> str:
    words = text.split()
    words[place] = word
    return " ".join(words)


# Row: text and why it goes. Row 3 goes for row 0, rows 4 and 6 for row 1.
TEXTS = [page(0), page(1), page(2), page(0), replaced(page(1), 60), page(3), page(1).upper() + " !", "", "two words"]
KEPT = [0, 1, 2, 5, 7, 8]


def write_lines(path: Path, texts: list[str], **more: list[Any]) -> Path:
    rows = [
        {"id": n, "text": text} | {name: values[n] for name, values in more.items()} for n, text in enumerate(texts)
    ]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


def ids(path: Path) -> list[int]:
    return [json.loads(line)["id"] for line in path.read_text().splitlines()]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_lines(tmp_path / "corpus.jsonl", TEXTS)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs `mithril dedup --json`, compares the keys with the docs and returns the object."""

    def call(*arguments: object, code: int = 0) -> dict[str, Any]:
        capsys.readouterr()
        assert main(["dedup", "--json", *map(str, arguments)]) == code, capsys.readouterr().err
        fields: dict[str, Any] = json.loads(capsys.readouterr().out)
        match = re.search(r"^JSON: ([^.]*)\.$", SECTION, re.MULTILINE)
        assert match
        assert list(fields) == re.findall(r"`(\w+)`", match[1])
        for outer, text in re.findall(r"^Of each of `(\w+)`: ([^.]*)\.$", SECTION, re.MULTILINE):
            for row in fields[outer]:
                assert list(row) == re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", text))
        return fields

    return call


def test_the_help_has_every_option_and_needs_no_core(run_python, capsys) -> None:
    loaded = run_python(
        "import sys; from mithril.cli import main; assert main(['dedup', '--help']) == 0\n"
        "print(*sys.modules, sep='\\n')"
    ).split()
    assert not {"torch", "numpy", "pyarrow", "mithril._core", "rich.progress"} & set(loaded)
    assert main(["dedup", "--help"]) == 0
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    for option in (parameter for parameter in dedup.params if isinstance(parameter, click.Option)):
        assert re.search(rf"^ +.*{option.opts[-1]}\b", shown, re.MULTILINE), option.opts
    assert [group.title for group in GROUPS] == re.findall(r"^(\w.*):$", shown, re.MULTILINE)


def test_the_docs_list_the_options() -> None:
    options = [parameter for parameter in dedup.params if isinstance(parameter, click.Option)]
    names = {name for option in options for name in (*option.opts, *option.secondary_opts)}
    assert set(re.findall(r"`(--?\w[\w-]*)", SECTION)) | {"--json", "--debug"} == names


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "INPUT"),
        (["a.jsonl"], "--output"),
        (["a.jsonl", "-o", "b.jsonl", "--stats-only"], "--stats-only"),
        (["a.jsonl", "--stats-only", "--annotate"], "--annotate"),
        (["a.jsonl", "--stats-only", "--incremental"], "--index-path"),
        (["a.jsonl", "--stats-only", "--index-path", "i"], "--incremental"),
        (["a.jsonl", "--stats-only", "--keep", "score"], "--score-field"),
        (["a.jsonl", "--stats-only", "--score-field", "s"], "--keep score"),
        (["a.jsonl", "--stats-only", "--source-field", "s"], "--source-priority"),
        (["a.jsonl", "--stats-only", "--source-field", "s", "--source-priority", "a"], "--keep source"),
        (["a.jsonl", "--stats-only", "--max-memory", "much"], "--max-memory"),
        (["a.jsonl", "--stats-only", "--format", "csv"], "--format"),
    ],
    ids=" ".join,
)
def test_wrong_usage(arguments: list[str], message: str, capsys) -> None:
    assert main(["dedup", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(r"mithril: error: .*; see mithril dedup --help\n", err)
    assert message in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-t", "1.5"], "threshold 1.5 is not in"),
        (["-n", "0"], "ngram_size"),
        (["-p", "17"], "permutations"),
        (["--num-bands", "4"], "num_rows"),
        (["--threads", "0"], "num_threads 0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_value_that_cannot_be(arguments: list[str], message: str, corpus: Path, capsys) -> None:
    assert main(["dedup", str(corpus), "--stats-only", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("a", "b", "shown"),
    [
        ("the quick fox", "the slow fox", ("the [-quick-] fox", "the {+slow+} fox")),
        ("One, two!", "one two", ("One, two!", "one two")),
        ("one two", "one two three", ("one two", "one two {+three+}")),
        ("", "one", ("", "{+one+}")),
        ("same  text\n", "same text", ("same text", "same text")),
        ("今天看书", "昨天看书了", ("[-今-]天看书", "{+昨+}天看书{+了+}")),
        ("w " * 50, "w " * 50, ("w " * 40 + "…",) * 2),
        ("w " * 50 + "a", "w " * 50 + "b", ("… " + "w " * 6 + "[-a-]", "… " + "w " * 6 + "{+b+}")),
    ],
    ids=["word", "folded", "more", "empty", "space", "unspaced", "equal", "long"],
)
def test_differences(a: str, b: str, shown: tuple[str, str]) -> None:
    pieces = differences(a, b)
    got = marked(pieces[0], "[-", "-]"), marked(pieces[1], "{+", "+}")
    assert got == shown


def test_what_stays_is_written_as_it_was(corpus: Path, tmp_path: Path, run: Run) -> None:
    out, table = tmp_path / "clean.jsonl", tmp_path / "removed.jsonl"
    fields = run(corpus, "-o", out, "--removals", table, "--show", 9)
    lines = corpus.read_text().splitlines(keepends=True)
    assert out.read_text() == "".join(lines[n] for n in KEPT)
    assert (fields["documents"], fields["kept"], fields["empty_removed"]) == (len(TEXTS), len(KEPT), 0)
    assert (fields["exact_duplicates"], fields["near_duplicates"], fields["clusters"]) == (1, 2, 2)
    assert (fields["outputs"], fields["removals"], fields["files"]) == ([str(out)], str(table), 1)
    assert fields["bytes_read"] == corpus.stat().st_size
    assert [(row["documents"], row["kept"]) for row in fields["largest_clusters"]] == [
        (3, f"{corpus}:2"),
        (2, f"{corpus}:1"),
    ]
    [example] = fields["examples"]
    assert (example["removed"], example["kept"]) == (f"{corpus}:5", f"{corpus}:2")
    assert example["similarity"] == pytest.approx(111 / 121)  # 116 shingles each, of which five have the replaced word
    differing = [piece["words"].strip() for piece in example["removed_text"] if piece["differs"]]
    assert differing == ["other"]
    rows = [json.loads(line) for line in table.read_text().splitlines()]
    assert [(row["row"], row["kept_row"]) for row in rows] == [(4, 1), (5, 2), (7, 2)]


def test_what_it_says_to_people(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.chdir(corpus.parent)
    assert main(["dedup", corpus.name, "-o", str(tmp_path / "clean.jsonl"), "--show", "1", "-v"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert re.search(r"^documents +9 in 1 file, .* KiB$", out, re.MULTILINE)
    assert re.search(r"^kept +6 \(66\.7%\)$", out, re.MULTILINE)
    assert re.search(r"^removed +1 exact and 2 near duplicates$", out, re.MULTILINE)
    assert re.search(r"^clusters +2$", out, re.MULTILINE)
    assert re.search(r"^took .* documents/s, .*B/s; memory at most .*B, inputs included$", out, re.MULTILINE)
    assert re.search(r"^documents  kept +begins$", out, re.MULTILINE)
    assert re.search(r"^ +3  corpus\.jsonl:2  w\d+ w\d+ .*…$", out, re.MULTILINE)
    assert "1. similarity 0.917\n  removed corpus.jsonl:5: …" in out
    assert "[-other-]" in out
    assert re.search(r"kept    corpus\.jsonl:2: … .*\{\+w\d+\+\}", out)


def test_stats_only_writes_nothing(corpus: Path, tmp_path: Path, run: Run) -> None:
    fields = run(corpus, "--stats-only")
    assert (fields["kept"], fields["outputs"], fields["removals"]) == (len(KEPT), [], None)
    assert list(tmp_path.iterdir()) == [corpus]


def test_annotate(corpus: Path, tmp_path: Path, run: Run) -> None:
    out = tmp_path / "marked.jsonl"
    assert run(corpus, "-o", out, "--annotate")["kept"] == len(KEPT)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["id"] for row in rows if row["keep"]] == KEPT
    assert (rows[4]["kept_id"], rows[4]["cluster_id"], rows[1]["cluster_id"]) == (f"{corpus}:2",) * 3
    assert rows[4]["similarity"] == pytest.approx(111 / 121)


def test_a_damaged_row(corpus: Path, tmp_path: Path, run: Run, capsys) -> None:
    out = tmp_path / "clean.jsonl"
    lines = corpus.read_text().splitlines(keepends=True)
    corpus.write_text("".join([*lines[:3], '{"id": 3, "text": "cut\n', *lines[3:]]))
    assert main(["dedup", str(corpus), "-o", str(out)]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "corpus.jsonl" in said
    assert "line 4" in said
    assert not out.exists()
    fields = run(corpus, "-o", out, "--on-error", "skip")
    assert (fields["rows_skipped"], ids(out)) == (1, KEPT)


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        (["--keep", "first"], 0),
        (["--keep", "longest"], 1),
        (["--keep", "score", "--score-field", "score"], 2),
        (["--keep", "source", "--source-field", "source", "--source-priority", "b,a"], 3),
    ],
    ids=lambda value: value[1] if isinstance(value, list) else "",
)
def test_which_one_stays(arguments: list[str], kept: int, tmp_path: Path, run: Run) -> None:
    texts = [page(0), page(0) + " and", replaced(page(0), 60), replaced(page(0), 61)]
    corpus = write_lines(tmp_path / "in.jsonl", texts, score=[1, 2, 3, 2.5], source=["a", "a", "c", "b"])
    run(corpus, "-o", tmp_path / "out.jsonl", *arguments)
    assert ids(tmp_path / "out.jsonl") == [kept]


def test_the_alias_and_the_options_of_other_versions(corpus: Path, tmp_path: Path) -> None:
    program = "import sys; from mithril.cli import dedup_main; sys.exit(dedup_main())"
    out = tmp_path / "out.jsonl"
    options = [
        "--text-field",
        "text",
        "--threshold",
        "0.95",
        "-p",
        "256",
        "-n",
        "3",
        "--format",
        "jsonl",
        "--streaming",
    ]
    options += ["--expected-docs", "10000000", "--no-verify", "-v", "--progress"]
    done = subprocess.run(
        [sys.executable, "-c", program, "--input", corpus, "--output", out, *options], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert set(KEPT) <= set(ids(out))
    assert re.search(r"^mithril: match: [\d,]+ of [\d,]+", done.stderr, re.MULTILINE)


def test_folders_formats_and_compression(tmp_path: Path, run: Run) -> None:
    """A copy in another file, of another format, is found as well."""
    import pyarrow.parquet as pq

    source, out = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    with gzip.open(source / "a.jsonl.gz", "wt") as file:
        file.write(json.dumps({"text": page(0)}) + "\n")
    import pyarrow as pa

    pq.write_table(pa.table({"text": [page(0), page(1)], "n": [1, 2]}), source / "b.parquet")
    write_lines(source / "c.jsonl", [page(1), page(2)])
    fields = run(source, "-o", out)
    assert (fields["documents"], fields["kept"], fields["files"]) == (5, 3, 3)
    assert pq.read_table(out / "b.parquet").to_pydict() == {"text": [page(1)], "n": [2]}
    assert ids(out / "c.jsonl") == [1]
    with gzip.open(out / "a.jsonl.gz", "rt") as file:
        assert json.loads(file.read()) == {"text": page(0)}


def test_later_runs_know_what_earlier_ones_kept(corpus: Path, tmp_path: Path, run: Run) -> None:
    index = tmp_path / "corpus.index"
    first = run(corpus, "-o", tmp_path / "1.jsonl", "--incremental", "--index-path", index)
    assert (ids(tmp_path / "1.jsonl"), first["known_to_index"]) == (KEPT, 0)
    more = write_lines(tmp_path / "more.jsonl", [page(7), replaced(page(2), 60), page(8), page(7)])
    table = tmp_path / "removed.jsonl"
    second = run(more, "-o", tmp_path / "2.jsonl", "--incremental", "--index-path", index, "--removals", table)
    rows = [json.loads(line) for line in table.read_text().splitlines()]
    assert [(row["row"], row["kept_file"], row["kept_row"]) for row in rows] == [(2, str(corpus), 3), (4, str(more), 1)]
    assert (ids(tmp_path / "2.jsonl"), second["known_to_index"]) == ([0, 2], 1)
    kept = index.read_bytes()
    again = run(more, "--stats-only", "--incremental", "--index-path", index, "-t", "0.9")
    assert (again["known_to_index"], index.read_bytes()) == (4, kept)
    third = run(more, "-o", tmp_path / "3.jsonl", "--incremental", "--index-path", index)
    assert (ids(tmp_path / "3.jsonl"), third["known_to_index"]) == ([], 4)


def test_on_a_terminal(corpus: Path, tmp_path: Path) -> None:
    terminal, child = pty.openpty()
    arguments = ["-o", str(tmp_path / "out.jsonl"), "--show", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "mithril.cli", "dedup", str(corpus), *arguments], stdout=child, stderr=child
    )
    os.close(child)
    drawn = b""
    while True:
        try:
            drawn += os.read(terminal, 4096)
        except OSError:  # the other end is closed
            break
    os.close(terminal)
    assert process.wait() == 0
    text = re.sub(r"\x1b\[[\d;?]*\w", "", drawn.decode())
    assert "removed: " in text
    assert "kept: " in text
    assert "match" in text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["int", "term"])
def test_interrupted(number: signal.Signals, tmp_path: Path) -> None:
    """While it waits for the end of a pipe: nothing is written."""
    os.mkfifo(tmp_path / "in.jsonl")
    arguments = ["dedup", str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "out.jsonl")]
    process = subprocess.Popen(
        [sys.executable, "-m", "mithril.cli", *arguments],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    # Opened for reading by then: a writer finds a reader.
    with open(tmp_path / "in.jsonl", "wb") as pipe:
        pipe.write(b'{"text": "one"}\n')
        pipe.flush()
        # One signal may come between Python's look for it and the read that it should end.
        while process.poll() is None:
            process.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                assert process.communicate(timeout=1)[1] == ""
    assert process.returncode == 130
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none.jsonl", "-o", "out.jsonl"], 3, "No such file or directory: none.jsonl"),
        (["corpus.jsonl", "-o", "corpus.jsonl/out.jsonl"], 3, "corpus.jsonl"),
        (["corpus.jsonl", "-o", "corpus.jsonl"], 2, "would replace the input"),
        (["corpus.jsonl", "-o", "out.jsonl", "-f", "body"], 2, "line 1: field 'body' is missing"),
        (["corpus.jsonl", "-o", "out.jsonl", "--incremental", "--index-path", "corpus.jsonl"], 1, "corpus.jsonl"),
        (["corpus.jsonl", "-o", "i", "--incremental", "--index-path", "./i"], 2, "two files would be written"),
        (["corpus.jsonl", "-o", "out.jsonl", "--incremental", "--index-path", "/proc/i"], 3, "cannot write"),
        (["none", "-o", "out.jsonl"], 3, "No such file or directory: none"),
    ],
    ids=["input", "output", "itself", "field", "index", "twice", "folder", "name"],
)
def test_what_is_refused_changes_nothing(
    arguments: list[str], code: int, message: str, corpus: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.chdir(corpus.parent)
    before = corpus.read_bytes()
    assert main(["dedup", *arguments]) == code
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err
    assert [path.name for path in corpus.parent.iterdir()] == [corpus.name]
    assert corpus.read_bytes() == before
