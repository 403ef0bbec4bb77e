"""What inputs, devices and sizes of a graph are called in its key: by order of appearance, never by given names."""

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from mithril._errors import UnsupportedError

_PLAIN = (Tensor, torch.nn.Parameter, torch.nn.Buffer, FakeTensor)


class Names:
    """Numbers for devices and symbolic sizes: equal ones get equal names."""

    def __init__(self) -> None:
        self.devices: dict[torch.device, str] = {}
        """Every device that appeared, in this order, with its name."""
        self._symbols: dict[Hashable, str] = {}
        self.ranges: dict[str, str] = {}
        """The range of each size that has one: `{"d0": "2..64"}`."""

    def device(self, device: torch.device) -> str:
        """ "cpu", "cuda" when no index is given, else "cuda#0" for the first that appears, "cuda#1" for the next."""
        count = sum(known.type == device.type and known.index is not None for known in self.devices)
        is_numbered = device.type != "cpu" and device.index is not None
        return self.devices.setdefault(device, f"{device.type}#{count}" if is_numbered else device.type)

    def mark(self, mark: Hashable) -> str:
        """The name of the size marked so."""
        return self._symbols.setdefault(mark, f"d{len(self._symbols)}")

    def size(self, size: Any) -> int | str:
        """A size or stride: a number, or an expression of symbols. Adds no guard to a trace."""
        if isinstance(size, torch.SymInt) and not getattr(size.node.expr, "is_number", True):
            return self.expression(size)
        return int(_expression(size))

    def expression(self, value: torch.SymInt | torch.SymFloat | torch.SymBool) -> str:
        """The text of a symbolic value, in the names given here."""
        import sympy  # type: ignore[import-untyped]

        expression = sympy.sympify(value.node.expr)
        renamed = {}
        for symbol in sorted(expression.free_symbols, key=str):
            name = self.mark(str(symbol))
            renamed[symbol] = sympy.Symbol(name, integer=symbol.is_integer)
            bounds = getattr(value.node.shape_env, "var_to_range", {}).get(symbol)
            if bounds is not None:
                self.ranges[name] = f"{bounds.lower}..{bounds.upper}"
        return str(expression.xreplace(renamed))


def describe_tensor(
    tensor: Tensor, names: Names, where: str, traced: object = None, marks: Mapping[int, Hashable] | None = None
) -> dict[str, Any]:
    """dtype, shape, layout in memory, device and requires_grad, as plain values.

    Sizes are symbolic where `tensor` or `traced`, the same input as the tracer saw it, says so, or `marks` does. Raises
    UnsupportedError for tensors that are not plain.
    """
    if type(tensor) not in _PLAIN:
        raise UnsupportedError(f"{where}: a tensor of the class {type(tensor).__name__}")
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested:
        raise UnsupportedError(f"{where}: a {tensor.layout} tensor" + " (quantized)" * tensor.is_quantized)
    sizes: list[Any] = list(tensor.shape)
    if isinstance(traced, Tensor) and traced.dim() == len(sizes):
        sizes = [t if isinstance(t, torch.SymInt) else s for s, t in zip(sizes, traced.shape, strict=True)]
    shape = [
        names.mark(("mark", marks[n])) if marks and n in marks else names.size(size) for n, size in enumerate(sizes)
    ]
    flags = {"conjugate": tensor.is_conj(), "negative": tensor.is_neg()}
    return {
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "shape": shape,
        "layout": _layout(tensor, names),
        "device": names.device(tensor.device),
        "requires_grad": str(tensor.requires_grad).lower(),
        **{name: "true" for name, value in flags.items() if value},
    }


def _layout(tensor: Tensor, names: Names) -> str:
    """ "contiguous", "order 0, 2, 3, 1" for other dense ones (slowest first), or the strides.

    An order says the same for every size, as the strides of a dynamic shape would not.
    """
    hints, step_hints = [_hint(size) for size in tensor.shape], [_hint(stride) for stride in tensor.stride()]
    if 0 in hints:
        return "contiguous"
    if None not in hints and None not in step_hints:
        # The stride of a dimension of size 1 means nothing.
        order = sorted((n for n, size in enumerate(hints) if size != 1), key=lambda n: -(step_hints[n] or 0))
        step: Any = 1
        for n in reversed(order):
            if _expression(tensor.stride(n)) != step:
                break
            step = step * _expression(tensor.shape[n])
        else:
            return "contiguous" if order == sorted(order) else "order " + ", ".join(map(str, order))
    return "strides " + ", ".join(str(names.size(stride)) for stride in tensor.stride())


def _expression(size: Any) -> Any:
    return size.node.expr if isinstance(size, torch.SymInt) else size


def _hint(size: Any) -> int | None:
    """The size that the tracer saw, None where it saw none. Asking adds no guard to the trace."""
    hint = size.node.hint if isinstance(size, torch.SymInt) else size
    return int(hint) if isinstance(hint, int) else None
