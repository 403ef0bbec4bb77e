"""What the encoder writes at its three efforts, read by the reference decoder; and streams that no encoder writes, of
which the two decoders must think the same."""

import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from mithril._errors import CorruptError  # noqa: E402
from tests.python.archives import assert_holds, assert_same, read_all, write  # noqa: E402
from tests.reference.decoder import decode  # noqa: E402
from tests.reference.encoder import DTYPES_BY_NAME, Coding, Item, encode, palette_stream  # noqa: E402
from tests.reference.errors import FormatError  # noqa: E402
from tests.reference.keys import form_of  # noqa: E402
from tests.reference.planes import (  # noqa: E402
    CONSTANT,
    CONTEXT_RANS,
    DTYPES,
    FLOAT_KEYS,
    IDENTITY,
    NONZERO_KEYS,
    PALETTE,
    Dtype,
    Recipe,
    decode_stream,
)
from tests.reference.rans import CLASSES, SAME_LANE, SEGMENTS, Context, context_rans_stream  # noqa: E402
from tests.reference.samples import CONTENTS, content  # noqa: E402

FLOATS = [dtype for dtype in DTYPES.values() if dtype.exponent]
EFFORTS = {"fast": 1, "default": 3, "best": 19}  # zstd_level


class Stream(NamedTuple):
    entry: str
    recipe: Recipe
    plane: int
    coder: int
    data: bytes


def streams(archive: bytes) -> Iterator[Stream]:
    for entry in decode(archive).entries:
        position = entry.frame_offset
        for block in entry.blocks:
            at = position
            for plane, (coder, size) in enumerate(block.streams):
                yield Stream(entry.name, block.recipe, plane, coder, archive[at : at + size])
                at += size
            position += -(-block.stored_size // 64) * 64


def has_verbatim_segment(stream: Stream) -> bool:
    if stream.coder != CONTEXT_RANS or stream.data[1] != SEGMENTS:
        return False
    at, found = 20 + 2 * (stream.data[2] - 1), False
    for _ in range(stream.data[2]):
        bitmap = stream.data[at + 2 : at + 2 + stream.data[at + 1]]
        found = found or not bitmap
        at += 2 + len(bitmap) + (sum(byte.bit_count() for byte in bitmap) + 1 if bitmap else 0)
    return found


class TestEfforts:
    @pytest.mark.parametrize("effort", EFFORTS)
    @pytest.mark.parametrize("dtype", FLOATS, ids=lambda dtype: dtype.name)
    def test_contents(self, dtype: Dtype, effort: str) -> None:
        numel = 9000 * dtype.component // dtype.size
        items = [Item(kind, dtype.name, (numel,), content(dtype, numel, kind)) for kind in CONTENTS]
        archive = write(items, zstd_level=EFFORTS[effort])
        reference = decode(archive)
        assert_holds(reference, items)
        assert_same(reference, archive)

        recipes = {entry.name: entry.blocks[0].recipe for entry in reference.entries}
        transforms = {name: recipe.transform for name, recipe in recipes.items()}
        assert {transforms[name] for name in ("normal", "outliers", "two scales", "rows")} == {FLOAT_KEYS}
        assert transforms["masked"] == transforms["blank half"] == NONZERO_KEYS
        assert transforms["few values"] == (IDENTITY if dtype.component > 1 else FLOAT_KEYS)
        forms = {name: form_of(recipe.parameter) for name, recipe in recipes.items()}
        if dtype.exponent >= 8:
            assert forms["normal"].j == list(EFFORTS).index(effort)
            assert (forms["normal"].unsigned, forms["squares"].unsigned) == (0, 1)

        made = list(streams(archive))
        of_keys = {s.entry: s for s in made if s.plane == len(s.recipe.bits) - 1}
        assert of_keys["normal"].coder == CONTEXT_RANS
        assert (of_keys["few values"].coder == PALETTE) == (dtype.component > 1)
        if effort == "best":
            key = of_keys["two scales"]
            assert key.recipe.contexts[key.plane] == (SAME_LANE, 0)
            assert key.data[1] == CLASSES
        if dtype.exponent + forms["outliers"].j > 8:
            high = {s.entry: s for s in made if s.plane == len(s.recipe.bits) - 2}
            assert (high["normal"].coder, high["normal"].data) == (CONSTANT, b"\0")
            assert high["outliers"].coder != CONSTANT

    @pytest.mark.parametrize("effort", EFFORTS)
    @pytest.mark.parametrize("name", ["bfloat16", "float8_e5m2"])
    def test_segments(self, name: str, effort: str) -> None:
        dtype, count = DTYPES_BY_NAME[name], 70_000  # fewer have one segment
        half = count // 2 * dtype.size
        noise = content(dtype, count, "normal")[:half] + Random(1).randbytes(half)
        items = [
            Item("two scales", name, (count,), content(dtype, count, "two scales")),
            Item("half noise", name, (count,), noise),
        ]
        archive = write(items, zstd_level=EFFORTS[effort], block_bytes=1 << 20)
        assert_holds(decode(archive), items)
        assert_same(decode(archive), archive)
        made = [s for s in streams(archive) if s.coder == CONTEXT_RANS and s.data[1] == SEGMENTS]
        assert {s.entry for s in made if s.data[2] > 1} == {"two scales", "half noise"}
        assert {s.entry for s in made if has_verbatim_segment(s)} == {"half noise"}


def skewed(random: Random, count: int, values: int) -> bytes:
    return bytes(int(values * random.random() ** 4) for _ in range(count))


def altered(random: Random, stream: bytes) -> bytes:
    """One byte set, removed or put in, most often among the first ones; or none."""
    at = random.randrange(min(len(stream), random.choice((4, 20, 60, 200, 10_000))))
    byte = random.choice((0, 1, 255, random.randrange(256), stream[at] ^ 1, stream[at] + 1 & 255, stream[at] - 1 & 255))
    return random.choice(
        (stream[:at] + bytes([byte]) + stream[at + 1 :],) * 6
        + (stream[:at] + stream[at + 1 :], stream[:at] + bytes([byte]) + stream[at:], stream + b"\0", stream)
    )


def assert_agree(item: Item, coder: int, stream: bytes, raises: bool) -> None:
    changes = {"frame0.block0.plane0.coder": coder, "frame0.block0.plane0.stream": stream}
    archive = encode([item], changes=changes)
    if raises:
        with pytest.raises(CorruptError):
            read_all(archive)
    else:
        assert read_all(archive) == [item.data]


class TestStreams:
    """Each archive is right but for what the stream says; it holds what the reference makes of that."""

    @pytest.mark.parametrize("seed", range(8))
    def test_context_rans(self, seed: int) -> None:
        random, raised = Random(seed), 0
        for _ in range(40):
            count = random.choice((1000, 1024, 3000, 5000))
            symbols, other = skewed(random, count, random.choice((2, 20, 60))), random.randbytes(count)
            context = Context(random.choice((0, 1, 3)), other)
            options = {name: random.choice((0, 2, 15)) for name in ("rare", "second_rare")}
            options |= {"lanes": random.choice((64, 128)), "values": random.choice((1, 5, 31, 63))}
            if context.kind and random.random() < 0.7:
                made = context_rans_stream(symbols, context, classes=random.choice((1, 3, 16)), **options)
            else:
                segments = [1] * random.randrange(1 + (count - 1) // 1024)
                verbatim = [k for k in range(len(segments) + 1) if random.random() < 0.3]
                made = context_rans_stream(symbols, context, segments=segments, verbatim=verbatim, **options)
            assert len(made) > count or decode_stream(CONTEXT_RANS, made, count, 8, 0, context) == symbols
            made = altered(random, made)
            try:
                symbols, raises = decode_stream(CONTEXT_RANS, made, count, 8, 0, context), False
            except FormatError:
                raises = True
            raised += raises
            contexts = {0: (context.kind, int(context.kind == 1))} if context.kind else {}
            data = b"".join(bytes(pair) for pair in zip(symbols, other, strict=True))
            coding = Coding("byte_planes", "raw", 0, contexts)
            assert_agree(Item("s", "int16", (count,), data, codings=[coding]), CONTEXT_RANS, made, raises)
        assert 0 < raised < 40

    @pytest.mark.parametrize("name", ["float16", "int32", "complex64", "complex128"])
    def test_palette(self, name: str) -> None:
        random, width, raised = Random(name), DTYPES_BY_NAME[name].size, 0
        for _ in range(60):
            count, values = (
                random.choice((700, 3000)),
                [random.randbytes(width) for _ in range(random.choice((1, 3, 256)))],
            )
            symbols = [values[index] for index in skewed(random, count, len(values))]
            made = altered(random, palette_stream(symbols, random.choice(("raw", "context_rans"))))
            try:
                data, raises = decode_stream(PALETTE, made, count, 8 * width, 0), False
            except FormatError:
                data, raises = b"".join(symbols), True
            raised += raises
            assert_agree(Item("s", name, (count,), data), PALETTE, made, raises)
        assert 0 < raised < 60
