"""Keys that say what a graph computes, for what inputs, on what kind of device, with what software."""

import functools
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from blake3 import blake3

from mithril._errors import CorruptError, UnsupportedError
from mithril.cache._keys.device_class import DeviceClass

if TYPE_CHECKING:
    import torch

DynamicDims: TypeAlias = Mapping[int, Sequence[int] | Mapping[int, str]]

KEY_VERSION = 1
MAX_JSON_BYTES = 64 << 20
_FACTORS = {
    "versions": dict,
    "device": str,
    "modes": dict,
    "options": dict,
    "calling": dict,
    "inputs": list,
    "dimensions": dict,
    "graph": list,
}


@dataclass(frozen=True, eq=False)
class GraphKey:
    """What a compiled artifact depends on. Equal digests mean equal factors."""

    factors: Mapping[str, Any]
    """Readable values: `versions`, `device`, `modes` and `options` (name to text), `calling` (how inputs and results
    are packed), `inputs` (a mapping each), `dimensions` (ranges of symbolic sizes), `graph` (its lines)."""

    def __post_init__(self) -> None:
        _check_factors(self.factors)
        object.__setattr__(self, "factors", json.loads(_canonical(self.factors)))

    @functools.cached_property
    def digest(self) -> str:
        """64 hexadecimal digits: BLAKE3 of the factors."""
        return blake3(_canonical(self.factors)).hexdigest()

    @functools.cached_property
    def portable_digest(self) -> str:
        """The digest of all factors but the device: the same for one graph on different devices."""
        return blake3(_canonical({**self.factors, "device": ""})).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GraphKey) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def to_json(self) -> str:
        """The key as one line of JSON, for `from_json`."""
        return json.dumps({"graph_key": KEY_VERSION, "digest": self.digest, "factors": self.factors})

    @classmethod
    def from_json(cls, text: str | bytes) -> "GraphKey":
        """Read what `to_json` gave. Raises CorruptError, or UnsupportedError for another version of keys."""
        if len(text) > MAX_JSON_BYTES:
            raise CorruptError(f"graph key: {len(text)} bytes, more than the limit of {MAX_JSON_BYTES}")
        try:
            fields = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise CorruptError(f"graph key: no JSON ({error})") from None
        if not isinstance(fields, dict) or set(fields) != {"graph_key", "digest", "factors"}:
            raise CorruptError("graph key: its fields are not graph_key, digest and factors")
        if fields["graph_key"] != KEY_VERSION:
            raise UnsupportedError(f"graph key: version {str(fields['graph_key'])[:20]}, known is {KEY_VERSION}")
        key = cls(fields["factors"])
        if key.digest != fields["digest"]:
            raise CorruptError("graph key: the digest is not that of the factors")
        return key


def _canonical(value: Mapping[str, Any]) -> bytes:
    return json.dumps(dict(value), sort_keys=True, separators=(",", ":")).encode()


def _check_factors(factors: object) -> None:
    if not isinstance(factors, Mapping) or set(factors) != set(_FACTORS):
        raise CorruptError(f"graph key: its factors are not {', '.join(_FACTORS)}")
    for name, kind in _FACTORS.items():
        value = factors[name]
        parts = list(value.values()) if isinstance(value, dict) else value
        inner = dict if name == "inputs" else str
        if not isinstance(value, kind) or not all(isinstance(part, inner) for part in parts):
            raise CorruptError(f"graph key: factor {name!r} is no {kind.__name__} of {inner.__name__}")
    for number, fields in enumerate(factors["inputs"]):
        if "type" not in fields:
            raise CorruptError(f"graph key: input {number} has no type")
        for name, field in fields.items():
            parts = field if name == "shape" and isinstance(field, list) else [field]
            if not all(type(part) is str or (type(part) is int and name == "shape") for part in parts):
                raise CorruptError(f"graph key: field {name!r:.40} of input {number}")


def graph_key(
    graph: "torch.fx.GraphModule | torch.export.ExportedProgram",
    example_inputs: Sequence[Any] | None = None,
    *,
    dynamic_dims: DynamicDims | None = None,
    device: "DeviceClass | torch.device | str | None" = None,
    options: Mapping[str, Any] | None = None,
) -> GraphKey:
    """The key of a graph: the same in every process, in every folder, and whatever things are named.

    `example_inputs` are those of one call, and may be left out where the graph says what its inputs are (an exported
    program, a graph of torch.compile, of make_fx). Sizes that its tracer made symbolic are symbolic in the key.
    `dynamic_dims` names further ones, by the number of the input: `{0: [0, 2]}` any sizes, `{0: {0: "n"}, 1: {1: "n"}}`
    sizes that are equal. `device` is what the code is compiled for; by default the first accelerator
    that the graph or its inputs name, else the processor here.
    `options` are plain values that the compiler reads beside the graph (its configuration; the number of threads, if it
    looks at that).

    What counts of state: of parameters, and of buffers where the graph tells them from constants (in an exported
    program, and in modules that were not traced into), dtype, shape, layout, device, and which share memory, but no
    values, as they are inputs of the compiled code. An artifact that has their values within wants a digest of them
    among the options; one that takes them as inputs must order them by their first use in the graph, as names and the
    order of a module's attributes do not count. Constants, and buffers that a GraphModule reads itself, count with
    their values. Of functions from outside torch and Python's library the code counts; of custom operators the
    schema. Indices of devices count by first appearance: `cuda:1` alone is like `cuda:0` alone.

    Raises UnsupportedError, naming the node, for what cannot be told by value (objects, tensor subclasses, Triton
    kernels, modules and functions whose code is out of sight); InvalidArgumentError for inputs that do not fit.
    """
    from mithril.cache._keys.factors import graph_factors

    return GraphKey(graph_factors(graph, example_inputs, dynamic_dims or {}, device, options or {}))


def software_versions() -> dict[str, str]:
    """The versions that a key holds."""
    import importlib.metadata

    import torch

    triton = "none"
    for name in ("triton", "pytorch-triton", "pytorch-triton-rocm"):
        try:
            triton = importlib.metadata.version(name)
            break
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "graph_key": str(KEY_VERSION),
        "python": f"{sys.version_info[0]}.{sys.version_info[1]}",
        "torch": f"{torch.__version__} {torch.version.git_version}",
        "triton": triton,
    }
