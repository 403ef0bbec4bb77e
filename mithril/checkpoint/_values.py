"""Plain Python values as JSON bytes, and back: section 7 of docs/format.md. Nothing is ever unpickled.

Types are compared exactly: a subclass (OrderedDict, an enum, a NumPy scalar) is refused, not saved as what it is not.
"""

import base64
import io
import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from json.encoder import encode_basestring
from typing import Any

import torch

from mithril._errors import CorruptError, MithrilError, UnsupportedError
from mithril.checkpoint._tensors import dtype_name, torch_dtype

_MAX_DEPTH = 64  # containers in containers
_MAX_DIGITS = 4300  # of an integer: what Python itself converts unless told otherwise
_SURROGATE_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


def encode_value(obj: object, name: str) -> bytes:
    """The JSON of a plain value; `name` is its place, for messages.

    Raises UnsupportedError, naming place and type, for anything that is not a plain value.
    """
    try:
        container = _CONTAINERS.get(type(obj))
        return _utf8(_text(obj, 0)) if container is None else join_texts(*container(obj, 1))
    except _RefusedError as refusal:
        raise UnsupportedError(f"{name}{''.join(reversed(refusal.place))}: {refusal.reason}") from None


def join_texts(opening: str, items: Iterator[str], closing: str) -> bytes:
    """The JSON of a container of many encoded items, without a second copy of it in memory on the way."""
    out = io.BytesIO()
    out.write(opening.encode())
    separator = ""
    while batch := ",".join(itertools.islice(items, 4096)):
        out.write(_utf8(separator + batch))
        separator = ","
    out.write(closing.encode())
    return out.getvalue()


def decode_value(data: bytes | bytearray | memoryview, name: str) -> Any:
    """The value of its JSON; `name` is for messages. Raises CorruptError where the bytes are no encoding of a value."""
    try:
        return _decode(_JSON.decode(str(data, "utf-8")), 0)
    except (MithrilError, ValueError, RecursionError, TypeError) as error:
        kind = UnsupportedError if isinstance(error, UnsupportedError) else CorruptError
        raise kind(f"value {name!r}: {error}") from None


def _utf8(text: str) -> bytes:
    return text.encode("utf-8", "backslashreplace")  # for lone surrogates this is the escape of JSON


# Encoding. A container is its opening, the texts of its items, and its closing.


class _RefusedError(Exception):
    """What cannot be encoded, and where: the keys from the innermost to the outermost."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.place: list[str] = []


_Pieces = tuple[str, Iterator[str], str]


def _text(obj: object, depth: int) -> str:
    kind = type(obj)
    scalar = _SCALARS.get(kind)
    if scalar is not None:
        return scalar(obj)
    container = _CONTAINERS.get(kind)
    if container is None:
        raise _RefusedError(f"{kind.__module__}.{kind.__qualname__} is not a plain value")
    if depth == _MAX_DEPTH:
        raise _RefusedError(f"containers are nested more than {_MAX_DEPTH} deep")
    opening, items, closing = container(obj, depth + 1)
    return opening + ",".join(items) + closing


def _items(obj: Iterable[object], depth: int) -> Iterator[str]:
    for number, item in enumerate(obj):
        try:
            yield _text(item, depth)
        except _RefusedError as refusal:
            refusal.place.append(f"[{number}]")
            raise


def _sequence(opening: str, closing: str) -> Callable[[Any, int], _Pieces]:
    def pieces(obj: Any, depth: int) -> _Pieces:
        strings = len(obj) < 16 and set(map(type, obj)) == {str}  # a path of names: there may be a million
        return opening, map(_str, obj) if strings else _items(obj, depth), closing

    return pieces


def _set(opening: str) -> Callable[[Any, int], _Pieces]:
    def pieces(obj: Any, depth: int) -> _Pieces:
        return opening, iter(sorted(_items(obj, depth), key=_utf8)), "]}"

    return pieces


def _pairs(obj: dict[object, object], depth: int) -> Iterator[str]:
    for key, value in obj.items():
        try:
            yield f"[{_text(key, depth)},{_text(value, depth)}]"
        except _RefusedError as refusal:
            refusal.place.append(f"[{key!r}]" if isinstance(key, str | int | float) else f"[{type(key).__name__}]")
            raise


def _float(obj: float) -> str:
    return repr(obj) if math.isfinite(obj) else f'{{"$float":"{obj}"}}'


def _int(obj: int) -> str:
    try:
        text = str(obj)
    except ValueError:
        text = None
    if text is None or len(text.lstrip("-")) > _MAX_DIGITS:
        raise _RefusedError(f"an integer of more than {_MAX_DIGITS} digits")
    return text


def _str(obj: str) -> str:
    if not obj.isascii() and _SURROGATE_PAIR.search(obj):
        raise _RefusedError("a string in which two surrogates stand for one character")
    return encode_basestring(obj)


def _dtype(obj: torch.dtype) -> str:
    try:
        return f'{{"$dtype":"{dtype_name(obj)}"}}'
    except UnsupportedError as error:
        raise _RefusedError(str(error)) from None


_SCALARS: dict[type, Callable[[Any], str]] = {
    type(None): lambda _: "null",
    bool: lambda obj: "true" if obj else "false",
    int: _int,
    float: _float,
    str: _str,
    bytes: lambda obj: f'{{"$bytes":"{base64.b64encode(obj).decode()}"}}',
    complex: lambda obj: f'{{"$complex":[{_float(obj.real)},{_float(obj.imag)}]}}',
    torch.dtype: _dtype,
    torch.device: lambda obj: f'{{"$device":"{obj}"}}',
    torch.Size: lambda obj: f'{{"$size":[{",".join(map(_int, obj))}]}}',
}
_CONTAINERS: dict[type, Callable[[Any, int], _Pieces]] = {
    list: _sequence("[", "]"),
    tuple: _sequence('{"$tuple":[', "]}"),
    set: _set('{"$set":['),
    frozenset: _set('{"$frozenset":['),
    dict: lambda obj, depth: ('{"$dict":[', _pairs(obj, depth), "]}"),
}


# Decoding. JSON has no tuples: while parsing, the tuple ("$name", content) stands for an object.


def _tagged(pairs: list[tuple[str, Any]]) -> tuple[str, Any]:
    if len(pairs) != 1:
        raise CorruptError(f"an object with {len(pairs)} keys")
    return pairs[0]


def _parse_float(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise CorruptError(f"{text[:40]} is out of the range of a float")
    return number


def _refuse_constant(text: str) -> float:
    raise CorruptError(f"{text} is not JSON")


_JSON = json.JSONDecoder(object_pairs_hook=_tagged, parse_float=_parse_float, parse_constant=_refuse_constant)


def _decode(node: Any, depth: int) -> Any:
    kind = type(node)
    if kind is not list and kind is not tuple:
        return node
    if kind is tuple and node[0] in _ATOMS:
        return _ATOMS[node[0]](node[1])
    if depth == _MAX_DEPTH:
        raise CorruptError(f"containers are nested more than {_MAX_DEPTH} deep")
    if kind is list:
        return [_decode(item, depth + 1) for item in node]
    tag, content = node
    if tag == "$dict":
        return _decode_dict(content, depth + 1)
    if tag not in _BUILDERS:
        kind_of_error = UnsupportedError if tag.startswith("$") else CorruptError
        raise kind_of_error(f"an object with the unknown key {tag[:40]!r}")
    items = [_decode(item, depth + 1) for item in _require(content, list)]
    built = _BUILDERS[tag](items)
    if len(built) != len(items):
        raise CorruptError(f"{tag} holds an item twice")
    return built


def _decode_dict(pairs: Any, depth: int) -> dict[Any, Any]:
    built = {}
    for pair in _require(pairs, list):
        if len(_require(pair, list)) != 2:
            raise CorruptError("an item of $dict is no pair")
        built[_decode(pair[0], depth)] = _decode(pair[1], depth)
    if len(built) != len(pairs):
        raise CorruptError("$dict holds a key twice")
    return built


def _require(node: Any, kind: type) -> Any:
    if type(node) is not kind:
        raise CorruptError(f"{kind.__name__} expected, found {type(node).__name__}")
    return node


def _decode_float(node: Any) -> float:
    """A finite float as JSON has it, or the content of `$float`."""
    if type(node) is tuple and node[0] == "$float":
        node = node[1]
        if node not in ("nan", "inf", "-inf"):
            raise CorruptError(f"$float is {node!r}"[:80])
        return float(node)
    return float(_require(node, float))


def _decode_complex(node: Any) -> complex:
    if len(_require(node, list)) != 2:
        raise CorruptError("$complex holds no pair")
    return complex(_decode_float(node[0]), _decode_float(node[1]))


def _decode_device(node: Any) -> torch.device:
    try:
        return torch.device(_require(node, str))
    except RuntimeError as error:
        raise CorruptError(f"$device is {node[:40]!r}") from error


def _decode_size(node: Any) -> torch.Size:
    if not all(0 <= _require(dim, int) < 1 << 63 for dim in _require(node, list)):
        raise CorruptError("a number in $size is out of range")
    return torch.Size(node)


_ATOMS: dict[str, Callable[[Any], object]] = {
    "$float": lambda node: _decode_float(("$float", node)),
    "$bytes": lambda node: base64.b64decode(_require(node, str), validate=True),
    "$complex": _decode_complex,
    "$dtype": lambda node: torch_dtype(_require(node, str)),
    "$device": _decode_device,
    "$size": _decode_size,
}
_BUILDERS: dict[str, Callable[[list[Any]], Any]] = {
    "$tuple": tuple,
    "$set": set,
    "$frozenset": frozenset,
}
