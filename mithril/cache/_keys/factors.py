"""The factors of a graph's key, taken from the graph, its inputs and the state of torch."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx
from torch.utils import _pytree as pytree

from mithril._errors import InvalidArgumentError
from mithril.cache._keys.device_class import DeviceClass
from mithril.cache._keys.graph_key import DynamicDims, software_versions
from mithril.cache._keys.names import Names, describe_tensor
from mithril.cache._keys.text import GraphText, Lifted
from mithril.cache._keys.values import Values

_ABSENT: Any = object()


def graph_factors(
    graph: fx.GraphModule | torch.export.ExportedProgram,
    example_inputs: Sequence[Any] | None,
    dynamic_dims: DynamicDims,
    device: DeviceClass | torch.device | str | None,
    options: Mapping[str, Any],
) -> dict[str, Any]:
    """What `graph_key` describes."""
    if isinstance(graph, torch.export.ExportedProgram):
        module, lifted = graph.graph_module, Lifted.of(graph)
        specs = (graph.call_spec.in_spec, graph.call_spec.out_spec)
    elif isinstance(graph, fx.GraphModule):
        module, lifted = graph, None
        packing = getattr(graph.graph._codegen, "pytree_info", None)
        specs = (packing.in_spec, packing.out_spec) if packing else (None, None)
    else:
        raise InvalidArgumentError(f"graph is a {type(graph).__name__}, not a GraphModule or ExportedProgram")
    names = Names()
    text = GraphText(names)
    text.values.where = "calling convention"
    packed = {"inputs": specs[0], "results": specs[1]}
    calling = {name: text.values.tree(spec) for name, spec in packed.items() if spec is not None}
    given = None if example_inputs is None else list(example_inputs)
    if given is not None and specs[0] is not None:
        given = pytree.tree_leaves(given)
    nodes = [n for n in module.graph.nodes if n.op == "placeholder" and not (lifted and n.name in lifted.state)]
    inputs = _inputs(nodes, given, dynamic_dims, text, names)
    text.add(module, lifted)
    if device is None:
        device = next((known for known in names.devices if known.type not in ("cpu", "meta")), torch.device("cpu"))
    return {
        "versions": software_versions(),
        "device": str(DeviceClass.of(device)),
        "modes": _modes(),
        "options": _options(options, names),
        "calling": calling,
        "inputs": inputs,
        "dimensions": names.ranges,
        "graph": text.lines,
    }


def _inputs(
    nodes: list[fx.Node], given: list[Any] | None, dynamic_dims: DynamicDims, text: GraphText, names: Names
) -> list[dict[str, Any]]:
    """The description of each input."""
    if given is not None and len(given) > len(nodes):
        raise InvalidArgumentError(f"example_inputs: {len(given)} values for the {len(nodes)} inputs of the graph")
    unknown = set(dynamic_dims) - set(range(len(nodes)))
    if unknown:
        raise InvalidArgumentError(f"dynamic_dims: there is no input {min(unknown)!r}, the graph has {len(nodes)}")
    described = []
    for number, node in enumerate(nodes):
        text.values.where = f"input {number} (node {node.name})"
        traced = node.meta.get("val", node.meta.get("example_value", _ABSENT))
        value = given[number] if given is not None and number < len(given) else traced
        if value is _ABSENT and not node.args:
            raise InvalidArgumentError(f"{text.values.where}: neither example_inputs nor the graph says what it is")
        marks = _marks(number, dynamic_dims.get(number, ()), value)
        if isinstance(value, Tensor):
            described.append({"type": "tensor", **describe_tensor(value, names, text.values.where, traced, marks)})
        elif value is _ABSENT:
            described.append({"type": "default", "value": text.values.text(node.args[0])})
        elif any(isinstance(leaf, Tensor) for leaf in pytree.tree_leaves(value)):
            raise text.values.unsupported(f"tensors within a {type(value).__name__}; trace with flat inputs")
        else:
            symbolic = traced if isinstance(traced, torch.SymInt) else value
            described.append({"type": type(symbolic).__name__, "value": text.values.text(symbolic)})
    return described


def _marks(number: int, dims: Sequence[int] | Mapping[int, str], value: object) -> dict[int, Hashable]:
    marks: dict[int, Hashable] = dict(dims) if isinstance(dims, Mapping) else {n: (number, n) for n in dims}
    rank = value.dim() if isinstance(value, Tensor) else 0
    for dim in marks:
        if not 0 <= dim < rank:
            raise InvalidArgumentError(f"dynamic_dims: input {number} has {rank} dimensions, there is no {dim!r}")
    return marks


def _options(options: Mapping[str, Any], names: Names) -> dict[str, str]:
    values, texts = Values(names, lambda value: None), {}
    for name, value in options.items():
        values.where = f"option {name!r}"
        if not isinstance(name, str):
            raise InvalidArgumentError(f"options: the name {name!r} is no string")
        texts[name] = values.text(value)
    return texts


def _modes() -> dict[str, str]:
    """What of torch's state changes the meaning of a graph."""
    autocast = [
        f"{kind} {torch.get_autocast_dtype(kind)}" for kind in ("cpu", "cuda") if torch.is_autocast_enabled(kind)
    ]
    return {
        "autocast": ", ".join(autocast) or "none",
        "default_dtype": str(torch.get_default_dtype()),
        "deterministic": str(torch.are_deterministic_algorithms_enabled()).lower(),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "grad": str(torch.is_grad_enabled()).lower(),
    }
