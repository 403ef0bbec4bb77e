"""The two doors to native code, and the only module that knows them.

`core` is the extension `mithril._core` (no torch); `load_ops()` loads the torch operators of `mithril._ops`.
"""

import functools
import importlib.util
from typing import Any

from mithril._errors import UnsupportedError

try:
    from mithril import _core as core
except ImportError as error:
    raise ImportError(
        f"the native core of mithril cannot be imported ({error}); build it with `pip install -e .` in the source tree"
    ) from error

__all__ = ["core", "load_ops"]


@functools.cache
def load_ops() -> Any:
    """Load the operators once and return their namespace, `torch.ops.mithril`.

    Raises UnsupportedError when torch is not installed, when the operators were not built, or not for this torch.
    """
    try:
        import torch
    except ImportError as error:
        raise UnsupportedError("the operators of mithril need PyTorch, which is not installed") from error
    spec = importlib.util.find_spec("mithril._ops")
    if spec is None or spec.origin is None:
        raise UnsupportedError(
            "mithril was built without its PyTorch operators (mithril._ops); build it again where PyTorch is installed"
        )
    try:
        torch.ops.load_library(spec.origin)  # type: ignore[no-untyped-call]
    except OSError as error:
        raise UnsupportedError(
            f"mithril's operators do not load in PyTorch {torch.__version__}; build mithril again for it ({error})"
        ) from error
    return torch.ops.mithril
