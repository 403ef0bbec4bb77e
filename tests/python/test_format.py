"""The archive format: the reference decoder and encoder, the native reader and writer, and the fixtures, each against
the others."""

import hashlib
import json
import math
import re
import struct
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from mithril._errors import CorruptError, MithrilError, TruncatedError, UnsupportedError  # noqa: E402
from mithril._native import core  # noqa: E402
from tests.python.archives import assert_holds, assert_same, read_all, read_entry, write  # noqa: E402
from tests.reference.decoder import KINDS, Archive, decode  # noqa: E402
from tests.reference.encoder import (  # noqa: E402
    CODERS,
    DTYPES_BY_NAME,
    TRANSFORMS,
    Coder,
    Coding,
    Item,
    encode,
    fields,
)
from tests.reference.errors import FormatError  # noqa: E402
from tests.reference.example import ARCHIVE as EXAMPLE  # noqa: E402
from tests.reference.example import render  # noqa: E402
from tests.reference.keys import Form  # noqa: E402
from tests.reference.planes import DTYPES, Dtype, has_parameter, may_have_context, plane_bits  # noqa: E402
from tests.reference.samples import KINDS as SAMPLES  # noqa: E402
from tests.reference.samples import sample  # noqa: E402
from tests.reference.values import Tuple, decode_value, read_checkpoint  # noqa: E402

ERRORS = {"truncated": TruncatedError, "unsupported": UnsupportedError, "corrupt": CorruptError}
MALFORMED = ROOT / "fixtures" / "malformed"
GOLDEN = ROOT / "fixtures" / "golden"
VERSIONS = ("v1", "v1.1")
EXPECTED_ERRORS = json.loads((MALFORMED / "expected.json").read_text())
EXPECTED_GOLDEN = {
    f"{version}/{name}": expected
    for version in VERSIONS
    for name, expected in json.loads((GOLDEN / version / "expected.json").read_text()).items()
}


@cache
def combined(dtype: Dtype) -> tuple[list[Item], bytes, Archive]:
    items = combinations(dtype)
    archive = encode(items)
    return items, archive, decode(archive)


SIZES = ((0, 5), (1, 1), (7, 100), (40, 13), (300, 128))


def parameters(transform: str, dtype: Dtype) -> list[int]:
    """Those of a recipe to try: every j, with the least base and the greatest."""
    if not has_parameter(TRANSFORMS[transform]):
        return [0]
    forms = [Form(j, base=base) for j in range(3) for base in (0, (1 << dtype.exponent + j) - 256) if base >= 0]
    return sorted({form.parameter() for form in forms if form.fits(dtype)})


def combinations(dtype: Dtype) -> list[Item]:
    """Every transform and coder the format allows for a dtype, in frames of no, one and several blocks and recipes."""
    items: list[Item] = []

    def add(name: str, numel: int, *codings: Coding, data: bytes = b"", **more: Any) -> None:
        data = data or sample(dtype, numel, "special", numel)
        items.append(Item(f"{name} {len(items)}", dtype.name, (numel,), data, codings=codings, **more))

    allowed = [name for name, number in TRANSFORMS.items() if plane_bits(number, dtype)]
    for transform in allowed:
        for parameter in parameters(transform, dtype):
            planes = len(plane_bits(TRANSFORMS[transform], dtype, parameter) or ())
            rotated = [("raw", "zstd")[k % 2] for k in range(planes)]
            for coders in (*CODERS, "smallest", rotated):
                for numel, block_elements in SIZES[-2:] if parameter else SIZES:
                    if coders != "constant":
                        coding = Coding(transform, coders, parameter)
                        add(transform, numel, coding, block_elements=block_elements)
            for component in (sample(dtype, 1, "random")[: dtype.component], bytes(dtype.component)):
                data = component * (17 * dtype.size // dtype.component)
                add(f"{transform} constant", 17, Coding(transform, "constant", parameter), data=data)
            if dtype.component == dtype.size:
                items += with_contexts(dtype, transform, parameter)
    for form in (Form(j, 1) for j in range(3)):
        for transform in ("float_keys", "nonzero_keys"):
            if dtype.exponent and form.fits(dtype):
                data = b"".join(positive(sample(dtype, 60, "special"), dtype))
                if transform == "nonzero_keys":  # whose mask knows minus zero all the same
                    data = data[: -dtype.component] + (1 << 8 * dtype.component - 1).to_bytes(dtype.component, "little")
                for coders in ("raw", "smallest"):
                    add(f"{transform} unsigned", 60, Coding(transform, coders, form.parameter()), data=data)
    codings = [Coding(transform, coders) for transform in allowed for coders in ("zstd", "raw", "rans", "smallest")]
    add("several recipes", 100, *codings, data=sample(dtype, 100, "trained"), block_elements=11)
    return items


def positive(data: bytes, dtype: Dtype) -> Iterator[bytes]:
    """The components without their signs."""
    width, signless = dtype.component, (1 << dtype.exponent + dtype.mantissa) - 1
    for at in range(0, len(data), width):
        yield (int.from_bytes(data[at : at + width], "little") & signless).to_bytes(width, "little")


def with_contexts(dtype: Dtype, transform: str, parameter: int) -> list[Item]:
    """All planes with a context that may have one: what the lane coded before, or the plane `distance` later."""
    planes = plane_bits(TRANSFORMS[transform], dtype, parameter) or []
    may = [k for k in range(len(planes)) if may_have_context(TRANSFORMS[transform], k)]
    items = []
    for distance in (0, 1, 2):
        contexts = {k: (1, k + distance) if distance else (3, 0) for k in may if k + distance < len(planes)}
        for options in ({"classes": 3}, {"classes": 16, "values": 5, "rare": 2, "second_rare": 2, "lanes": 128}):
            if contexts:
                name = f"{transform} {parameter} in context {distance} {len(items)}"
                data = sample(dtype, 1, "constant") * 500 + sample(dtype, 100, "special")
                coding = Coding(transform, Coder("context_rans", options), parameter, contexts)
                items.append(Item(name, dtype.name, (600,), data, codings=[coding]))
    return items


def mixture() -> list[Item]:
    """A small archive with something of everything, for damage."""
    bfloat16, float64 = DTYPES_BY_NAME["bfloat16"], DTYPES_BY_NAME["float64"]
    fields = [("float_fields", ("zstd", "raw"))]
    several = [("float_fields", "zstd"), ("byte_planes", "raw"), ("identity", "zstd")]
    classes = Coder("context_rans", {"classes": 2, "values": 1})
    keys = Coding("nonzero_keys", ("zstd", "zstd", "constant", classes), Form(1, base=96).parameter(), {3: (3, 0)})
    weights = sample(float64, 20, "trained")
    sparse = (b"\x80\x3f" * 3 + b"\xc0\xbf" + bytes(2) + b"\0\x80") * 100
    return [
        Item("weights", "bfloat16", (6, 10), sample(bfloat16, 60, "trained"), block_elements=32, codings=fields),
        Item("tied", "bfloat16", (6, 10), kind="alias", target=0),
        Item("value", "uint8", (19,), b'{"$tuple":[1,null]}', "value"),
        Item("double", "float64", (5, 4), weights, dim_order=(1, 0), block_elements=8, codings=several),
        Item("constant", "float16", (9,), b"\x01\x3c" * 9, codings=[("float_fields", "constant")]),
        Item("sparse", "bfloat16", (600,), sparse, codings=[keys]),
        Item("palette", "int32", (16,), b"\1\2\3\4\4\3\2\1" * 8, codings=[Coding("identity", "palette")]),
        Item("scalar", "int64", (), b"\x07\0\0\0\0\0\0\0"),
        Item("empty", "float32", (0, 3), b""),
        Item("foreign", "uint8", (4,), b"\x80\x04N.", "foreign"),
    ]


MIXTURE = encode(mixture(), {"note": "ü", "mithril.kind": "test"})


class TestReference:
    @pytest.mark.parametrize("dtype", DTYPES.values(), ids=lambda dtype: dtype.name)
    def test_decodes_what_it_encodes(self, dtype: Dtype) -> None:
        items, _, reference = combined(dtype)
        assert_holds(reference, items)

    def test_mixture(self) -> None:
        reference = decode(MIXTURE)
        assert_holds(reference, mixture())
        assert reference.metadata == {"mithril.kind": "test", "note": "ü"}
        assert {entry.kind for entry in reference.entries} == set(KINDS)

    def test_knows_the_registries_of_the_page(self) -> None:
        page = (ROOT / "docs" / "format.md").read_text()
        rows = re.findall(r"^\| (\d+) \| (\w+) \| (\d+) \| (\d+) \| (?:(\d+) )?\| (?:(\d+) )?\|$", page, re.MULTILINE)
        table = [Dtype(*(int(cell or 0) if cell.isdigit() or not cell else cell for cell in row)) for row in rows]
        assert table == list(DTYPES.values())
        assert core.dtypes() == [(dtype.name, dtype.id, dtype.size) for dtype in table]

    def test_example_of_the_page(self) -> None:
        section = (ROOT / "docs" / "format.md").read_text().split("## 11. The smallest archive\n")[1]
        assert section.strip() == render().strip()

    def test_values(self) -> None:
        text = (
            '{"$dict":[["a",[1,-2.5e-05,true,null,"ü"]],[{"$tuple":[1,2]},{"$set":[1,2]}],[3,{"$frozenset":[]}],'
            '["b",{"$bytes":"AP8="}],["c",{"$complex":[1.0,{"$float":"-inf"}]}],["d",{"$dtype":"bfloat16"}],'
            '["e",{"$size":[2,3]}],["f",{"$device":"cuda:1"}]]}'
        )
        assert decode_value(text.encode()) == {
            "a": [1, -2.5e-05, True, None, "ü"],
            Tuple((1, 2)): {1, 2},
            3: frozenset(),
            "b": b"\0\xff",
            "c": complex(1.0, -math.inf),
            "d": ("dtype", "bfloat16"),
            "e": ("size", (2, 3)),
            "f": ("device", "cuda:1"),
        }
        assert math.isnan(decode_value(b'{"$float":"nan"}'))
        assert decode_value(b"[" * 64 + b"]" * 64)

    @pytest.mark.parametrize("name", EXPECTED_ERRORS)
    def test_rejects(self, name: str) -> None:
        expected, data = EXPECTED_ERRORS[name], (MALFORMED / name).read_bytes()
        with pytest.raises(FormatError) as error:  # noqa: PT012
            archive = decode(data)
            if expected["layer"] == "value":
                decode_value(archive.entries[0].raw)
        assert (error.value.kind, error.value.field) == (expected["kind"], expected["field"])


class TestPackage:
    """The values of the package are those of the page."""

    @pytest.mark.parametrize("name", [name for name in EXPECTED_ERRORS if EXPECTED_ERRORS[name]["layer"] == "value"])
    def test_rejects_values(self, name: str) -> None:
        values = pytest.importorskip("mithril.checkpoint._values", exc_type=ImportError)
        raw = decode((MALFORMED / name).read_bytes()).entries[0].raw
        with pytest.raises(ERRORS[EXPECTED_ERRORS[name]["kind"]]):
            values.decode_value(raw, "v")

    def test_writes_values(self) -> None:
        torch = pytest.importorskip("torch")
        values = pytest.importorskip("mithril.checkpoint._values", exc_type=ImportError)
        plain = {"a": [1, -2.5e-05, True, None, "ü\n"], 3: {frozenset({1, 2}), b"\0\xff"}, "c": complex(1.0, -math.inf)}
        tagged = {"d": torch.bfloat16, "e": torch.Size([2, 3]), "f": torch.device("cuda:1"), "g": (1, ())}
        assert decode_value(values.encode_value(plain | tagged, "v")) == plain | {
            "d": ("dtype", "bfloat16"),
            "e": ("size", (2, 3)),
            "f": ("device", "cuda:1"),
            "g": Tuple((1, Tuple())),
        }

    def test_writes_checkpoint_folders(self, tmp_path: Path) -> None:
        torch = pytest.importorskip("torch")
        checkpoint = pytest.importorskip("mithril.checkpoint", exc_type=ImportError)
        weight, steps = torch.arange(12.0).reshape(4, 3), torch.arange(5)
        state = {"model": {"weight": torch.nn.Parameter(weight), "steps": steps}, "lr": [0.1, (1, 2)], "kind": "ü"}
        writer = checkpoint.MithrilStorageWriter(str(tmp_path))
        torch.distributed.checkpoint.save(state, storage_writer=writer, no_dist=True)

        folder = read_checkpoint(tmp_path)
        archives = [decode((tmp_path / file[0]).read_bytes()) for file in folder["files"]]
        for (name, size, content_id, _), archive in zip(folder["files"], archives, strict=True):
            assert re.fullmatch(r"data-00000-[0-9a-f]{16}\.mcp", name)
            assert (size, content_id) == ((tmp_path / name).stat().st_size, archive.content_id.hex())
        assert set(folder["tensors"]) == {"model.weight", "model.steps"}
        for fqn, dtype, tensor in (("model.weight", "float32", weight), ("model.steps", "int64", steps)):
            row = folder["tensors"][fqn]
            assert (row["dtype"], row["shape"]) == (dtype, tuple(tensor.shape))
            assert row["requires_grad"] == (fqn == "model.weight")
            ((offset, chunk, file, number),) = row["chunks"]
            entry = archives[file].entries[number]
            assert (offset, chunk, entry.name) == ((0,) * tensor.ndim, entry.shape, fqn)
            assert entry.raw == tensor.numpy().tobytes()
        values = {fqn: archives[file].entries[number] for fqn, (file, number) in folder["values"].items()}
        assert {fqn: decode_value(entry.raw) for fqn, entry in values.items()} == {
            "kind": "ü",
            "lr": [0.1, Tuple((1, 2))],
        }


class TestNativeReader:
    @pytest.mark.parametrize("dtype", DTYPES.values(), ids=lambda dtype: dtype.name)
    def test_decodes_any_transform_and_coder(self, dtype: Dtype) -> None:
        _, archive, reference = combined(dtype)
        assert_same(reference, archive)

    @pytest.mark.parametrize("distance", [1, 2])
    def test_context_of_a_constant_plane(self, distance: int) -> None:
        """key_high is nearly always constant, which a decoder may know without decoding it."""
        data = b"".join(struct.pack("<H", 0x3F80 + x) for x in (0, 1, 0, 2, 0, 0, 0x40, 0x41) * 700)
        coders = [Coder("context_rans", {"classes": 2, "values": 3}), "constant", "smallest"]
        coding = Coding("float_keys", coders, Form(1, base=200).parameter(), {0: (1, distance)})
        archive = encode([Item("w", "bfloat16", (5600,), data, codings=[coding])])
        assert [coder for coder, _ in decode(archive).entries[0].blocks[0].streams][:2] == [4, 1]
        assert_same(decode(archive), archive)

    def test_example_of_the_page(self) -> None:
        assert_same(decode(EXAMPLE), EXAMPLE)

    def test_mixture(self, tmp_path: Path) -> None:
        assert_same(decode(MIXTURE), MIXTURE)
        path = tmp_path / "mixture.mcp"
        path.write_bytes(MIXTURE)
        reader = core.ArchiveReader.open(str(path))
        items = mixture()
        raw = [items[item.target].data if item.kind == "alias" else item.data for item in items]
        assert [read_entry(reader, number) for number in range(len(reader))] == raw

    def test_reads_ranges_of_elements(self) -> None:
        items = mixture()
        reader = core.ArchiveReader.from_buffer(MIXTURE)
        for number, size in ((0, 2), (1, 2), (3, 8)):
            source = items[items[number].target] if items[number].kind == "alias" else items[number]
            numel = len(source.data) // size
            for begin in range(0, numel + 1, 3):
                for end in (begin, begin + 1, numel):
                    if end <= numel:
                        output = bytearray((end - begin) * size)
                        reader.read([(number, output, begin, end)])
                        assert output == source.data[begin * size : end * size]

    def test_accepts_what_a_later_minor_version_may_write(self) -> None:
        ends = ("header", "footer")
        changes = {f"{end}.{field}": value for end in ends for field, value in (("minor", 7), ("may_ignore", 1 << 63))}
        archive = encode(mixture(), changes=changes, zstd=99999)
        assert_same(decode(archive), archive)

    @pytest.mark.parametrize("name", [name for name in EXPECTED_ERRORS if EXPECTED_ERRORS[name]["layer"] == "archive"])
    def test_rejects(self, name: str, tmp_path: Path) -> None:
        data = (MALFORMED / name).read_bytes()
        error = ERRORS[EXPECTED_ERRORS[name]["kind"]]
        with pytest.raises(error):
            read_all(data)
        with pytest.raises(error):
            core.ArchiveReader.from_buffer(data).verify(decode=True)
        with pytest.raises(error):
            core.ArchiveReader.open(str(MALFORMED / name)).verify(decode=True)

    def test_forms_of_zstd_frames(self) -> None:
        """Frames that other encoders write: windows, sizes of any width, a checksum, a dictionary id of 0."""
        block = struct.pack("<I", 3 | 300 << 3)[:3] + b"\5"  # 300 bytes of 5, the last block
        descriptors = {
            0x60: struct.pack("<H", 300 - 256),
            0xA0: struct.pack("<I", 300),
            0xE0: struct.pack("<Q", 300),
            0xB0: struct.pack("<I", 300),  # the unused bit
            0xA1: struct.pack("<BI", 0, 300),
            0xA3: struct.pack("<II", 0, 300),
            0x80: struct.pack("<BI", 10 << 3, 300),
        }
        forms = [struct.pack("<IB", 0xFD2FB528, byte) + rest + block for byte, rest in descriptors.items()]
        forms.append(zstandard.ZstdCompressor(write_checksum=True).compress(b"\5" * 300))
        item = Item("b", "uint8", (300,), b"\5" * 300, codings=[("identity", "zstd")])
        for form in forms:
            archive = encode([item], changes={"frame0.block0.plane0.stream": form})
            assert_same(decode(archive), archive)

    def test_limits_are_reached(self) -> None:
        recipe = struct.pack("<4H", 0, 0, 1, 0) + struct.pack("<2BH", 8, 0, 0)
        many = {"frame2.table.recipe_count": 256, "frame2.table.models": recipe * 255}
        items = [
            Item("n" * 4096, "uint8", (1,) * 64, b"x"),
            Item("whole block", "uint8", (1 << 20,), b"y" * (1 << 20), codings=[("identity", "zstd")]),
            Item("recipes", "uint8", (2,), b"ab", block_elements=1),
        ]
        archive = encode(items, {"k" * 4096: "v"}, changes=many)
        assert_same(decode(archive), archive)
        for shape in ((0, 1 << 61), (1 << 61, 0), (0, 0, 1 << 61)):
            archive = encode([Item("of none", "bfloat16", shape)])
            assert_same(decode(archive), archive)
        too_many = {"frame2.table.recipe_count": 257, "frame2.table.models": recipe * 256}
        assert_rejected(encode(items, changes=too_many), "table.recipe_count")

    def test_limit_of_a_metadata_value(self) -> None:
        limit = 64 << 20
        archive = encode([], [(b"k", b"v" * limit)])
        assert core.ArchiveReader.from_buffer(archive).metadata() == {"k": "v" * limit}
        assert_rejected(encode([], [(b"k", b"v" * (limit + 1))]), "metadata.value_size")


def assert_rejected(archive: bytes, field: str) -> None:
    with pytest.raises(FormatError, match=field):
        decode(archive)
    with pytest.raises(CorruptError):
        read_all(archive)


class TestDamage:
    """What is cut or flipped is never accepted, and never gives other data."""

    def test_size(self) -> None:
        assert 2048 <= len(MIXTURE) <= 4096

    def test_truncated_anywhere(self) -> None:
        for size in range(len(MIXTURE)):
            with pytest.raises(FormatError) as error:
                decode(MIXTURE[:size])
            assert error.value.kind == "truncated"
            with pytest.raises(TruncatedError):
                core.ArchiveReader.from_buffer(MIXTURE[:size])

    def test_truncated_files(self, tmp_path: Path) -> None:
        path = tmp_path / "cut.mcp"
        for size in (*range(0, 200, 9), *range(200, len(MIXTURE), 97)):
            path.write_bytes(MIXTURE[:size])
            with pytest.raises(TruncatedError):
                core.ArchiveReader.open(str(path))

    def test_one_flipped_bit_in_any_byte(self) -> None:
        raw = read_all(MIXTURE)
        for position in range(len(MIXTURE)):
            damaged = bytearray(MIXTURE)
            damaged[position] ^= 1 << (position * 5 + position // 8) % 8
            with pytest.raises(FormatError) as error:
                decode(bytes(damaged))
            assert error.value.kind == "corrupt", position
            with pytest.raises(CorruptError):
                assert_never_wrong(damaged, raw)
            with pytest.raises(CorruptError):
                core.ArchiveReader.from_buffer(damaged).verify()

    def test_zeroed_and_swapped_regions(self) -> None:
        raw = read_all(MIXTURE)
        for position in range(0, len(MIXTURE) - 64, 64):
            line, following = MIXTURE[position : position + 64], MIXTURE[position + 64 : position + 128]
            for replacement in (bytes(64) + following, following + line):
                damaged = MIXTURE[:position] + replacement + MIXTURE[position + len(replacement) :]
                if damaged != MIXTURE:
                    with pytest.raises(FormatError):
                        decode(damaged)
                    with pytest.raises(MithrilError):
                        assert_never_wrong(damaged, raw)

    def test_one_wrong_field(self) -> None:
        """Any field set to another value, with right checksums: the two readers accept the same archives and data."""
        metadata = {"a": "1", "mithril.kind": "x"}
        for path, value in fields(mixture(), metadata).items():
            if isinstance(value, int):
                others = {
                    0,
                    1,
                    2,
                    3,
                    value + 1,
                    value - 1,
                    value * 2,
                    value + 64,
                    value - 64,
                    255,
                    65535,
                    1 << 61,
                    1 << 63,
                }
                for other in others - {value}:
                    assert_agree(mixture(), metadata, path, other)
            elif isinstance(value, bytes):
                for other in (value + b"\1", value + bytes(64), value[:-1], bytes([*value[:-1], 129])):
                    assert_agree(mixture(), metadata, path, other)

    @settings(max_examples=300, deadline=None)
    @given(st.binary(max_size=600))
    def test_random_bytes(self, data: bytes) -> None:
        with pytest.raises((CorruptError, TruncatedError)):
            core.ArchiveReader.from_buffer(data)


def assert_agree(items: list[Item], metadata: dict[str, str], path: str, value: Any) -> None:
    try:
        archive = encode(items, metadata, changes={path: value})
    except OverflowError:  # the value does not fit the field
        return
    try:
        expected = [entry.raw for entry in decode(archive).entries]
    except FormatError:
        with pytest.raises((CorruptError, TruncatedError, UnsupportedError)):
            read_all(archive)
    else:
        assert read_all(archive) == expected, (path, value)


def assert_never_wrong(damaged: bytes | bytearray, raw: list[bytes]) -> None:
    """Reads what can be read, and verifies. Each entry comes right or with an error."""
    reader = core.ArchiveReader.from_buffer(damaged)
    errors = []
    for number, data in enumerate(raw):
        try:
            assert read_entry(reader, number) == data
        except MithrilError as error:
            errors.append(error)
    reader.verify(decode=True)
    assert not errors, "verify accepts what cannot be read"


class TestNativeWriter:
    @pytest.mark.parametrize("split", [True, False])
    @pytest.mark.parametrize("dtype", DTYPES.values(), ids=lambda dtype: dtype.name)
    def test_is_understood(self, dtype: Dtype, split: bool) -> None:
        items = [
            Item(f"{kind} {numel}", dtype.name, (numel,), sample(dtype, numel, kind, numel + 1))
            for kind in SAMPLES
            for numel in (0, 1, 2, 3, 65, 1000, 3001)
        ]
        archive = write(items, split=split, block_bytes=4096)
        reference = decode(archive)
        assert_holds(reference, items)
        assert_same(reference, archive)

    def test_blocks_of_the_default_size(self) -> None:
        items = [
            Item(name, name, (numel,), sample(DTYPES_BY_NAME[name], 1000, "trained") * (numel // 1000))
            for name, numel in (("bfloat16", 300000), ("float32", 100000), ("int64", 100000))
        ]
        archive = write(items, threads=2)
        assert_holds(decode(archive), items)
        assert archive == write(items, threads=1, part=1000)

    def test_mixture(self) -> None:
        metadata = {"b": "2", "a": "ü", "": "empty key"}
        archive = write(mixture(), metadata)
        reference = decode(archive)
        assert_holds(reference, mixture())
        assert reference.metadata == metadata
        assert reference.zstd_version == core.zstd_version
        assert_same(reference, archive)

    def test_nothing(self) -> None:
        archive = write([])
        assert len(archive) == 256
        assert archive == encode([], zstd=core.zstd_version)

    def test_compress(self) -> None:
        data = sample(DTYPES_BY_NAME["float32"], 500, "trained")
        reference = decode(core.compress(data, "float32", (5, 100)))
        assert_holds(reference, [Item("", "float32", (5, 100), data)])


names = st.text(max_size=20).filter(lambda name: name.encode("utf-8", "ignore").decode() == name)


@st.composite
def items_of_any_kind(draw: st.DrawFn) -> list[Item]:
    items: list[Item] = []
    for name in draw(st.lists(names, unique=True, max_size=6)):
        tensors = [k for k, item in enumerate(items) if item.kind == "tensor"]
        kind = draw(st.sampled_from(KINDS if tensors else ("tensor", "value", "foreign")))
        if kind == "alias":
            target = draw(st.sampled_from(tensors))
            source = items[target]
            items.append(Item(name, source.dtype, source.shape, b"", kind, source.dim_order, target=target))
        elif kind == "tensor":
            dtype = draw(st.sampled_from(list(DTYPES.values())))
            shape = draw(st.lists(st.integers(0, 5), max_size=4))
            data = sample(dtype, math.prod(shape), draw(st.sampled_from(SAMPLES)), draw(st.integers(0, 99)))
            allowed = [transform for transform, number in TRANSFORMS.items() if plane_bits(number, dtype)]
            coders = st.sampled_from(sorted({*CODERS, "smallest"} - {"constant"}))
            pairs = draw(st.lists(st.tuples(st.sampled_from(allowed), coders), min_size=1, max_size=3))
            codings = [Coding(name, coder, draw(st.sampled_from(parameters(name, dtype)))) for name, coder in pairs]
            order = draw(st.permutations(range(len(shape))))
            blocks = draw(st.integers(1, 60))
            items.append(Item(name, dtype.name, shape, data, "tensor", order, blocks, codings))
        else:
            data = draw(st.binary(max_size=50))
            items.append(Item(name, "uint8", (len(data),), data, kind))
    return items


@settings(max_examples=100, deadline=None)
@given(items_of_any_kind(), st.dictionaries(names, names, max_size=3))
def test_all_four_agree(items: list[Item], metadata: dict[str, str]) -> None:
    for archive in (encode(items, metadata), write(items, metadata)):
        reference = decode(archive)
        assert_holds(reference, items)
        assert reference.metadata == metadata
        assert_same(reference, archive)


class TestGolden:
    """Archives of earlier versions decode for ever."""

    def test_all_are_expected(self) -> None:
        assert {f"{path.parent.name}/{path.name}" for path in GOLDEN.glob("*/*.mcp")} == set(EXPECTED_GOLDEN)

    @pytest.mark.parametrize("version", VERSIONS)
    def test_headers_say_the_version(self, version: str) -> None:
        minor = int(version[3:] or 0)
        assert {path.read_bytes()[10] for path in (GOLDEN / version).glob("*.mcp")} == {minor}

    @pytest.mark.parametrize("name", EXPECTED_GOLDEN)
    def test_decodes(self, name: str) -> None:
        data, expected = (GOLDEN / name).read_bytes(), EXPECTED_GOLDEN[name]
        reference = decode(data)
        assert reference.metadata == expected["metadata"]
        entries = [
            {
                "name": entry.name,
                "kind": entry.kind,
                "dtype": entry.dtype.name,
                "shape": list(entry.shape),
                "dim_order": list(entry.dim_order),
                "target": entry.target,
                "size": len(entry.raw),
                "sha256": hashlib.sha256(entry.raw).hexdigest(),
            }
            for entry in reference.entries
        ]
        assert entries == expected["entries"]
        assert_same(reference, data)
