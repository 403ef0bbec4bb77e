"""Writes tests/fuzz/corpus: what the fuzz targets start from, and what the tests replay.

    cmake --build build/asan --target fuzz_make_seeds
    python tests/fuzz/make_corpus.py build/asan

Taken from fixtures/golden and fixtures/malformed, from small samples in every transform and coder that the reference
encoder has, and from make_seeds.cpp: streams and blocks of the core, for what the reference encoder cannot make or
would not choose. For a new transform or coder this only has to run again. The head of a target says what its input is.
The archives of fixtures/ are inputs of the target `archive` as they are, without a copy here.
"""

import itertools
import json
import math
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.reference.decoder import align  # noqa: E402
from tests.reference.encoder import (  # noqa: E402
    CODERS,
    DTYPES_BY_NAME,
    TRANSFORMS,
    Item,
    encode,
    encode_stream,
    rans_stream,
)
from tests.reference.planes import DTYPES, plane_bits  # noqa: E402
from tests.reference.samples import sample  # noqa: E402

WIDTHS = (1, 2, 3, 4, 5, 6, 7, 8, 16, 32, 64, 128)  # of stream.cpp, in its order
DTYPE_NUMBER = {dtype: number for number, dtype in enumerate(DTYPES)}  # by wire id; the order is that of kDTypes
PATTERNS = 14  # kPatterns of tests/cpp/support/samples.h
LARGEST = 1500  # bytes of a seed


class Corpus:
    """The seeds by target; each content once."""

    def __init__(self) -> None:
        self.seeds: dict[str, dict[bytes, str]] = {}

    def add(self, target: str, name: str, seed: bytes) -> None:
        if len(seed) <= LARGEST:
            self.seeds.setdefault(target, {}).setdefault(seed, name)

    def write(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        for target, seeds in self.seeds.items():
            (folder / target).mkdir(parents=True)
            names = set()
            for seed, name in seeds.items():
                assert name not in names, f"{target}: two seeds are called {name}"
                names.add(name)
                (folder / target / name).write_bytes(seed)
            print(f"{target}: {len(seeds)} seeds, {sum(map(len, seeds))} bytes")


@dataclass
class Frame:
    dtype: int
    elements: int
    table: bytes
    blocks: bytes  # with padding


def integer(data: bytes, at: int, width: int = 8) -> int:
    return int.from_bytes(data[at : at + width], "little")


def frames(archive: bytes) -> Iterator[Frame]:
    """Those that an index names, as far as it makes sense; nothing is checked."""
    at, size = integer(archive, len(archive) - 120), integer(archive, len(archive) - 112)
    index = archive[at : at + size]
    entry_count, metadata_count, at = integer(index, 8), integer(index, 16), 24
    for _ in range(2 * min(metadata_count, len(index))):
        at += 8 + integer(index, at)
    for _ in range(min(entry_count, len(index))):
        kind, dtype, _, ndim = struct.unpack("<4H", index[at + 8 : at + 16].ljust(8, b"\0"))
        dims = at + 24 + integer(index, at + 16)
        after = dims + 9 * ndim
        elements = math.prod(integer(index, dims + 8 * k) for k in range(ndim))
        frame, table, table_size = (integer(index, after + 8 * k) for k in range(3))
        if (
            kind != 1
            and dtype in DTYPES
            and elements < 1 << 32
            and frame <= table
            and table + table_size < len(archive)
        ):
            yield Frame(dtype, elements, archive[table : table + table_size], archive[frame:table])
        at += max(integer(index, at), 40)


def blocks(frame: Frame) -> Iterator[tuple[int, int, bytes, list[tuple[int, int]]]]:
    """Transform, elements, stored bytes, and coder and size of the streams of each block, as far as they make sense."""
    table, at, transforms, left, position = frame.table, 40, [], frame.elements, 0
    for _ in range(min(integer(table, 24), 256)):
        transforms.append((integer(table, at, 2), integer(table, at + 4, 2)))
        at += 8 + 4 * transforms[-1][1]
    while at + 32 <= len(table) - 8 and (recipe := integer(table, at + 24, 2)) < len(transforms):
        size, (transform, planes) = integer(table, at), transforms[recipe]
        records = [table[at + 32 + 16 * k :][:16] for k in range(planes)]
        streams = [(integer(record, 0, 2), integer(record, 8)) for record in records]
        yield transform, min(integer(table, 8), left), frame.blocks[position : position + size], streams
        at, left, position = at + 32 + 16 * planes, left - integer(table, 8), align(position + size)


def add_ends(corpus: Corpus, name: str, archive: bytes) -> None:
    corpus.add("index", f"{name}-ends", b"\1" + struct.pack("<Q", len(archive)) + archive[:64] + archive[-128:])


def add_index(corpus: Corpus, name: str, archive: bytes) -> None:
    at, size = integer(archive, len(archive) - 120), integer(archive, len(archive) - 112)
    corpus.add("index", name, b"\0" + struct.pack("<Q", at) + archive[at : min(at + size, len(archive))])


def add_frames(corpus: Corpus, name: str, archive: bytes, seen: set[object] | None = None) -> None:
    """Tables with their blocks, and the streams in these; given `seen`, only those of a kind that is not in it yet."""

    def wanted(kind: object) -> bool:
        return seen is None or not (kind in seen or seen.add(kind))

    for number, frame in enumerate(sorted(frames(archive), key=lambda frame: len(frame.table) + len(frame.blocks))):
        dtype, found = DTYPES[frame.dtype], list(blocks(frame))
        kinds = tuple((transform, *(coder for coder, _ in streams)) for transform, _, _, streams in found)
        head = struct.pack("<BBIH", DTYPE_NUMBER[frame.dtype], 0, frame.elements, len(frame.table) % 65536)
        seed = head + frame.table + b"".join(stored for _, _, stored, _ in found)
        if len(seed) <= LARGEST and wanted((frame.dtype, kinds)):
            corpus.add("table", f"{name}-{number}", seed)
        for k, (transform, elements, stored, streams) in enumerate(found):
            symbols = elements * (dtype.size // dtype.component if transform else 1)
            for plane, ((coder, size), bits) in enumerate(
                zip(streams, plane_bits(transform, dtype) or (), strict=False)
            ):
                if coder in CODERS.values() and symbols <= 4096 and wanted((coder, bits)):
                    add_stream(corpus, f"{name}-{number}.{k}.{plane}", coder, bits, symbols, stored[:size])
                stored = stored[size:]


def add_stream(corpus: Corpus, name: str, coder: int, bits: int, count: int, stream: bytes) -> None:
    corpus.add("stream", name, struct.pack("<BBH", coder, WIDTHS.index(bits), count) + stream)


def add_streams(corpus: Corpus) -> None:
    """Every coder on symbols of every width: few and many, and enough that a coder with a header gains by it."""
    random = Random(1)
    for (name, coder), bits, count in itertools.product(CODERS.items(), WIDTHS, (1, 70, 2000)):
        width, mask = -(-bits // 8), (1 << bits) - 1
        values = [0] if name == "constant" else [min(int(random.expovariate(1)), mask) for _ in range(count)]
        symbols = [value.to_bytes(width, "little") for value in (values * count)[:count]]
        used, stream = encode_stream(name, symbols, bits)
        if used == name and len(stream) <= 800:
            add_stream(corpus, f"{name}-{bits}-{count}", coder, bits, count, stream)
    for lanes, table in itertools.product((64, 128), (2, 5, 16, 17, 32)):
        symbols = bytes(min(int(random.expovariate(2 / table)), table + 20) for _ in range(1200))
        add_stream(
            corpus, f"rans-lanes{lanes}-table{table}", CODERS["rans"], 8, 1200, rans_stream(symbols, lanes, table)
        )


def add_samples(corpus: Corpus) -> None:
    """Archives in every coder and transform, their tables, and streams of kinds that these alone have."""
    seen: set[object] = set()
    names = ("bfloat16", "float16", "float8_e5m2", "float8_e4m3fn", "float64", "complex64", "int32")
    for (coder, transform), name in itertools.product(itertools.product(CODERS, TRANSFORMS), names):
        dtype = DTYPES_BY_NAME[name]
        if not plane_bits(TRANSFORMS[transform], dtype):
            continue
        # Two blocks; what has a header needs many symbols to gain by it.
        count, kind = {"raw": (12, "trained"), "constant": (12, "constant")}.get(coder, (500 // dtype.size, "integers"))
        data = sample(dtype, count, kind)
        item = Item(name, name, (count,), data, block_elements=count - 4, codings=[(transform, coder)])
        archive = encode([item], {"k": "v"})
        add_frames(corpus, f"{coder}-{transform}-{name}", archive, seen)
        if name in ("bfloat16", "int32"):
            corpus.add("archive", f"{coder}-{transform}-{name}", archive)


def add_blocks(corpus: Corpus) -> None:
    """For round_trip: every dtype with like weights, a few with all patterns, levels, and changes."""

    def add(name: str, dtype: int, level: int, flags: int, elements: int, pattern: int, *changes: int) -> None:
        run, stride, mask = changes[:3] if changes else (0, 0, 0)
        head = struct.pack("<BBBI", DTYPE_NUMBER[dtype], level - 1, flags, elements - 1)
        corpus.add("round_trip", name, head + bytes([pattern, 1, run, stride, mask, *changes[3:]]))

    for dtype in DTYPES.values():
        add(f"{dtype.name}", dtype.id, 3, 1, 900, 3)
        add(f"{dtype.name}-unsplit", dtype.id, 3, 0, 70, 7)
    for name, pattern in itertools.product(("uint8", "bfloat16", "float32", "int64"), range(PATTERNS)):
        add(f"{name}-pattern{pattern}", DTYPES_BY_NAME[name].id, 3, 1, 1500, pattern)
    for pattern, level in itertools.product(range(PATTERNS), (1, 3, 16)):
        add(f"float16-pattern{pattern}-level{level}", DTYPES_BY_NAME["float16"].id, level, 241, 20_000, pattern)
    for level in (1, 15, 16, 22):
        add(f"level{level}", DTYPES_BY_NAME["bfloat16"].id, level, 1, 3000, 7)
    uint8 = DTYPES_BY_NAME["uint8"].id
    add("large", uint8, 3, 241, 140_000, 0, 0, 0, 15, *Random(1).choices(range(16), range(16, 0, -1), k=600))
    add("runs", uint8, 3, 1, 9000, 0, 40, 0, 255, *Random(2).randbytes(200))
    add("sparse", DTYPES_BY_NAME["float32"].id, 3, 1, 4000, 0, 0, 63, 255, *Random(3).randbytes(100))
    add("text", uint8, 3, 1, 8000, 0, 0, 0, 255, *b"the same again and again, and then something else; ")


def add_malformed(corpus: Corpus, folder: Path) -> None:
    """Each where it is wrong."""
    for file, error in json.loads((folder / "expected.json").read_text()).items():
        name, archive = Path(file).stem, (folder / file).read_bytes()
        structure = error["field"].split(".")[0]
        if error["layer"] != "archive" or len(archive) < 192:
            continue
        if structure in ("header", "footer"):
            add_ends(corpus, name, archive)
        elif structure in ("index", "metadata", "entry"):
            add_index(corpus, name, archive)
        else:
            add_frames(corpus, name, archive)


def add_golden(corpus: Corpus, folder: Path) -> None:
    """One of each kind."""
    seen: set[object] = set()
    for path in sorted(folder.glob("*.mcp")):
        add_frames(corpus, path.stem, path.read_bytes(), seen)
    for name in ("no_entries", "only_metadata", "entries_of_all_kinds", "dim_orders", "dtype_complex32"):
        add_index(corpus, name, (folder / f"{name}.mcp").read_bytes())
    add_ends(corpus, "golden", (folder / "dim_orders.mcp").read_bytes())


def add_json_lines(corpus: Corpus) -> None:
    """Lines with all that JSON has, plain text, and lines that are none."""
    lines = [
        r'{"text": "a\"b\\\/\b\f\n\r\t\u00e9\ud83d\ude00é", "score": -1.5e3, "source": "a"}',
        '{ "id" : 340282366920938463463374607431768211455, "m": {"text": [true, null, {}]}, "text":"", "score":0 }',
        '{"score": 1e999, "source": "b", "text": "' + 40 * "x" + '", "text": "last"}',
        '{"keep": 1, "text": "marked"}',
        '["text"]',
        '{"text": "cut',
        r'{"text": "\ud800"}',
    ]
    for ending in ("\n", "\r\n\n"):
        content = ending.join(lines).encode()
        for flags in range(3):
            corpus.add("json_lines", f"lines-{flags}-{len(ending)}", bytes([flags]) + content)
    corpus.add("json_lines", "mark", b"\2\xef\xbb\xbf" + lines[2].encode() + b"\n\xff\n")


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("make_corpus.py BUILD_FOLDER")
    corpus = Corpus()
    add_streams(corpus)
    add_samples(corpus)
    add_malformed(corpus, ROOT / "fixtures/malformed")
    add_golden(corpus, ROOT / "fixtures/golden/v1")
    add_blocks(corpus)
    add_json_lines(corpus)
    folder = Path(__file__).resolve().parent / "corpus"
    corpus.write(folder)
    subprocess.run([Path(sys.argv[1], "fuzz_make_seeds").resolve(), folder], check=True)


if __name__ == "__main__":
    main()
