"""What of a state lies on this rank: the whole checkpoint of those who save without DCP."""

from typing import Any

import torch
from torch.distributed.checkpoint._nested_dict import flatten_state_dict
from torch.distributed.tensor import DTensor


def of(state: dict[str, Any]) -> dict[str, Any]:
    """The values by their full names, each sharded tensor as its local part, which shares memory with it."""
    flat = flatten_state_dict(state)[0]
    return {name: value.to_local().detach() if isinstance(value, DTensor) else value for name, value in flat.items()}


def fill(state: dict[str, Any], loaded: dict[str, Any]) -> None:
    """Copy loaded tensors into those of a state; plain values stay as they are."""
    for name, value in of(state).items():
        if isinstance(value, torch.Tensor):
            value.copy_(loaded[name])
