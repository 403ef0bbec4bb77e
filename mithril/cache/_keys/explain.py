"""Why one graph's artifact does not serve another: the factors in which two keys differ, in words."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mithril.cache._keys.graph_key import GraphKey

_WHAT = {
    "versions": "the version of {}",
    "modes": "torch's mode {}",
    "options": "the option {}",
    "calling": "how the {} are packed",
    "dimensions": "the range of the symbolic size {}",
}
_FIELDS = {
    "type": "the kind of input {}",
    "layout": "the layout in memory of input {}",
    "value": "the value of input {}",
    "requires_grad": "whether input {} requires a gradient",
}
_NONE = "nothing"


@dataclass(frozen=True)
class Difference:
    """One factor in which two keys differ."""

    factor: str
    """Its path: "versions.torch", "inputs[0].dtype", "graph[3]"."""
    a: str
    b: str
    meaning: str
    """A sentence without a full stop."""


def explain_miss(a: GraphKey, b: GraphKey) -> list[Difference]:
    """The factors in which two keys differ; none for equal keys. Of the graphs only the first line that differs."""
    return [
        *_device(a.factors["device"], b.factors["device"]),
        *_tables(a, b),
        *_inputs(a.factors["inputs"], b.factors["inputs"]),
        *_graph(a.factors["graph"], b.factors["graph"]),
    ]


def _difference(factor: str, what: str, a: object, b: object) -> Difference:
    return Difference(factor, str(a), str(b), f"{what}: {a} in the one, {b} in the other")


def _device(a: str, b: str) -> Iterator[Difference]:
    if a == b:
        return
    if a.split(" ")[:2] == b.split(" ")[:2]:
        words_a, words_b = set(a.split(" ")), set(b.split(" "))
        a, b = (" ".join(sorted(words)) or _NONE for words in (words_a - words_b, words_b - words_a))
        yield _difference("device", "features that only one of the processors has", a, b)
    else:
        yield _difference("device", "the kind of device", a, b)


def _tables(a: GraphKey, b: GraphKey) -> Iterator[Difference]:
    for factor, what in _WHAT.items():
        left, right = a.factors[factor], b.factors[factor]
        for name in sorted({*left, *right}):
            if left.get(name) != right.get(name):
                values = left.get(name, _NONE), right.get(name, _NONE)
                yield _difference(f"{factor}.{name}", what.format(name), *values)


def _inputs(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> Iterator[Difference]:
    if len(a) != len(b):
        yield _difference("inputs", "the number of inputs", len(a), len(b))
        return
    for number, (left, right) in enumerate(zip(a, b, strict=True)):
        names = sorted({*left, *right}) if left["type"] == right["type"] else ["type"]
        for name in names:
            if left.get(name) != right.get(name):
                what = _FIELDS.get(name, f"the {name} of input {{}}").format(number)
                yield _difference(
                    f"inputs[{number}].{name}", what, *(_shown(x.get(name, _NONE)) for x in (left, right))
                )


def _shown(field: object) -> str:
    return f"[{', '.join(map(str, field))}]" if isinstance(field, list) else str(field)


def _graph(a: list[str], b: list[str]) -> Iterator[Difference]:
    if a == b:
        return
    shared = zip(a, b, strict=False)
    line = next((n for n, (left, right) in enumerate(shared) if left != right), min(len(a), len(b)))
    left, right = (lines[line] if line < len(lines) else "the end" for lines in (a, b))
    what = f"the graphs ({len(a)} and {len(b)} lines) part at line {line}"
    yield _difference(f"graph[{line}]", what, left, right)
