"""Keys of graphs: what they do not depend on, what they depend on, and what is said of a difference."""

import copy
import importlib.util
import json
import os
import pickle
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from functorch.compile import make_boxed_func
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, fx, nn
from torch._dynamo.backends.common import aot_autograd
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.export import Dim
from torch.fx.experimental.proxy_tensor import make_fx

from mithril import InvalidArgumentError, UnsupportedError
from mithril._errors import CorruptError
from mithril.cache._keys.device_class import DeviceClass
from mithril.cache._keys.explain import explain_miss
from mithril.cache._keys.graph_key import GraphKey, graph_key

AVX512 = DeviceClass("cpu", "x86_64", frozenset({"avx2", "avx512f", "vec:avx2", "vec:avx512"}))
AVX2 = DeviceClass("cpu", "x86_64", frozenset({"avx2", "vec:avx2"}))

SOURCE = """
import torch

class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first = torch.nn.Linear(4, 8)
        self.second = torch.nn.Linear(8, 4)
        self.register_buffer("scale", torch.full((4,), 3.0))

    def forward(self, x, y):
        hidden = torch.nn.functional.gelu(self.first(x))
        return self.second(hidden) * self.scale + y * 2
"""
# The same computation: other names, another order of the attributes, other lines.
RENAMED = '''
import torch

# Not a line of this is where it was.


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("factor", torch.full((4,), 3.0))
        self.output = torch.nn.Linear(8, 4)
        self.input = torch.nn.Linear(4, 8)

    def forward(self, left, right):
        """The same."""
        inner = torch.nn.functional.gelu(self.input(left))  # comment
        return self.output(inner) * self.factor + right * 2

Model = Network
'''


def module_at(path: Path, source: str) -> ModuleType:
    """A module whose source is at `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def dynamo_graphs(model: Callable[..., Any], *inputs: Tensor, dynamic: bool = False) -> list[tuple[Any, list[Any]]]:
    """The graphs that torch.compile hands to a backend, with their inputs."""
    found = []

    def keep(graph: fx.GraphModule, example_inputs: list[Any]) -> fx.GraphModule:
        found.append((graph, example_inputs))
        return graph

    torch._dynamo.reset()
    torch.compile(model, backend=keep, dynamic=dynamic)(*inputs)
    return found


def key_by_export(model: nn.Module, *inputs: Tensor) -> GraphKey:
    dims = {0: Dim("batch", min=2, max=64)}
    return graph_key(torch.export.export(model, inputs, dynamic_shapes=tuple(dims for _ in inputs)))


def key_by_dynamo(model: nn.Module, *inputs: Tensor) -> GraphKey:
    ((graph, example_inputs),) = dynamo_graphs(model, *inputs, dynamic=True)
    return graph_key(graph, example_inputs)


TRACERS: dict[str, Callable[..., GraphKey]] = {
    "symbolic_trace": lambda model, *inputs: graph_key(fx.symbolic_trace(model), inputs),
    "make_fx": lambda model, *inputs: graph_key(
        make_fx(model, tracing_mode="symbolic", _allow_non_fake_inputs=True)(*inputs)
    ),
    "export": key_by_export,
    "dynamo": key_by_dynamo,
}


def all_keys(path: str) -> dict[str, str]:
    """Digests of the model whose source is at `path`, by tracer."""
    model = module_at(Path(path), Path(path).read_text()).Model()
    return {name: trace(model, torch.ones(5, 4), torch.ones(5, 4)).digest for name, trace in TRACERS.items()}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    path = tmp_path_factory.mktemp("here") / "model.py"
    path.write_text(SOURCE)
    return all_keys(str(path))


def test_keys_of_tracers_differ(keys: dict[str, str]) -> None:
    # They are different graphs, of different operators.
    assert len(set(keys.values())) == len(TRACERS)


def test_same_key_elsewhere_and_renamed(keys: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "a" / "deeper" / "folder" / "network.py"
    module_at(path, RENAMED)
    assert all_keys(str(path)) == keys


def test_same_key_in_another_process(keys: dict[str, str], run_python: Callable[..., str], tmp_path: Path) -> None:
    path = tmp_path / "other.py"
    path.write_text(RENAMED)
    program = (
        "import sys, json, importlib.util as u; s = u.spec_from_file_location('tests', sys.argv[1]);"
        "t = u.module_from_spec(s); s.loader.exec_module(t); print(json.dumps(t.all_keys(sys.argv[2])))"
    )
    seed = "271828" if os.environ.get("PYTHONHASHSEED") != "271828" else "314159"
    assert json.loads(run_python(program, __file__, path, PYTHONHASHSEED=seed)) == keys


def test_key_tells_no_place(tmp_path: Path) -> None:
    model = module_at(tmp_path / "model.py", SOURCE).Model()
    inputs = torch.ones(5, 4), torch.ones(5, 4)
    for trace in TRACERS.values():
        text = trace(model, *inputs).to_json()
        assert str(tmp_path) not in text
        assert "0x" not in text
        assert not any(name in text for name in ("first", "second", "hidden"))


def scrambled(graph: fx.GraphModule, seed: int) -> fx.GraphModule:
    """The same graph with other names for every node and attribute, set in another order."""
    chosen = random.Random(seed)
    renamed, attributes = fx.Graph(), {}
    new: dict[fx.Node, fx.Node] = {}
    for node in graph.graph.nodes:
        copied = renamed.node_copy(node, new.__getitem__)
        new[node] = copied
        copied.name = f"n{chosen.getrandbits(60)}"
        if node.op in ("get_attr", "call_module"):
            copied.target = f"a{chosen.getrandbits(60)}"
            value: Any = graph
            for part in str(node.target).split("."):
                value = getattr(value, part)
            attributes[copied.target] = value
        elif node.op == "placeholder":
            copied.target = f"p{chosen.getrandbits(60)}"
    items = list(attributes.items())
    chosen.shuffle(items)
    root = nn.Module()
    for name, value in items:
        root.register_buffer(name, value) if type(value) is Tensor else setattr(root, name, value)
    return fx.GraphModule(root, renamed)


@pytest.mark.parametrize("seed", range(3))
def test_same_key_under_renamed_nodes_and_attributes(tmp_path: Path, seed: int) -> None:
    model = module_at(tmp_path / "model.py", SOURCE).Model()
    inputs = torch.ones(5, 4), torch.ones(5, 4)
    for graph in (fx.symbolic_trace(model), make_fx(model)(*inputs)):
        key = graph_key(graph, inputs)
        assert graph_key(scrambled(graph, seed), inputs).digest == key.digest


def build(
    *,
    op: Callable[..., Any] = torch.ops.aten.add.Tensor,
    argument: object = 2,
    constant: Sequence[float] = (1.0, 2.0, 3.0),
    dtype: torch.dtype = torch.float32,
) -> fx.GraphModule:
    """op(x * constant, argument)"""
    root = nn.Module()
    root.register_buffer("constant", torch.tensor(constant, dtype=dtype))
    graph = fx.Graph()
    x = graph.placeholder("x")
    product = graph.call_function(torch.ops.aten.mul.Tensor, (x, graph.get_attr("constant")))
    graph.output(graph.call_function(op, (product, argument)))
    return fx.GraphModule(root, graph)


def key_of(
    example: object = None, *, dims: Any = None, device: Any = AVX2, options: Any = None, **changes: Any
) -> GraphKey:
    example = torch.ones(5, 3) if example is None else example
    return graph_key(build(**changes), [example], dynamic_dims=dims, device=device, options=options)


CHANGES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "op": ({"op": torch.ops.aten.sub.Tensor}, ["graph[3]"]),
    "overload": ({"op": torch.ops.aten.add.Scalar}, ["graph[3]"]),
    "argument": ({"argument": 3}, ["graph[3]"]),
    "type of argument": ({"argument": 2.0}, ["graph[3]"]),
    "bool argument": ({"argument": True}, ["graph[3]"]),
    "constant": ({"constant": (1.0, 2.0, 3.0000002)}, ["graph[1]"]),
    "sign of zero": ({"constant": (1.0, 2.0, -0.0)}, ["graph[1]"]),
    "dtype of constant": ({"dtype": torch.float64}, ["graph[1]"]),
    "dtype": ({"example": torch.ones(5, 3, dtype=torch.float16)}, ["inputs[0].dtype"]),
    "size": ({"example": torch.ones(6, 3)}, ["inputs[0].shape"]),
    "layout": ({"example": torch.ones(3, 5).t()}, ["inputs[0].layout"]),
    "padding": ({"example": torch.ones(5, 4)[:, :3]}, ["inputs[0].layout"]),
    "gradient": ({"example": torch.ones(5, 3, requires_grad=True)}, ["inputs[0].requires_grad"]),
    "device of input": ({"example": torch.ones(5, 3, device="meta")}, ["inputs[0].device"]),
    "kind of input": ({"example": 3}, ["inputs[0].type"]),
    "dynamic dimension": ({"dims": {0: [0]}}, ["inputs[0].shape"]),
    "another dynamic dimension": ({"dims": {0: [1]}}, ["inputs[0].shape"]),
    "equal dimensions": ({"dims": {0: {0: "n", 1: "n"}}}, ["inputs[0].shape"]),
    "device class": ({"device": DeviceClass("cuda", "9.0")}, ["device"]),
    "vector instructions": ({"device": AVX512}, ["device"]),
    "any device": ({"device": DeviceClass("cpu")}, ["device"]),
    "option": ({"options": {"freezing": True}}, ["options.freezing"]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_another_key_and_named(change: str) -> None:
    changes, factors = CHANGES[change]
    base, other = key_of(), key_of(**changes)
    assert base.digest != other.digest
    found = explain_miss(base, other)
    assert [difference.factor for difference in found] == factors
    assert all(difference.a != difference.b for difference in found)
    assert [(d.factor, d.b, d.a) for d in found] == [(d.factor, d.a, d.b) for d in explain_miss(other, base)]


def test_arguments_that_print_alike_differ() -> None:
    arguments: list[object] = [1, True, 1.0, 1 + 0j, "1", "True", None, "None", [1], (1,), [[1]], [1, 1], ["1"], [None]]
    arguments += [0.0, -0.0, {"a": 1}, {"a": "1"}, {1: "a"}, slice(1), range(1), torch.float32, "torch.float32"]
    arguments += [[0] * 500 + [last] for last in (0, 1)]
    assert len({key_of(argument=argument).digest for argument in arguments}) == len(arguments)


def test_all_changes_are_different_keys() -> None:
    digests = [key_of(**changes).digest for changes, _ in CHANGES.values()]
    assert len(set(digests)) == len(CHANGES)


def test_equal_keys_have_no_difference() -> None:
    assert key_of() == key_of()
    assert explain_miss(key_of(), key_of()) == []


def test_explanations_are_sentences() -> None:
    (dtype,) = explain_miss(key_of(), key_of(torch.ones(5, 3, dtype=torch.float16)))
    assert dtype.meaning == "the dtype of input 0: float32 in the one, float16 in the other"
    (graph,) = explain_miss(key_of(), key_of(argument=3))
    assert "aten.add.Tensor(%1, 2) in the one" in graph.meaning
    assert "aten.add.Tensor(%1, 3) in the other" in graph.meaning
    (features,) = explain_miss(key_of(), key_of(device=AVX512))
    assert (features.a, features.b) == ("nothing", "avx512f vec:avx512")


def test_versions_and_modes_count(monkeypatch: pytest.MonkeyPatch) -> None:
    base = key_of()
    with torch.no_grad():
        assert [d.factor for d in explain_miss(base, key_of())] == ["modes.grad"]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert [d.factor for d in explain_miss(base, key_of())] == ["modes.autocast"]
    torch.set_float32_matmul_precision("high")
    try:
        assert [d.factor for d in explain_miss(base, key_of())] == ["modes.float32_matmul_precision"]
    finally:
        torch.set_float32_matmul_precision("highest")
    monkeypatch.setattr(torch, "__version__", "2.99.0")
    (difference,) = explain_miss(base, key_of())
    assert difference.factor == "versions.torch"
    assert difference.b.startswith("2.99.0")


def test_numbers_of_devices_do_not_count_but_which_are_equal() -> None:
    graph = fx.symbolic_trace(lambda x, y: x + y)
    with FakeTensorMode():

        def key(*devices: str) -> GraphKey:
            return graph_key(graph, [torch.empty(3, device=device) for device in devices])

        assert key("cuda:0", "cuda:0") == key("cuda:1", "cuda:1")
        assert key("cuda:0", "cuda:1") == key("cuda:3", "cuda:2")
        (difference,) = explain_miss(key("cuda:0", "cuda:0"), key("cuda:0", "cuda:1"))
        assert (difference.factor, difference.a, difference.b) == ("inputs[1].device", "cuda#0", "cuda#1")
        assert key("cpu", "cuda:1").factors["device"].split(" ")[0] == "cuda"
        assert key("cpu", "cpu").factors["device"].split(" ")[0] == "cpu"


def test_dynamic_sizes_do_not_count_and_their_equality_does() -> None:
    graph = fx.symbolic_trace(lambda x, y: x @ y)

    def key(rows: int, inner: int, dims: Any) -> str:
        return graph_key(graph, [torch.ones(rows, inner), torch.ones(inner, 2)], dynamic_dims=dims).digest

    tied = {0: {0: "rows", 1: "inner"}, 1: {0: "inner"}}
    assert key(3, 4, tied) == key(7, 9, {0: {0: "a", 1: "b"}, 1: {0: "b"}})
    assert key(3, 4, tied) != key(3, 4, {0: [0, 1], 1: [0]})
    assert key(3, 4, {0: [0, 1], 1: [0]}) == key(5, 8, {0: [0, 1], 1: [0]})


def test_ranges_of_dynamic_dimensions_count() -> None:
    def key(most: int) -> GraphKey:
        program = torch.export.export(
            nn.Linear(3, 2), (torch.ones(5, 3),), dynamic_shapes=({0: Dim("n", min=2, max=most)},)
        )
        return graph_key(program)

    (difference,) = explain_miss(key(64), key(32))
    assert (difference.factor, difference.a, difference.b) == ("dimensions.d0", "2..64", "2..32")


def test_traced_sizes_are_dynamic_with_example_inputs_of_numbers() -> None:
    graphs = [make_fx(lambda x: x * 2, tracing_mode="symbolic")(torch.ones(n, 4)) for n in (3, 6)]
    digests = {graph_key(graph, [torch.ones(n, 4)]).digest for graph, n in zip(graphs, (5, 7), strict=True)}
    digests |= {graph_key(graph).digest for graph in graphs}
    assert len(digests) == 1
    static = make_fx(lambda x: x * 2)(torch.ones(3, 4))
    assert graph_key(static).digest not in digests


def test_a_key_adds_no_guards() -> None:
    compiled_for = []

    def keep(graph: fx.GraphModule, example_inputs: list[Any]) -> fx.GraphModule:
        compiled_for.append((graph_key(graph, example_inputs), graph_key(graph)))
        return graph

    torch._dynamo.reset()
    compiled = torch.compile(lambda x: x.transpose(0, 1) * 2, backend=keep, dynamic=True)
    for shape in ((3, 5, 4), (8, 7, 6), (9, 9, 9)):
        compiled(torch.ones(shape).permute(2, 0, 1))
    assert len(compiled_for) == 1


class Branches(nn.Module):
    """A program with graphs within."""

    def __init__(self, factor: float = 2.0) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cond(x.sum() > 0, lambda x: x * self.factor, lambda x: x - 1, (x,))
        return torch.ops.higher_order.while_loop(lambda x: x.sum() < 100, lambda x: (x + self.factor,), (x,), ())[0]


def test_graphs_within_count() -> None:
    keys = [graph_key(torch.export.export(Branches(f), (torch.ones(4),))) for f in (2.0, 2.0, 3.0)]
    assert keys[0] == keys[1]
    (difference,) = explain_miss(keys[0], keys[2])
    assert difference.factor.startswith("graph[")
    assert difference.a == "call_function aten.mul.Tensor(%0, 2.0)"
    graphs = [dynamo_graphs(Branches(f), torch.ones(4))[0] for f in (2.0, 2.0, 3.0)]
    digests = [graph_key(graph, inputs).digest for graph, inputs in graphs]
    assert digests[0] == digests[1] != digests[2]


def test_state_counts_without_its_values_but_with_its_sharing() -> None:
    class Two(nn.Module):
        def __init__(self, *, tied: bool, size: int = 4) -> None:
            super().__init__()
            self.a = nn.Parameter(torch.randn(size, size))
            self.b = self.a if tied else nn.Parameter(torch.randn(size, size))

        def forward(self, x: Tensor) -> Tensor:
            return (x @ self.a) @ self.b

    def keys(model: nn.Module, size: int = 4) -> tuple[str, str]:
        x = torch.ones(2, size)
        return graph_key(fx.symbolic_trace(model), [x]).digest, graph_key(torch.export.export(model, (x,))).digest

    assert keys(Two(tied=False)) == keys(Two(tied=False))
    for tied, untied, larger in zip(
        keys(Two(tied=True)), keys(Two(tied=False)), keys(Two(tied=False, size=5), 5), strict=True
    ):
        assert len({tied, untied, larger}) == 3


# torch warns of itself while it copies a program.
@pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec:FutureWarning")
def test_which_state_is_mutated_counts() -> None:
    class Counters(nn.Module):
        def __init__(self, first: str) -> None:
            super().__init__()
            self.register_buffer("a", torch.zeros(2))
            self.register_buffer("b", torch.zeros(2))
            self.first = first

        def forward(self, x: Tensor) -> Tensor:
            y = x + self.a * self.b * self.b
            getattr(self, self.first).add_(1)
            return y

    programs = [torch.export.export(Counters(name), (torch.ones(2),)).run_decompositions() for name in "ab"]
    assert graph_key(programs[0]) != graph_key(programs[1])
    key = graph_key(programs[0])
    programs[0].graph_signature.output_specs[0].target = "b"
    (difference,) = explain_miss(key, graph_key(programs[0]))
    assert difference.a.endswith("as buffer_mutation of state#0, user_output")
    assert difference.b.endswith("as buffer_mutation of state#1, user_output")


def test_options_of_untraced_modules_count() -> None:
    def key(module: nn.Module) -> str:
        return graph_key(fx.symbolic_trace(nn.Sequential(module)), [torch.ones(2, 4, 6, 6)]).digest

    assert key(nn.Conv2d(4, 4, 3)) == key(nn.Conv2d(4, 4, 3))
    variants = [
        nn.Conv2d(4, 4, 3),
        nn.Conv2d(4, 4, 3, stride=2),
        nn.Conv2d(4, 4, 3, bias=False),
        nn.Dropout(),
        nn.Dropout().eval(),
    ]
    assert len(set(map(key, variants))) == len(variants)
    norm = nn.BatchNorm2d(4)
    before = key(norm)
    norm(torch.randn(2, 4, 6, 6))
    assert key(norm) == before


FUNCTIONS = """
import math, torch
STEP = {step}
def inner(x): return x {operator} STEP
def outer(x, y={default}): return inner(x) * math.pi if x is not None else y
"""


def test_code_of_functions_outside_torch_counts(tmp_path: Path) -> None:
    def key(number: int, step: object = 1, operator: str = "+", default: int = 2) -> str:
        source = FUNCTIONS.format(step=step, operator=operator, default=default)
        function = module_at(tmp_path / str(number) / "functions.py", source).outer
        graph = fx.Graph()
        graph.output(graph.call_function(function, (graph.placeholder("x"),)))
        return graph_key(fx.GraphModule(nn.Module(), graph), [torch.ones(2)]).digest

    assert key(0) == key(1)
    assert len({key(2), key(3, step=2), key(4, operator="-"), key(5, default=3)}) == 4


class Opaque:
    """An object without a value."""


class Subclass(Tensor):
    """A tensor with a meaning of its own."""


class OwnLeaf(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


def altered(*, op: Callable[..., Any] | None = None, argument: object = 2) -> fx.GraphModule:
    """A graph with what fx has no source code for."""
    graph = build()
    node = next(node for node in reversed(graph.graph.nodes) if node.op == "call_function")
    node.args = (node.args[0], argument)
    node.target = op or node.target
    return graph


def with_leaf(module: nn.Module) -> fx.GraphModule:
    graph, root = fx.Graph(), nn.Module()
    root.leaf = module
    graph.output(graph.call_module("leaf", (graph.placeholder("x"),)))
    return fx.GraphModule(root, graph)


def with_constant(value: Tensor) -> fx.GraphModule:
    graph = build()
    graph.constant = value
    return graph


def hooked() -> nn.Module:
    module = nn.ReLU()
    module.register_forward_hook(lambda module, inputs, output: output * 2)
    return module


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: altered(argument=Opaque()), r"node add\w*: a value of the class .*Opaque"),
        (lambda: altered(argument=[{"a": Opaque()}]), r"Opaque"),
        (lambda: altered(op=[].append), r"class builtins\.builtin_function_or_method"),
        (lambda: with_leaf(OwnLeaf()), r"node leaf: a module of the class OwnLeaf, whose code is not in the graph"),
        (lambda: with_leaf(hooked()), r"node leaf: a ReLU with hooks"),
        (lambda: with_constant(torch.ones(3).as_subclass(Subclass)), r"node mul\w*: a tensor of the class Subclass"),
        (lambda: with_constant(torch.ones(3).to_sparse()), r"sparse"),
        (lambda: with_constant(torch.ones(3, device="meta")), r"a constant without a content"),
        (lambda: with_constant(FakeTensorMode().from_tensor(torch.ones(3))), r"a constant without a content"),
    ],
)
def test_what_has_no_value_is_refused_by_name(make: Callable[[], fx.GraphModule], message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        graph_key(make(), [torch.ones(5, 3)])


def test_inputs_that_do_not_fit() -> None:
    with pytest.raises(InvalidArgumentError, match="2 values for the 1 inputs"):
        graph_key(build(), [torch.ones(5, 3)] * 2)
    with pytest.raises(InvalidArgumentError, match=r"input 0 \(node x\): neither"):
        graph_key(build())
    with pytest.raises(InvalidArgumentError, match="there is no input 1"):
        key_of(dims={1: [0]})
    with pytest.raises(InvalidArgumentError, match="input 0 has 2 dimensions, there is no 2"):
        key_of(dims={0: [2]})
    with pytest.raises(InvalidArgumentError, match="not a GraphModule"):
        graph_key(nn.Linear(2, 2), [torch.ones(2)])  # type: ignore[arg-type]
    with pytest.raises(UnsupportedError, match="option 'a': a value of the class"):
        key_of(options={"a": Opaque()})
    with pytest.raises(UnsupportedError, match=r"option 'a': a value of the class torch\.Tensor"):
        key_of(options={"a": torch.ones(2)})
    with pytest.raises(UnsupportedError, match=r"input 0 \(node x\): tensors within a list"):
        key_of([torch.ones(2)])
    with pytest.raises(InvalidArgumentError, match="device 'toaster'"):
        key_of(device="toaster")


def test_json_and_pickle() -> None:
    key = key_of(dims={0: [0]}, options={"mode": "fast", "limits": (1, 2.5, None)})
    for again in (GraphKey.from_json(key.to_json()), pickle.loads(pickle.dumps(key)), copy.deepcopy(key)):
        assert again == key
        assert hash(again) == hash(key)
        assert again.digest == key.digest
        assert explain_miss(again, key) == []


def test_json_that_was_changed_is_refused() -> None:
    text = key_of().to_json()
    with pytest.raises(CorruptError, match="the digest is not that"):
        GraphKey.from_json(text.replace("aten.mul", "aten.sub"))
    with pytest.raises(UnsupportedError, match="version 2"):
        GraphKey.from_json(text.replace('"graph_key": 1', '"graph_key": 2', 1))
    with pytest.raises(CorruptError, match="no JSON"):
        GraphKey.from_json("[" * 100_000)
    fields = json.loads(text)
    paths = [("factors", name) for name in fields["factors"]] + [("digest",), ("factors",)]
    for path in paths:
        for junk in (None, 7, [1], {"a": 1}, "x", [{"a": {}}], [{"type": 1}], [{"shape": [None]}]):
            changed = copy.deepcopy(fields)
            (changed["factors"] if len(path) == 2 else changed)[path[-1]] = junk
            with pytest.raises(CorruptError):
                GraphKey.from_json(json.dumps(changed))
        changed = copy.deepcopy(fields)
        del (changed["factors"] if len(path) == 2 else changed)[path[-1]]
        with pytest.raises(CorruptError):
            GraphKey.from_json(json.dumps(changed))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple),
    max_leaves=5,
)
STEPS = st.tuples(
    st.sampled_from([torch.add, torch.mul, torch.ops.aten.add.Tensor, max]),
    st.integers(0, 9),
    st.integers(0, 9),
    VALUES,
)


@given(programs=st.lists(st.lists(STEPS, min_size=1, max_size=4), min_size=2, max_size=2), seed=st.integers())
@settings(deadline=None, max_examples=60)
def test_keys_are_equal_exactly_when_programs_are(programs: list[list[Any]], seed: int) -> None:
    chosen = random.Random(seed)

    def key(steps: list[Any]) -> str:
        graph = fx.Graph()
        nodes = [graph.placeholder(f"x{chosen.getrandbits(40)}")]
        for op, left, right, value in steps:
            nodes.append(
                graph.create_node(
                    "call_function",
                    op,
                    (nodes[left % len(nodes)], nodes[right % len(nodes)], value),
                    name=f"n{chosen.getrandbits(40)}",
                )
            )
        graph.output(nodes[-1])
        return graph_key(fx.GraphModule(nn.Module(), graph), [torch.ones(2)], device=AVX2).digest

    def meaning(steps: list[Any]) -> list[str]:
        return [repr((str(op), a % (n + 1), b % (n + 1), value)) for n, (op, a, b, value) in enumerate(steps)]

    assert key(programs[0]) == key(programs[0])
    assert (key(programs[0]) == key(programs[1])) == (meaning(programs[0]) == meaning(programs[1]))


def test_same_key_after_saving_and_loading(tmp_path: Path) -> None:
    class Options(nn.Module):
        def forward(self, x: Tensor, factor: int, missing: None, *, offset: Tensor) -> dict[str, Tensor]:
            return {"result": x * factor + offset}

    inputs = (torch.ones(3), 4, None)
    program = torch.export.export(Options(), inputs, {"offset": torch.ones(3)})
    torch.export.save(program, tmp_path / "program.pt2")
    key = graph_key(program)
    assert graph_key(torch.export.load(tmp_path / "program.pt2")) == key
    assert graph_key(program, [*inputs, torch.ones(3)]) == key
    other = torch.export.export(Options(), (torch.ones(3), 5, None), {"offset": torch.ones(3)})
    assert [d.factor for d in explain_miss(key, graph_key(other))] == ["inputs[1].value", "graph[4]"]


def test_same_key_for_every_trace_of_a_training_step() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.LayerNorm(8))

    def keys() -> list[str]:
        found = []

        def compile_graph(graph: fx.GraphModule, example_inputs: list[Any]) -> Any:
            found.append(graph_key(graph, example_inputs).digest)
            return make_boxed_func(graph)

        torch._dynamo.reset()
        compiled = torch.compile(model, backend=aot_autograd(fw_compiler=compile_graph), dynamic=True)
        compiled(torch.ones(5, 8)).sum().backward()
        return found

    first = keys()
    assert len(set(first)) == 2  # forward and backward
    assert keys() == first
