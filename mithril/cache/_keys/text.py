"""A graph as lines of text that tell what it computes: no names, no paths, no addresses.

A line is a step: `call_function aten.add.Tensor(%0, 2)`, where `%0` is the result of step 0. Parameters, buffers,
constants and graphs within the graph stand before the step that uses them first, as `state#0 …` and `graph#0 {` … `}`;
thus neither their names nor the order of a module's attributes count.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from blake3 import blake3
from torch import Tensor, fx
from torch._subclasses.fake_tensor import FakeTensor

from mithril._errors import UnsupportedError
from mithril.cache._keys.names import Names, describe_tensor
from mithril.cache._keys.values import Values

_LONGEST_LINE = 240
_MODULE_INTERNALS = frozenset(vars(torch.nn.Module()))
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


class GraphText:
    """Writes the lines of one graph, and of the graphs within it."""

    def __init__(self, names: Names) -> None:
        self.lines: list[str] = []
        self.values = Values(names, self._refer)
        self._names = names
        self._nodes: dict[fx.Node, str] = {}
        self._lifted: dict[fx.Node, tuple[str, Tensor]] = {}
        self._states: dict[object, str] = {}
        self._storages: dict[int, str] = {}
        self._graphs: dict[int, str] = {}
        self._module: torch.nn.Module | None = None
        self._kept: list[object] = []  # what is told apart by address stays alive

    def add(self, module: fx.GraphModule, lifted: "Lifted | None" = None) -> None:
        """Write a graph; `lifted` is what an exported program says of it."""
        outer, self._module = self._module, module
        position = 0
        for node in module.graph.nodes:
            self.values.where = f"node {node.name}"
            if node.op == "get_attr":
                continue
            if lifted and node.op == "placeholder" and node.name in lifted.state:
                self._lifted[node] = lifted.state[node.name]
                continue
            line = self._line(node)
            if lifted and node.op == "output":
                line += self._results(module, lifted)
            self._write(line)
            self._nodes[node] = f"%{position}"
            position += 1
        self._module = outer

    def state(self, kind: str, tensor: Tensor) -> str:
        """The reference of a parameter, buffer or constant; written down when it is new."""
        spec = describe_tensor(tensor, self._names, self.values.where)
        storage = tensor.untyped_storage()._cdata
        identity = (kind, storage, tensor.storage_offset(), tensor.dtype, tuple(tensor.shape), tensor.stride())
        if identity in self._states:
            return self._states[identity]
        name = self._states[identity] = f"state#{len(self._states)}"
        self._kept.append(tensor)
        first = self._storages.setdefault(storage, name)
        shares = "" if first == name else f" in the memory of {first} from {tensor.storage_offset()}"
        content = f" content {self._content(tensor)}" if kind == "constant" else ""
        facts = " ".join(f"{key}={value}" for key, value in spec.items())
        self._write(f"{name} {kind} {facts}{shares}{content}")
        return name

    def _content(self, tensor: Tensor) -> str:
        if isinstance(tensor, FakeTensor) or tensor.device.type == "meta":
            raise self.values.unsupported("a constant without a content (a fake or meta tensor)")
        with torch.no_grad():
            plain = tensor.detach().resolve_conj().resolve_neg().to("cpu").contiguous().reshape(-1)
            data: Any = plain.view(torch.uint8).numpy()
        return blake3(data, max_threads=blake3.AUTO if data.nbytes > 1 << 20 else 1).hexdigest()[:32]

    def _write(self, line: str) -> None:
        if len(line) > _LONGEST_LINE:
            line = f"{line[:_LONGEST_LINE]} … {blake3(line.encode()).hexdigest()[:32]}"
        self.lines.append(line)

    def _line(self, node: fx.Node) -> str:
        if node.op in ("placeholder", "output"):
            stars = str(node.target)[: len(str(node.target)) - len(str(node.target).lstrip("*"))]
            target = stars if node.op == "placeholder" else ""
        elif node.op == "call_method":
            target = f" {node.target}"
        elif node.op == "call_module":
            target = f" {self._leaf(self._attribute(str(node.target)))}"
        else:
            target = f" {self.values.text(node.target)}"
        arguments = [self.values.text(value) for value in node.args]
        arguments += [f"{key}={self.values.text(value)}" for key, value in sorted(node.kwargs.items())]
        return f"{node.op}{target}({', '.join(arguments)})"

    def _results(self, module: fx.GraphModule, lifted: "Lifted") -> str:
        """What becomes of the outputs: results of the program, or new values of its state and inputs."""
        nodes = {node.name: node for node in module.graph.nodes}
        return " as " + ", ".join(
            f"{kind} of {self.values.text(nodes[target])}" if target else kind for kind, target in lifted.results
        )

    def _refer(self, value: object) -> str | None:
        if isinstance(value, fx.Node):
            if value in self._nodes:
                return self._nodes[value]
            if value in self._lifted:
                return self.state(*self._lifted[value])
            return self.values.text(self._attribute(str(value.target)))
        if isinstance(value, torch.nn.Parameter):
            return self.state("parameter", value)
        if isinstance(value, Tensor):
            return self.state("constant", value)
        if isinstance(value, fx.GraphModule):
            return self._graph(value)
        if isinstance(value, torch.nn.Module):
            return self._leaf(value)
        return None

    def _attribute(self, path: str) -> Any:
        value: Any = self._module
        for name in path.split("."):
            if not hasattr(value, name):
                raise self.values.unsupported(f"there is no attribute {path!r}")
            value = getattr(value, name)
        return value

    def _graph(self, module: fx.GraphModule) -> str:
        known = self._graphs.get(id(module))
        if known is not None:
            return known
        self._kept.append(module)
        where, name = self.values.where, f"graph#{len(self._graphs)}"
        self._graphs[id(module)] = name
        self._write(f"{name} {{")
        self.add(module)
        self._write("}")
        self.values.where = where
        return name

    def _leaf(self, module: torch.nn.Module) -> str:
        """A module whose inside was not traced: one of torch's, told by its class, options and state."""
        if isinstance(module, fx.GraphModule):
            return self._graph(module)
        kind = type(module)
        if kind.__module__.partition(".")[0] != "torch":
            raise self.values.unsupported(f"a module of the class {kind.__qualname__}, whose code is not in the graph")
        if any(getattr(module, hooks, None) for hooks in _HOOKS):
            raise self.values.unsupported(f"a {kind.__qualname__} with hooks, whose code is not in the graph")
        fields: dict[str, Any] = {"training": module.training}
        fields |= {n: v for n, v in vars(module).items() if n not in _MODULE_INTERNALS and not n.startswith("_")}
        fields |= {**module._parameters, **module._modules}
        texts = [f"{name}={self.values.text(value)}" for name, value in sorted(fields.items())]
        buffers = [(name, value) for name, value in sorted(module._buffers.items()) if value is not None]
        texts += [f"{name}={self.state('buffer', value)}" for name, value in buffers]
        return f"{kind.__module__}.{kind.__qualname__}<{', '.join(texts)}>"


@dataclass(frozen=True)
class Lifted:
    """What the signature of an exported program says of its graph."""

    state: Mapping[str, tuple[str, Tensor]]
    """Kind and value of the placeholders that stand for its state, by their names."""
    results: Sequence[tuple[str, str]]
    """The kinds of the outputs, and the placeholder that an output is the new value of, or ""."""

    @classmethod
    def of(cls, program: torch.export.ExportedProgram) -> "Lifted":
        """Raises UnsupportedError for state that is no tensor."""
        signature, state = program.graph_signature, {}
        for spec in signature.input_specs:
            kind = spec.kind.name.lower().removesuffix("_tensor")
            if kind in ("parameter", "buffer", "constant"):
                value = program.constants.get(str(spec.target), program.state_dict.get(str(spec.target)))
                if not isinstance(value, Tensor):
                    raise UnsupportedError(f"node {spec.arg.name}: the program lacks its tensor {spec.target!r}")
                state[spec.arg.name] = (kind, value)
            elif kind != "user_input":
                raise UnsupportedError(f"node {spec.arg.name}: an input of the kind {kind}")
        places = {str(spec.target): spec.arg.name for spec in signature.input_specs if spec.target is not None}
        results = [
            (spec.kind.name.lower(), places.get(str(spec.target), str(spec.target)) if spec.target else "")
            for spec in signature.output_specs
        ]
        return cls(state, results)
