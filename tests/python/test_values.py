"""Plain values: every value of section 7 comes back as it was, and nothing else goes in or comes out."""

import collections
import enum
import math
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from mithril import CorruptError, UnsupportedError
from mithril.checkpoint._values import decode_value, encode_value
from tests.reference.values import Tuple
from tests.reference.values import decode_value as reference_decode

ENCODINGS = [
    (None, b"null"),
    (True, b"true"),
    (0, b"0"),
    (-(2**70), b"-1180591620717411303424"),
    (1.0, b"1.0"),
    (-0.0, b"-0.0"),
    (1e300, b"1e+300"),
    (5e-324, b"5e-324"),
    (math.inf, b'{"$float":"inf"}'),
    (-math.inf, b'{"$float":"-inf"}'),
    ('é"\\\n\x00\x7f😀', '"é\\"\\\\\\n\\u0000\x7f😀"'.encode()),
    ("\udc80a", b'"\\udc80a"'),
    ([1, [2.5, "x"], []], b'[1,[2.5,"x"],[]]'),
    ((), b'{"$tuple":[]}'),
    (("a", "b"), b'{"$tuple":["a","b"]}'),
    ({3, 20, 1}, b'{"$set":[1,20,3]}'),
    (frozenset({"b", "a"}), b'{"$frozenset":["a","b"]}'),
    ({"b": 1, "a": (2,), 7: None}, b'{"$dict":[["b",1],["a",{"$tuple":[2]}],[7,null]]}'),
    ({(1, 2): {}}, b'{"$dict":[[{"$tuple":[1,2]},{"$dict":[]}]]}'),
    (b"\x00\xff\x10", b'{"$bytes":"AP8Q"}'),
    (complex(-0.0, math.inf), b'{"$complex":[-0.0,{"$float":"inf"}]}'),
    (torch.bfloat16, b'{"$dtype":"bfloat16"}'),
    (torch.Size([2, 0, 3]), b'{"$size":[2,0,3]}'),
    (torch.device("cuda", 1), b'{"$device":"cuda:1"}'),
    ({"$dict": 1}, b'{"$dict":[["$dict",1]]}'),
]


@pytest.mark.parametrize(("value", "encoded"), ENCODINGS, ids=[encoded.decode()[:40] for _, encoded in ENCODINGS])
def test_encodings(value: object, encoded: bytes) -> None:
    assert encode_value(value, "v") == encoded
    decoded = decode_value(encoded, "v")
    assert type(decoded) is type(value)
    assert repr(decoded) == repr(value) if not isinstance(value, set | frozenset) else decoded == value


def test_nan() -> None:
    assert encode_value(math.nan, "v") == b'{"$float":"nan"}'
    assert math.isnan(decode_value(b'{"$float":"nan"}', "v"))


def plain(value: Any) -> Any:
    """As the reference decoder says it."""
    if isinstance(value, tuple):
        return Tuple(map(plain, value))
    if isinstance(value, list):
        return list(map(plain, value))
    if isinstance(value, dict):
        return {plain(key): plain(each) for key, each in value.items()}
    return value


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.complex_numbers(allow_nan=False)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers() | st.tuples(st.text(), st.integers()), inner)
        | st.sets(st.text())
        | st.frozensets(st.integers())
    ),
)


@settings(max_examples=300, deadline=None)
@given(VALUES)
def test_round_trip(value: Any) -> None:
    encoded = encode_value(value, "v")
    decoded = decode_value(encoded, "v")
    assert repr(plain(decoded)) == repr(plain(value)) or decoded == value  # sets have no order
    assert encode_value(decoded, "v") == encoded
    assert reference_decode(encoded) == plain(value)


def test_long_containers_are_written_in_pieces() -> None:
    value = {f"layer.{i}": (i, str(i)) for i in range(20_000)}
    assert decode_value(encode_value(value, "v"), "v") == value
    assert decode_value(encode_value(list(range(9000)), "v"), "v") == list(range(9000))


def test_digits() -> None:
    for value in (10**4300 - 1, -(10**4300) + 1):
        assert decode_value(encode_value(value, "v"), "v") == value
    with pytest.raises(UnsupportedError, match="v: an integer of more than 4300 digits"):
        encode_value(10**4300, "v")
    with pytest.raises(CorruptError, match="'v'"):
        decode_value(b"1" * 4301, "v")


def nested(depth: int) -> list[Any]:
    return [] if depth == 1 else [nested(depth - 1)]


def test_depth() -> None:
    assert decode_value(encode_value(nested(64), "v"), "v") == nested(64)
    with pytest.raises(UnsupportedError, match="nested more than 64 deep"):
        encode_value(nested(65), "v")
    with pytest.raises(CorruptError, match="nested more than 64 deep"):
        decode_value(b"[" * 65 + b"]" * 65, "v")
    with pytest.raises(CorruptError):
        decode_value(b"[" * 200_000, "v")
    dicts: object = torch.Size([1])
    for _ in range(64):
        dicts = {"k": dicts}
    assert decode_value(encode_value(dicts, "v"), "v") == dicts  # pairs and sizes are no level
    cycle: list[Any] = []
    cycle.append(cycle)
    with pytest.raises(UnsupportedError, match="nested more than 64 deep"):
        encode_value(cycle, "v")


class Color(enum.IntEnum):
    RED = 1


class Text(str):
    pass


REFUSED = [
    (object(), "builtins.object"),
    (collections.OrderedDict(a=1), "collections.OrderedDict"),
    (Color.RED, "Color"),
    (Text("x"), "Text"),
    (np.float64(1.0), "numpy.float64"),
    (np.int64(1), "numpy.int64"),
    (np.zeros(2), "numpy.ndarray"),
    (torch.zeros(2), "torch.Tensor"),
    (bytearray(b"x"), "builtins.bytearray"),
    (torch.qint8, "qint8"),
    (len, "builtin_function_or_method"),
    ("\ud83d\ude00", "two surrogates"),
]


@pytest.mark.parametrize(("value", "named"), REFUSED, ids=lambda each: type(each).__name__)
def test_refused(value: object, named: str) -> None:
    with pytest.raises(UnsupportedError, match=named):
        encode_value(value, "v")
    with pytest.raises(UnsupportedError, match=named) as refusal:
        encode_value({"groups": [1, {"lr": (0.5, value)}]}, "optimizer")
    assert str(refusal.value).startswith("optimizer['groups'][1]['lr'][1]: ")


CORRUPT = [
    b"",
    b"nul",
    b"\xff",
    b"\xef\xbb\xbf1",
    b"1 2",
    b"[1,]",
    b"NaN",
    b"Infinity",
    b"-Infinity",
    b"1e999",
    b"01",
    b'"\x01"',
    b"{}",
    b'{"a":1}',
    b'{"$tuple":[],"$list":[]}',
    b'{"$tuple":[],"$tuple":[]}',
    b'{"$tuple":1}',
    b'{"$tuple":{"$tuple":[]}}',
    b'{"$set":[1,1]}',
    b'{"$set":[[1]]}',
    b'{"$dict":[1]}',
    b'{"$dict":[[1]]}',
    b'{"$dict":[[1,2,3]]}',
    b'{"$dict":[[1,2],[1,3]]}',
    b'{"$dict":[[[],1]]}',
    b'{"$float":"1.0"}',
    b'{"$float":1.0}',
    b'{"$bytes":"A"}',
    b'{"$bytes":"AP-_"}',
    b'{"$bytes":[65]}',
    b'{"$complex":[1.0]}',
    b'{"$complex":[1,2]}',
    b'{"$complex":["a",1.0]}',
    b'{"$size":[-1]}',
    b'{"$size":[true]}',
    b'{"$size":[9223372036854775808]}',
    b'{"$dtype":1}',
    b'{"$device":"nowhere"}',
    b'{"$device":7}',
]


@pytest.mark.parametrize("data", CORRUPT)
def test_corrupt(data: bytes) -> None:
    with pytest.raises(CorruptError, match="value 'step'"):
        decode_value(data, "step")


@pytest.mark.parametrize("data", [b'{"$new":1}', b'{"$dtype":"float1"}'])
def test_unknown_to_this_version(data: bytes) -> None:
    with pytest.raises(UnsupportedError, match="value 'step'"):
        decode_value(data, "step")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60) | st.text(alphabet='{}[]",:$0123456789.e-tuplesdic', max_size=60).map(str.encode))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    try:
        value = decode_value(data, "v")
    except (CorruptError, UnsupportedError):
        return
    encode_value(value, "v")
