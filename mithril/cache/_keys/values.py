"""The texts of the values in a graph: the same in every process and place, and different for what differs."""

import builtins
import dis
import enum
import functools
import json
import sys
import types
from collections.abc import Callable
from typing import Any

import torch
from blake3 import blake3
from torch.utils import _pytree as pytree

from mithril._errors import UnsupportedError
from mithril.cache._keys.names import Names

_SYMBOLIC = (torch.SymInt, torch.SymFloat, torch.SymBool)
_NAMED = (torch.dtype, torch.layout, torch.memory_format)
_SINGLE = (type(None), type(Ellipsis), type(NotImplemented))
# Their code is told by the versions of Python and torch; that of all other packages is not.
_VERSIONED = sys.stdlib_module_names | {"torch"}


class Values:
    """Writes values as text. Raises UnsupportedError, which begins with `where`, for what it has no text for."""

    def __init__(self, names: Names, refer: Callable[[object], str | None]) -> None:
        """`refer` gives the text of what belongs to a graph (nodes, tensors, modules), and None for the rest."""
        self.where = "graph"
        self._names = names
        self._refer = refer
        self._open_functions: list[object] = []

    def unsupported(self, what: str) -> UnsupportedError:
        """The error that `what` cannot be part of a key."""
        return UnsupportedError(f"{self.where}: {what}")

    def text(self, value: Any) -> str:
        """The text of a value; containers and functions to any depth."""
        reference = self._refer(value)
        if reference is not None:
            return reference
        if type(value) in (bool, int, float, complex, *_SINGLE) or isinstance(value, _NAMED):
            return repr(value)
        if isinstance(value, enum.Enum):
            return f"{self.text(type(value))}.{value.name}"
        if isinstance(value, str):
            return json.dumps(value)
        if isinstance(value, bytes):
            return f"bytes[{len(value)}] {blake3(value).hexdigest()}"
        if isinstance(value, torch.device):
            return f"device {self._names.device(value)}"
        if isinstance(value, _SYMBOLIC):
            return self._names.expression(value)
        return self._container(value) or self._callable(value)

    def _container(self, value: Any) -> str | None:
        if isinstance(value, (slice, range)):
            return f"{type(value).__name__}({self._join((value.start, value.stop, value.step))})"
        if isinstance(value, tuple):
            name = self.text(type(value)) if hasattr(value, "_fields") else ""
            return f"{name}({self._join(value)})"
        if isinstance(value, list):
            return f"[{self._join(value)}]"
        if isinstance(value, (dict, types.MappingProxyType)):
            return "{" + ", ".join(f"{self.text(key)}: {self.text(item)}" for key, item in value.items()) + "}"
        if isinstance(value, (set, frozenset)):
            return "set(" + ", ".join(sorted(map(self.text, value))) + ")"
        if isinstance(value, pytree.TreeSpec):
            return self.tree(value)
        return None

    def _join(self, values: Any) -> str:
        return ", ".join(map(self.text, values))

    def tree(self, spec: pytree.TreeSpec) -> str:
        """How inputs or results are packed."""
        try:
            return pytree.treespec_dumps(spec)
        except (NotImplementedError, TypeError) as error:
            raise self.unsupported(f"a tree of values that cannot be written down ({error})") from None

    def _callable(self, value: Any) -> str:
        if isinstance(value, torch._ops.OpOverload):
            # An operator of another library may change its schema; those of torch do with its version only.
            own = value.namespace in ("aten", "prims", "prim")
            return str(value) if own else f"{value} {value._schema}"
        if isinstance(value, torch._ops.OpOverloadPacket):
            return str(value)
        if isinstance(value, torch._ops.HigherOrderOperator):
            name = str(value.__name__)
            if name.startswith("triton_kernel_wrapper"):
                raise self.unsupported("a Triton kernel, which the graph names by a number of this process")
            return f"higher_order.{name}"
        if isinstance(value, functools.partial):
            return f"partial({self.text(value.func)}, {self.text(value.args)}, {self.text(value.keywords)})"
        return self._function(value)

    def _function(self, value: Any) -> str:
        owner = getattr(value, "__objclass__", value)
        module, name = getattr(owner, "__module__", None), getattr(value, "__qualname__", None)
        if isinstance(value, types.BuiltinFunctionType):
            name = value.__name__  # the qualified one may name how it was bound; a method of an object has no module
        is_method = isinstance(value, types.MethodType) and not isinstance(value.__self__, type)
        if not callable(value) or not isinstance(module, str) or not isinstance(name, str) or is_method:
            raise self.unsupported(f"a value of the class {type(value).__module__}.{type(value).__qualname__}")
        if module.partition(".")[0] in _VERSIONED and "<" not in name:
            return f"{module}.{name}"
        if not isinstance(value, types.FunctionType):
            raise self.unsupported(f"{module}.{name}, whose code cannot be looked at")
        return f"{module}.{name} {self._body(value)}"

    def _body(self, function: types.FunctionType) -> str:
        """A hash of what a Python function does: its code, and the functions and values that this refers to."""
        if function in self._open_functions:
            return f"recursion {self._open_functions.index(function)}"
        self._open_functions.append(function)
        try:
            cells = [cell.cell_contents for cell in function.__closure__ or ()]
            parts = [self._code(function.__code__, function.__globals__)]
            parts += [self.text(part) for part in (function.__defaults__, function.__kwdefaults__, cells)]
        except ValueError:
            raise self.unsupported(f"{function.__qualname__}, whose closure is empty") from None
        finally:
            self._open_functions.pop()
        return blake3("\n".join(parts).encode()).hexdigest()[:16]

    def _code(self, code: types.CodeType, module: dict[str, Any]) -> str:
        loads = (i.argval for i in dis.get_instructions(code) if i.opname in ("LOAD_GLOBAL", "LOAD_NAME"))
        used = []
        for name in sorted(set(loads)):
            value = module.get(name, getattr(builtins, name, None))
            if not isinstance(value, types.ModuleType):
                used.append(f"{name}={self.text(value)}")
            elif value.__name__.partition(".")[0] in _VERSIONED:
                used.append(f"{name}=module {value.__name__}")
            else:
                raise self.unsupported(f"{code.co_name}, which uses the module {value.__name__}")
        constants = [self._code(c, module) if isinstance(c, types.CodeType) else self.text(c) for c in code.co_consts]
        arguments = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        shape = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
        return f"{code.co_code.hex()} {shape} {arguments} {code.co_names} {constants} {used}"
