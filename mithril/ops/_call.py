"""Calling the operators: what arrives from C++ as a RuntimeError becomes a MithrilError."""

import re
from typing import Any

import torch

from mithril._errors import CorruptError, InvalidArgumentError, MithrilError, TruncatedError, UnsupportedError
from mithril._native import load_ops

library: Any = load_ops()

_MESSAGE = re.compile(r"mithril:(\w+): (.*)", re.DOTALL)
_KINDS: dict[str, type[MithrilError]] = {
    "invalid_argument": InvalidArgumentError,
    "unsupported": UnsupportedError,
    "truncated": TruncatedError,
    "corrupt": CorruptError,
}


def call(op: Any, *args: Any, **kwargs: Any) -> Any:
    """`op(*args, **kwargs)`, with the errors of mithril."""
    if torch.compiler.is_compiling():  # the graph keeps the call alone
        return op(*args, **kwargs)
    try:
        return op(*args, **kwargs)
    except NotImplementedError as error:  # the dispatcher found no kernel, and says so at length
        raise UnsupportedError(str(error).partition(". ")[0]) from error
    except RuntimeError as error:
        message = _MESSAGE.match(str(error))
        if message is not None:
            raise _KINDS.get(message[1], MithrilError)(message[2]) from None
        # Torch converts dtypes before the operator sees them.
        if "Not yet supported ScalarType" in str(error):
            raise UnsupportedError("the dtype is not supported") from error
        raise
