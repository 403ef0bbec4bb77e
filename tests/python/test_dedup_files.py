"""Near-duplicate removal of files: formats, borders of rows, damage, faults of the system, and what is written."""

import gzip
import json
import os
import random
import resource
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mithril import (
    CorruptError,
    InvalidArgumentError,
    StorageError,
    StorageNotFoundError,
    TruncatedError,
)
from mithril.dedup import DedupConfig, Deduplicator, Index
from mithril.dedup._files import deduplicate_files

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
zstandard = pytest.importorskip("zstandard")


def text(number: int, *, changed: int = 0) -> str:
    """Forty words that no other number has; `changed` of them differ from those of the same number."""
    words = [f"{number}w{i}" for i in range(40)]
    return " ".join([*words[: 40 - changed], *(f"{number}x{i}" for i in range(changed))])


# 0 and 3 are near duplicates, 1 and 4 exact ones; 5 is like 0 and 3 in nothing.
TEXTS = [text(0), text(1) + '\n"quoted" é', text(2), text(0, changed=1), text(1) + '\n"quoted" é', text(5)]
KEPT = [0, 1, 2, 5]


def lines_of(texts: list[str], **fields: list[Any]) -> list[str]:
    return [
        json.dumps({"id": i, "text": text, **{name: values[i] for name, values in fields.items()}})
        for i, text in enumerate(texts)
    ]


@pytest.fixture
def jsonl(tmp_path: Path) -> Path:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(line + "\n" for line in lines_of(TEXTS)))
    return path


@pytest.fixture(autouse=True)
def nothing_left_behind(tmp_path: Path) -> Iterator[None]:
    yield
    assert list(tmp_path.rglob(".mithril-*")) == []


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_lines_stay_byte_for_byte(tmp_path: Path) -> None:
    lines = lines_of(TEXTS)
    lines[0] = '  {"text" :"' + TEXTS[0].replace("w", "\\u0077") + '", "big": 123456789012345678901234567890, "é":1} '
    content = [f"{line}{end}".encode() for line, end in zip(lines, ["\r\n", "\n", "\n\n", "\n", "\n", ""], strict=True)]
    (tmp_path / "a.jsonl").write_bytes(b"\xef\xbb\xbf" + b"".join(content))
    result = deduplicate_files(tmp_path / "a.jsonl", tmp_path / "b.jsonl", removals=tmp_path / "removed.jsonl")
    assert (tmp_path / "b.jsonl").read_bytes() == b"".join(content[i].replace(b"\n\n", b"\n") for i in KEPT)
    name = str(tmp_path / "a.jsonl")
    removed = rows(tmp_path / "removed.jsonl")
    assert [(r["file"], r["row"], r["kept_file"], r["kept_row"]) for r in removed] == [
        (name, 5, name, 1),
        (name, 6, name, 2),
    ]
    similarity = Deduplicator().similarity(TEXTS[3], TEXTS[0])
    assert [r["similarity"] for r in removed] == [pytest.approx(similarity), 1]
    assert result.stats.total_documents == 6
    assert result.stats.unique_documents == 4
    assert result.bytes_read == (tmp_path / "a.jsonl").stat().st_size
    assert (result.outputs, result.removals) == ((tmp_path / "b.jsonl",), tmp_path / "removed.jsonl")
    assert result.rejected is None


def test_examples_and_clusters(jsonl: Path) -> None:
    result = deduplicate_files(jsonl)
    [example] = result.examples(5)
    assert example.removed == f"{jsonl}:4"
    assert example.kept == f"{jsonl}:1"
    assert (example.removed_text, example.kept_text) == (TEXTS[3], TEXTS[0])
    assert [(c.kept, c.documents, c.text) for c in result.largest_clusters(1)] == [(f"{jsonl}:1", 2, TEXTS[0])]


def test_examples_of_large_texts_are_cut_around_the_difference(tmp_path: Path) -> None:
    long = " ".join(f"w{i}" for i in range(40_000))
    path = tmp_path / "a.txt"
    path.write_text("\n".join([long, long.replace("w30000 ", "other "), "é" * 100, "é" * 100]))
    result = deduplicate_files(path)
    [example] = result.examples(1, limit=800)
    for text, word in ((example.kept_text, "w30000"), (example.removed_text, "other")):
        assert text.startswith("… ")
        assert f" w29999 {word} w30001 " in text
        assert text.endswith(" …")
        assert len(text) == 804
    assert [cluster.text for cluster in result.largest_clusters(2, limit=5)] == ["w0 w1", "éé"]


def test_between_files_of_all_formats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path("in")
    (folder / "deep").mkdir(parents=True)
    lines = "".join(line + "\n" for line in lines_of(TEXTS)).encode()
    (folder / "a.jsonl").write_bytes(lines)
    (folder / "b.txt").write_text(text(2) + "\n\n" + text(7) + "\n")
    (folder / "c.parquet").parent.mkdir(exist_ok=True)
    parquet.write_table(pa.table({"text": [text(5, changed=1), text(8)], "n": [1, 2]}), folder / "c.parquet")
    half = lines[: lines.index(b"\n") + 1]
    (folder / "deep" / "d.jsonl.gz").write_bytes(gzip.compress(half) + gzip.compress(lines_of([text(9)])[0].encode()))
    compress = zstandard.ZstdCompressor().compress
    (folder / "deep" / "e.jsonl.zst").write_bytes(compress(half) + compress(lines_of([text(10)])[0].encode()))
    (folder / "_SUCCESS.json").write_text("not read")
    result = deduplicate_files("in", "out", removals="removed.parquet")

    assert list(result.files) == ["in/a.jsonl", "in/b.txt", "in/c.parquet", "in/deep/d.jsonl.gz", "in/deep/e.jsonl.zst"]
    assert [row["id"] for row in rows(Path("out/a.jsonl"))] == KEPT
    assert Path("out/b.txt").read_text() == "\n" + text(7) + "\n"
    assert parquet.read_table("out/c.parquet").to_pydict() == {"text": [text(8)], "n": [2]}
    assert json.loads(gzip.decompress(Path("out/deep/d.jsonl.gz").read_bytes()))["text"] == text(9)
    with open("out/deep/e.jsonl.zst", "rb") as file:
        assert json.loads(zstandard.ZstdDecompressor().stream_reader(file).read())["text"] == text(10)
    table = parquet.read_table("removed.parquet").to_pylist()
    assert [(r["file"], r["row"], r["kept_file"], r["kept_row"]) for r in table][2:] == [
        ("in/b.txt", 1, "in/a.jsonl", 3),
        ("in/c.parquet", 1, "in/a.jsonl", 6),
        ("in/deep/d.jsonl.gz", 1, "in/a.jsonl", 1),
        ("in/deep/e.jsonl.zst", 1, "in/a.jsonl", 1),
    ]


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_result_is_that_of_the_texts_in_memory(tmp_path: Path, threads: int) -> None:
    texts = [text(i % 701, changed=i % 3) for i in range(3000)]
    config = DedupConfig(num_threads=threads)
    for part in range(3):
        lines = lines_of(texts[part * 1000 : (part + 1) * 1000])
        (tmp_path / f"{part}.jsonl").write_text("\n".join(lines))
    expected = Deduplicator(config).deduplicate(texts)
    result = deduplicate_files(str(tmp_path / "?.jsonl"), config=config).result
    assert result.remove_indices.tolist() == expected.remove_indices.tolist()
    assert result.removed_by.tolist() == expected.removed_by.tolist()
    assert result.similarities.tolist() == expected.similarities.tolist()


def test_annotated_lines(jsonl: Path, tmp_path: Path) -> None:
    deduplicate_files(jsonl, tmp_path / "b.jsonl", mode="annotate", config=DedupConfig(empty="remove"))
    before, after = jsonl.read_text().splitlines(), (tmp_path / "b.jsonl").read_text().splitlines()
    assert all(b.startswith(a[:-1] + ", ") for a, b in zip(before, after, strict=True))
    found = rows(tmp_path / "b.jsonl")
    assert [row["keep"] for row in found] == [i in KEPT for i in range(6)]
    assert [row["cluster_id"] for row in found] == [f"{jsonl}:{row}" for row in (1, 2, 3, 1, 2, 6)]
    assert [row["kept_id"] for row in found] == [None, None, None, f"{jsonl}:1", f"{jsonl}:2", None]
    assert found[4]["similarity"] == 1
    with pytest.raises(InvalidArgumentError, match=r"b\.jsonl, line 1: field 'keep' is there already"):
        deduplicate_files(tmp_path / "b.jsonl", tmp_path / "c.jsonl", mode="annotate")
    assert not (tmp_path / "c.jsonl").exists()


def test_names_that_are_no_text(jsonl: Path, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b'\xff".jsonl')
    path.write_bytes(jsonl.read_bytes())
    deduplicate_files(path, tmp_path / "b.jsonl", mode="annotate", removals=tmp_path / "r.jsonl")
    assert rows(tmp_path / "b.jsonl")[3]["kept_id"] == f'{tmp_path}/\ufffd".jsonl:1'
    assert rows(tmp_path / "r.jsonl")[0]["file"] == f'{tmp_path}/\ufffd".jsonl'


def write_parquet(path: Path) -> Any:
    """Three row groups, dictionary columns, nested values, metadata, and compression by column."""
    table = pa.table(
        {
            "id": pa.array(range(6), pa.int16()),
            "text": pa.array(TEXTS, pa.large_string()),
            "tags": pa.array([["a"], [], None, ["b", "c"], ["d"], ["e"]]),
            "kind": pa.array(list("xyxyxy")).dictionary_encode(),
        }
    ).replace_schema_metadata({"made": "by a test"})
    compression = {"id": "none", "text": "zstd", "tags.list.element": "gzip", "kind": "snappy"}
    parquet.write_table(table, path, row_group_size=2, compression=compression)
    return table


def test_parquet_keeps_schema_groups_and_compression(tmp_path: Path) -> None:
    table = write_parquet(tmp_path / "a.parquet")
    deduplicate_files(tmp_path / "a.parquet", tmp_path / "b.parquet")
    kept = parquet.read_table(tmp_path / "b.parquet")
    assert kept.equals(table.take(KEPT))
    assert kept.schema.equals(parquet.read_schema(tmp_path / "a.parquet"), check_metadata=True)
    before = parquet.ParquetFile(tmp_path / "a.parquet").metadata
    after = parquet.ParquetFile(tmp_path / "b.parquet").metadata
    assert [after.row_group(i).num_rows for i in range(after.num_row_groups)] == [2, 1, 1]
    assert [after.row_group(0).column(i).compression for i in range(4)] == [
        before.row_group(0).column(i).compression for i in range(4)
    ]


def test_annotated_parquet(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = write_parquet(path)
    deduplicate_files(path, tmp_path / "b.parquet", mode="annotate")
    marked = parquet.read_table(tmp_path / "b.parquet")
    assert marked.select(table.schema.names).equals(table)
    assert marked["keep"].to_pylist() == [i in KEPT for i in range(6)]
    assert marked["cluster_id"].to_pylist() == [f"{path}:{row}" for row in (1, 2, 3, 1, 2, 6)]
    assert marked["kept_id"].to_pylist() == [None, None, None, f"{path}:1", f"{path}:2", None]
    assert marked["similarity"].to_pylist()[4] == 1
    assert marked["similarity"].null_count == 4
    with pytest.raises(InvalidArgumentError, match="there is a column 'keep' already"):
        deduplicate_files(tmp_path / "b.parquet", tmp_path / "c.parquet", mode="annotate")


@pytest.mark.parametrize("kind", ["string", "large_string", "dictionary"])
def test_parquet_texts_beyond_the_memory_are_spilled(tmp_path: Path, kind: str) -> None:
    column = pa.array(TEXTS)
    column = column.dictionary_encode() if kind == "dictionary" else column.cast(getattr(pa, kind)())
    parquet.write_table(pa.table({"text": column}), tmp_path / "a.parquet", row_group_size=4)
    for max_memory in (0, 1500, 1 << 20):
        result = deduplicate_files(tmp_path / "a.parquet", max_memory=max_memory)
        assert result.result.keep_indices.tolist() == KEPT
        assert result.examples(1)[0].removed_text == TEXTS[3]


def test_parquet_nulls_and_damaged_texts(tmp_path: Path) -> None:
    raw = [text(0).encode(), None, text(1).encode(), b"bad \xff", text(0).encode(), text(2).encode()]
    column = pa.array(raw, pa.binary()).view(pa.string())
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"text": column, "id": range(6)}), path, row_group_size=3)
    with pytest.raises(InvalidArgumentError, match=r"a\.parquet, row 2: column 'text' is null"):
        deduplicate_files(path)
    result = deduplicate_files(path, tmp_path / "b.parquet", on_error="skip", removals=tmp_path / "r.jsonl")
    assert parquet.read_table(tmp_path / "b.parquet", columns=["id"])["id"].to_pylist() == [0, 2, 5]
    assert result.rows_skipped == 2
    assert [(r["row"], r["kept_row"]) for r in rows(tmp_path / "r.jsonl")] == [(5, 1)]
    assert result.rejected == tmp_path / "b.parquet.rejected.jsonl"
    assert [(r["row"], r["reason"]) for r in rows(result.rejected)] == [
        (2, "column 'text' is null"),
        (4, "column 'text' is not UTF-8 (byte 4 of the text)"),
    ]
    for name, columns in (("text", {"text": [1]}), ("txt", {"text": ["a"]})):
        parquet.write_table(pa.table(columns), tmp_path / "c.parquet")
        with pytest.raises(InvalidArgumentError, match=name):
            deduplicate_files(tmp_path / "c.parquet", column=name)


def test_all_damaged_texts_of_a_batch(tmp_path: Path) -> None:
    raw = [b"bad \xff" if row % 3 else text(row).encode() for row in range(9000)]
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"text": pa.array(raw, pa.binary()).view(pa.string())}), path)
    result = deduplicate_files(path, tmp_path / "b.parquet", on_error="skip")
    assert result.rejected is not None
    assert [row["row"] - 1 for row in rows(result.rejected)] == [row for row in range(9000) if row % 3]
    with pytest.raises(CorruptError, match=r"row 2: column 'text' is not UTF-8 \(byte 4 of the text\)"):
        deduplicate_files(path)
    parquet.write_table(pa.table([["a"], ["b"]], names=["text", "text"]), path)
    with pytest.raises(InvalidArgumentError, match="2 columns are called 'text'"):
        deduplicate_files(path)


FAULTS = {
    "cut": ('{"text": "a', CorruptError, "a string does not end"),
    "type": ('{"text": 7}', InvalidArgumentError, "field 'text' is a number, not a string"),
    "missing": ('{"txt": "a"}', InvalidArgumentError, "field 'text' is missing; there are 'txt'"),
    "array": ('["a"]', InvalidArgumentError, "is an array, not an object"),
    "comma": ('{"text": "a",}', CorruptError, "is not JSON"),
    "nan": ('{"text": "a", "x": NaN}', CorruptError, "has no NaN and no Infinity"),
    "infinity": ('{"text": "NaN", "x": -Infinity}', CorruptError, "has no NaN and no Infinity"),
    "utf8": ('{"text": "\udcff"}', CorruptError, "is not UTF-8"),
    "surrogate": ('{"text": "\\ud800"}', (CorruptError, InvalidArgumentError), ""),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_lines(tmp_path: Path, fault: str) -> None:
    line, kind, reason = FAULTS[fault]
    good = lines_of([text(0), text(1), text(0)])
    path = tmp_path / "a.jsonl"
    path.write_bytes("\n".join([good[0], "", line, *good[1:]]).encode("utf-8", "surrogateescape"))
    offset = len(good[0]) + 2 + (10 if fault == "utf8" else 0)
    with pytest.raises(kind, match=rf"a\.jsonl, line 3: .*{reason}.* \(offset {offset}\)"):
        deduplicate_files(path, tmp_path / "b.jsonl")
    assert os.listdir(tmp_path) == ["a.jsonl"]
    result = deduplicate_files(path, tmp_path / "b.jsonl", on_error="skip", removals=tmp_path / "r.jsonl")
    assert (tmp_path / "b.jsonl").read_text() == good[0] + "\n" + good[1] + "\n"
    assert [(r["row"], r["kept_row"]) for r in rows(tmp_path / "r.jsonl")] == [(5, 1)]
    assert result.rows_skipped == 1
    assert result.rejected is not None
    [rejected] = rows(result.rejected)
    assert rejected["row"] == 3
    assert reason in rejected["reason"]
    assert rejected["line"] == line.replace("\udcff", "\ufffd")


def read_by_python(line: bytes) -> str | None:
    """The text of a line, or None when it is none."""
    try:
        found = json.loads(line.decode(), parse_constant=lambda name: 1 / 0)
        found["text"].encode()
    except (ValueError, ArithmeticError, KeyError, TypeError, AttributeError):
        return None
    return str(found["text"])


def test_lines_are_taken_as_python_reads_them(tmp_path: Path) -> None:
    chance = random.Random(1)
    seeds = [
        {"text": 'a"b\\\n\u20ac\U0001f600', "n": [1, -0.5e-3, {"x": None}], "m": {"text": "no", "t": [True, False]}},
        {"id": 10**30, "x": [[], {}, ""], "te": 0, "text": "a longer text, of more than sixteen bytes \t", "z": "}"},
        {"text": 1, "text2": "", "a": {"b": {"c": [{}]}}},
    ]
    lines = []
    for number in range(6000):
        line = bytearray(json.dumps(seeds[number % 3], ensure_ascii=number % 2 == 0).encode())
        for _ in range(chance.choice((0, 1, 1, 2))):
            at = chance.randrange(len(line))
            piece = chance.choice(
                (b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"0", b"e", b"\xc3", b" ", b"text", b"")
            )
            line[at : at + chance.choice((0, 1, 3))] = piece
        lines.append(bytes(line))
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(lines))
    expected = [(row, text) for row, line in enumerate(lines, 1) if (text := read_by_python(line)) is not None]
    result = deduplicate_files(tmp_path / "a.jsonl", on_error="skip")
    places = result.corpus.places(np.arange(len(result.corpus)))[1].tolist()
    found = [(row, result.corpus.texts.text(i)) for i, row in enumerate(places)]
    assert 500 < len(expected) < 4000
    assert found == expected


def test_damaged_compressed_files(jsonl: Path, tmp_path: Path) -> None:
    for name, packed, kind in (
        ("a.jsonl.gz", gzip.compress(jsonl.read_bytes())[:-9], TruncatedError),
        ("b.jsonl.gz", b"no gzip", CorruptError),
        ("c.jsonl.zst", zstandard.ZstdCompressor().compress(jsonl.read_bytes())[:-5], TruncatedError),
        ("d.jsonl.zst", b"no zstd", CorruptError),
        ("f.jsonl.gz", b"", TruncatedError),
        ("g.jsonl.zst", b"", TruncatedError),
    ):
        (tmp_path / name).write_bytes(packed)
        with pytest.raises(kind, match=name):
            deduplicate_files(tmp_path / name, tmp_path / "out.jsonl")
    (tmp_path / "e.parquet").write_bytes(b"PAR1 no Parquet PAR1")
    with pytest.raises(CorruptError, match=r"e\.parquet"):
        deduplicate_files(tmp_path / "e.parquet", tmp_path / "out.parquet")
    assert not list(tmp_path.glob("out*"))


def test_zstd_of_a_large_window(jsonl: Path, tmp_path: Path) -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=28, hash_log=10, chain_log=10, strategy=1)
    packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()  # without a size: the window counts
    (tmp_path / "a.jsonl.zst").write_bytes(packer.compress(jsonl.read_bytes()) + packer.flush())
    assert deduplicate_files(tmp_path / "a.jsonl.zst").result.keep_indices.tolist() == KEPT


def test_a_pipe_is_read_as_a_stream(jsonl: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(jsonl.read_bytes()))
    writer.start()
    result = deduplicate_files(pipe, tmp_path / "b.jsonl", format="jsonl")
    writer.join()
    assert [row["id"] for row in rows(tmp_path / "b.jsonl")] == KEPT
    assert result.bytes_read == jsonl.stat().st_size


@pytest.mark.parametrize("change", ["grow", "cut", "write"])
@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_file_that_changes_is_an_error(tmp_path: Path, change: str, suffix: str) -> None:
    path, output = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    if suffix == "parquet":
        parquet.write_table(pa.table({"text": TEXTS}), path)
    else:
        path.write_text("\n".join(lines_of(TEXTS)))

    def spoil(stage: str, done: int, total: int | None) -> None:
        if stage == "match":
            content = path.read_bytes()
            # A page is left: what was mapped beyond would end the process, as documented.
            path.write_bytes({"grow": content + b"\n", "cut": content[:-1], "write": content}[change])
            os.utime(path, ns=(1, 1))

    with pytest.raises(CorruptError, match=r"changed while it was read"):
        deduplicate_files(path, output, progress=spoil)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "jsonl.zst", "parquet"])
def test_a_full_disk(tmp_path: Path, suffix: str) -> None:
    texts = [os.urandom(600).hex() for _ in range(400)]
    path, output = tmp_path / f"a.{suffix.split('.')[0]}", tmp_path / "out" / f"b.{suffix}"
    if suffix == "parquet":
        parquet.write_table(pa.table({"text": texts}), path, compression="none", use_dictionary=False)
    else:
        path.write_text("\n".join(lines_of(texts)))
    before = path.read_bytes()
    output.parent.mkdir()
    output.write_text("as it was")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # Python ignores SIGXFSZ: writes fail with EFBIG
    try:
        with pytest.raises(StorageError, match=r"out/b\.") as raised:
            deduplicate_files(path, output, max_memory=1 << 30)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert raised.value.filename == str(output)
    assert raised.value.strerror == "cannot write: File too large"
    assert output.read_text() == "as it was"
    assert os.listdir(output.parent) == [output.name]
    assert path.read_bytes() == before


def test_spilling_to_a_full_disk(jsonl: Path, tmp_path: Path) -> None:
    packed = tmp_path / "a.jsonl.gz"
    packed.write_bytes(gzip.compress(jsonl.read_bytes() * 1000))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(StorageError, match="cannot write a temporary file"):
            deduplicate_files(packed, spill_folder=tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with pytest.raises(StorageNotFoundError, match="nowhere"):
        deduplicate_files(packed, spill_folder=tmp_path / "nowhere")


def test_outputs_of_several_files_appear_together(jsonl: Path, tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text(jsonl.read_text())
    (tmp_path / "out" / "c.jsonl").mkdir(parents=True)
    with pytest.raises(StorageError, match="Is a directory"):
        deduplicate_files([jsonl, tmp_path / "c.jsonl"], tmp_path / "out")
    assert os.listdir(tmp_path / "out") == ["c.jsonl"]
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(StorageError, match="not a regular file"):
        deduplicate_files(jsonl, tmp_path / "pipe.jsonl")
    with pytest.raises(StorageError):
        deduplicate_files([jsonl, tmp_path / "c.jsonl"], tmp_path / "new" / "deep", removals="/proc/none.jsonl")
    assert not (tmp_path / "new").exists()


def test_what_cannot_be_written_is_said_before_the_work(jsonl: Path) -> None:
    stages: list[str] = []
    with pytest.raises(StorageError) as raised:
        deduplicate_files(jsonl, "/proc/none/b.jsonl", progress=lambda stage, done, total: stages.append(stage))
    assert raised.value.filename == "/proc/none/b.jsonl"
    assert stages == []


def test_an_output_is_never_an_input(jsonl: Path, tmp_path: Path) -> None:
    os.link(jsonl, tmp_path / "link.jsonl")
    (tmp_path / "symlink.jsonl").symlink_to(jsonl)
    before = jsonl.read_bytes()
    for name in ("a.jsonl", "link.jsonl", "symlink.jsonl"):
        with pytest.raises(InvalidArgumentError, match="would replace the input"):
            deduplicate_files(jsonl, tmp_path / name)
        with pytest.raises(InvalidArgumentError, match="would replace the input"):
            deduplicate_files(jsonl, tmp_path / "b.jsonl", removals=tmp_path / name)
    with pytest.raises(InvalidArgumentError, match="would replace the input"):
        deduplicate_files([jsonl], str(tmp_path))
    with pytest.raises(InvalidArgumentError, match="the same file as"):
        deduplicate_files([jsonl, tmp_path / "link.jsonl"], tmp_path / "out")
    assert jsonl.read_bytes() == before


def test_two_outputs_are_never_one_file(jsonl: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("here").symlink_to(tmp_path)
    Path("link.jsonl").symlink_to("x.jsonl")
    for output, removals, index_path in (
        ("x.jsonl", tmp_path / "x.jsonl", None),
        ("x.jsonl", "here/x.jsonl", None),
        ("link.jsonl", "./x.jsonl", None),
        ("x.jsonl", None, "here/link.jsonl"),
        ("out/", None, "./out/a.jsonl"),
        (None, "x.jsonl", "link.jsonl"),
    ):
        index = None if index_path is None else Index()
        with pytest.raises(InvalidArgumentError, match="two files would be written"):
            deduplicate_files(jsonl, output, removals=removals, index=index, index_path=index_path)
    assert sorted(os.listdir()) == ["a.jsonl", "here", "link.jsonl"]


def test_of_a_link_the_file_it_leads_to_is_replaced(jsonl: Path, tmp_path: Path) -> None:
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "b.jsonl").symlink_to(f"../{name}.data")
    (tmp_path / "1.data").write_text("old")
    deduplicate_files(jsonl, tmp_path / "1" / "b.jsonl", removals=tmp_path / "2" / "b.jsonl")
    assert [row["id"] for row in rows(tmp_path / "1.data")] == KEPT
    assert [row["row"] for row in rows(tmp_path / "2.data")] == [4, 5]
    assert all((tmp_path / name / "b.jsonl").is_symlink() for name in ("1", "2"))
    (tmp_path / "out").symlink_to("/dev/stdout")
    (tmp_path / "round").symlink_to("round")
    for path in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", tmp_path / "out", tmp_path / "round"):
        with pytest.raises(StorageError, match="cannot write") as raised:
            deduplicate_files(jsonl, path)
        assert raised.value.filename == str(path)
    assert Path("/dev/stdout").is_symlink()


def test_what_cannot_be_read_in_a_folder_is_said(jsonl: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    shutil.copy(jsonl, folder)
    pipe, link = folder / "b.jsonl", folder / "c.txt"
    for found in (folder, folder / "*"):
        os.mkfifo(pipe)
        with pytest.raises(InvalidArgumentError, match=r"b\.jsonl: no regular file"):
            deduplicate_files(found)
        pipe.unlink()
        link.symlink_to("nowhere.txt")
        with pytest.raises(InvalidArgumentError, match=r"c\.txt: a link to nothing"):
            deduplicate_files(found)
        link.unlink()
    name = "d" * 250
    at = os.open(folder, os.O_RDONLY)
    for _ in range(18):  # beyond the longest path that the system reads
        os.mkdir(name, dir_fd=at)
        below = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    with pytest.raises(StorageError, match="cannot read the folder"):
        deduplicate_files(folder)
    shutil.rmtree(folder / name)


def test_documents_of_earlier_runs_are_told_from_those_of_today(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    index, path = Index(DedupConfig(num_threads=1)), Path("d.jsonl")
    path.write_text("\n".join(lines_of([text(0), text(1)])))
    deduplicate_files(path, index=index, index_path="i")
    assert len(Index.open("i")) == 2
    path.write_text("\n".join(lines_of([text(2), text(0), text(2)])))
    saved, config = Path("i").read_bytes(), DedupConfig(num_threads=2)
    result = deduplicate_files(path, "marked.jsonl", mode="annotate", removals="r.jsonl", index=index, config=config)
    found = [(r["row"], r["kept_file"], r["kept_row"], r["kept_in_index"]) for r in rows(Path("r.jsonl"))]
    assert found == [(2, "d.jsonl", 1, True), (3, "d.jsonl", 1, False)]
    assert [r["kept_id"] for r in rows(Path("marked.jsonl"))] == [None, "index:d.jsonl:1", "d.jsonl:1"]
    assert result.corpus.ids(result.result.removed_by) == ["index:d.jsonl:1", "d.jsonl:1"]
    assert Path("i").read_bytes() == saved


def test_what_does_not_fit_together(jsonl: Path, tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("a\n")
    (tmp_path / "x.dat").write_text("a\n")
    (tmp_path / "empty").mkdir()
    for message, call in {
        "its name says no format": {"inputs": tmp_path / "x.dat"},
        "no files of a known format": {"inputs": tmp_path / "empty"},
        "no inputs": {"inputs": []},
        "an input has an empty name": {"inputs": [jsonl, ""]},
        "output is an empty name": {"inputs": jsonl, "output": ""},
        "removals is an empty name": {"inputs": jsonl, "removals": ""},
        "index_path needs an index": {"inputs": jsonl, "index_path": "i"},
        "need a folder as output": {"inputs": [jsonl, tmp_path / "t.txt"], "output": tmp_path / "x.dat"},
        "has the format of the input": {"inputs": jsonl, "output": tmp_path / "b.parquet"},
        "plain text has no fields": {"inputs": tmp_path / "t.txt", "output": tmp_path / "b.txt", "mode": "annotate"},
        "needs an output": {"inputs": jsonl, "mode": "annotate"},
        "mode 'x' is not one of": {"inputs": jsonl, "mode": "x"},
        "score_column go together": {"inputs": jsonl, "score_column": "s"},
        "source_priority go together": {"inputs": jsonl, "source_column": "s"},
        "two files would be written": {"inputs": jsonl, "output": tmp_path / "b", "removals": tmp_path / "b"},
    }.items():
        with pytest.raises(InvalidArgumentError, match=message):
            deduplicate_files(**call)  # type: ignore[arg-type]
    for name in ("none.jsonl", "none"):
        with pytest.raises(StorageNotFoundError):
            deduplicate_files(tmp_path / name)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_which_document_stays(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    scores, sources = [1, 2, 3.5, -1, 1e3, 0], ["web", "web", "web", "books", "new", "web"]
    if suffix == "parquet":
        parquet.write_table(pa.table({"text": TEXTS, "score": scores, "from": sources}), path)
    else:
        path.write_text("\n".join(lines_of(TEXTS, score=scores, **{"from": sources})))
    by_score = deduplicate_files(path, config=DedupConfig(keep="score"), score_column="score")
    assert by_score.result.keep_indices.tolist() == [0, 2, 4, 5]
    by_source = deduplicate_files(
        path, config=DedupConfig(keep="source"), source_column="from", source_priority=["books", "web"]
    )
    assert by_source.result.keep_indices.tolist() == [1, 2, 3, 5]
    (tmp_path / "second.jsonl").write_text("\n".join(lines_of([text(2), text(5, changed=1)])))
    files = [tmp_path / "second.jsonl", path]
    assert deduplicate_files(files, config=DedupConfig(keep="source")).result.keep_indices.tolist() == [0, 1, 2, 3]
    assert deduplicate_files(files, config=DedupConfig(keep="longest")).stats.unique_documents == 4


def test_texts_without_words(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(lines_of(["", text(0), " ?! "])))
    assert deduplicate_files(path).stats.unique_documents == 3
    config = DedupConfig(empty="remove")
    deduplicate_files(path, tmp_path / "b.jsonl", config=config, removals=tmp_path / "r.jsonl")
    nothing = {"kept_file": None, "kept_row": None, "kept_in_index": None, "similarity": None}
    assert rows(tmp_path / "r.jsonl") == [{"file": str(path), "row": row, **nothing} for row in (1, 3)]
    assert [row["id"] for row in rows(tmp_path / "b.jsonl")] == [1]


@pytest.mark.parametrize("name", ["a.jsonl", "a.txt", "a.jsonl.gz", "a.parquet"])
def test_no_documents(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("parquet"):
        parquet.write_table(pa.table({"text": pa.array([], pa.string())}), path)
    else:
        path.write_bytes(gzip.compress(b"") if name.endswith("gz") else b"")
    result = deduplicate_files(path, tmp_path / f"out-{name}", removals=tmp_path / "removed.parquet")
    assert result.stats.total_documents == 0
    assert (result.examples(3), result.largest_clusters(3)) == ([], [])
    assert result.outputs[0].exists()
    assert parquet.read_table(tmp_path / "removed.parquet").num_rows == 0


def test_progress_of_every_stage(jsonl: Path, tmp_path: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    deduplicate_files(jsonl, tmp_path / "b.jsonl", progress=lambda *told: seen.append(told))
    size = jsonl.stat().st_size
    assert seen[0] == ("scan", size, size)
    assert seen[-1] == ("write", 6, 6)
    assert {"scan", "match", "write"} <= {stage for stage, _, _ in seen}


def test_progress_may_end_the_job(jsonl: Path, tmp_path: Path) -> None:
    for stage in ("scan", "match", "write"):

        def stop(told: str, done: int, total: int | None, at: str = stage) -> None:
            if told == at:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            deduplicate_files(jsonl, tmp_path / "b.jsonl", progress=stop)
        assert os.listdir(tmp_path) == ["a.jsonl"]
