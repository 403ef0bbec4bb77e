"""The planners of `save_compressed` and `load_compressed`.

They are given the state_dict themselves and ask its Stateful objects while planning: there a failure reaches all ranks.
"""

import io
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributed._shard.sharded_tensor.api import ShardedTensor
from torch.distributed.checkpoint.default_planner import (
    DefaultLoadPlanner,
    DefaultSavePlanner,
    create_default_local_load_plan,
)
from torch.distributed.checkpoint.metadata import STORAGE_TYPES, Metadata, StorageMeta, TensorStorageMetadata
from torch.distributed.checkpoint.planner import LoadItemType, LoadPlan, ReadItem
from torch.distributed.checkpoint.stateful import Stateful

from mithril._errors import CorruptError, InvalidArgumentError, NotFoundError
from mithril.checkpoint._dcp_errors import picklable_errors

_NAMES_SHOWN = 20


class CompressedSavePlanner(DefaultSavePlanner):
    def __init__(self, state_dict: Mapping[str, Any]) -> None:
        super().__init__()
        self._source = state_dict

    def set_up_planner(
        self, state_dict: dict[str, Any], storage_meta: StorageMeta | None = None, is_coordinator: bool = False
    ) -> None:
        with picklable_errors():
            super().set_up_planner(_ask(self._source), storage_meta, is_coordinator)


class _Difference(NamedTuple):
    """Names that only the state_dict of a rank has, and that only the checkpoint has."""

    missing: frozenset[str]
    unexpected: frozenset[str]


class CompressedLoadPlanner(DefaultLoadPlanner):
    def __init__(
        self, state_dict: MutableMapping[str, Any], *, strict: bool, keys: Iterable[str] | None, allow_cast: bool
    ) -> None:
        super().__init__()
        if isinstance(keys, str):
            raise InvalidArgumentError(f"keys must be several names, not the string {keys!r}")
        self._source = state_dict
        self._strict = strict
        self._keys = None if keys is None else frozenset(keys)
        self._allow_cast = allow_cast
        self._loaded: set[Any] = set()  # first elements of the paths

    def set_up_planner(
        self, state_dict: dict[str, Any], metadata: Metadata | None = None, is_coordinator: bool = False
    ) -> None:
        with picklable_errors():
            super().set_up_planner(_ask(self._source), metadata, is_coordinator)

    def create_local_plan(self) -> LoadPlan:
        assert self.metadata is not None
        stored = self.metadata.state_dict_metadata
        wanted = {fqn: obj for fqn, obj in self.state_dict.items() if self._selects(fqn)}
        found = {fqn: obj for fqn, obj in wanted.items() if fqn in stored}
        for fqn, obj in found.items():
            self._check(fqn, obj, stored[fqn])
        plan = create_default_local_load_plan(found, self.metadata, strict=False)
        _require_complete(plan, found)
        self._loaded = {self.mappings[fqn][0] for fqn in found}
        if not self._strict:
            return plan
        unexpected = {fqn for fqn in stored if fqn not in wanted and self._selects(fqn)}
        missing = (wanted.keys() - found.keys()) | self._unused_keys([*stored, *wanted])
        return replace(plan, planner_data=_Difference(frozenset(missing), frozenset(unexpected)))

    def create_global_plan(self, global_plan: list[LoadPlan]) -> list[LoadPlan]:
        if self._strict:
            differences = [plan.planner_data for plan in global_plan]
            missing = frozenset.union(*(each.missing for each in differences))
            unexpected = frozenset.intersection(*(each.unexpected for each in differences))
            if missing or unexpected:
                raise NotFoundError(
                    "the state_dict and the checkpoint differ: "
                    + "; ".join(
                        f"{len(names)} only in the {place}: {_shown(names)}"
                        for place, names in (("state_dict", missing), ("checkpoint", unexpected))
                        if names
                    )
                )
        return super().create_global_plan(global_plan)

    def load_bytes(self, read_item: ReadItem, value: io.BytesIO) -> None:
        """Put a value where it belongs, under the key that the state_dict has: flat names spell all keys as strings."""
        fqn = read_item.dest_index.fqn
        loaded = torch.load(value, weights_only=False)  # the reader pickled it itself, or has checked it
        self.state_dict[fqn] = loaded
        *path, last = self.mappings[fqn]
        place: Any = self.original_state_dict
        for step in path:
            place = place[_key(place, step)]
        place[_key(place, last)] = loaded

    def hand_over(self) -> None:
        """After loading: give values and states to the state_dict of the caller."""
        for key, loaded in self.original_state_dict.items():
            if self._keys is not None and str(key) not in self._loaded:
                continue
            if isinstance(self._source[key], Stateful):
                self._source[key].load_state_dict(loaded)
            else:
                self._source[key] = loaded

    def _selects(self, fqn: str) -> bool:
        return self._keys is None or any(prefix in self._keys for prefix in _prefixes(fqn))

    def _unused_keys(self, fqns: Iterable[str]) -> frozenset[str]:
        return (self._keys or frozenset()).difference(*map(_prefixes, fqns))

    def _check(self, fqn: str, obj: Any, stored: STORAGE_TYPES) -> None:
        """Compare kind, shape and dtype."""
        is_tensor = isinstance(obj, Tensor) or hasattr(obj, "__create_chunk_list__")
        if is_tensor != isinstance(stored, TensorStorageMetadata):
            here, there = ("a tensor", "a value") if is_tensor else (type(obj).__name__, "a tensor")
            raise InvalidArgumentError(f"{fqn!r} is {here} in the state_dict, but {there} in the checkpoint")
        if not isinstance(stored, TensorStorageMetadata):
            return
        if obj.size() != stored.size:
            raise InvalidArgumentError(
                f"{fqn!r} has the shape {tuple(obj.size())} in the state_dict, "
                f"but {tuple(stored.size)} in the checkpoint"
            )
        if obj.dtype != stored.properties.dtype and not self._allow_cast:
            raise InvalidArgumentError(
                f"{fqn!r} is {obj.dtype} in the state_dict, but {stored.properties.dtype} in the checkpoint; "
                "allow_cast=True would convert it"
            )


def _ask(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """A copy with the states of Stateful objects, asked in the same order on all ranks: it may be collective."""
    return {
        key: state_dict[key].state_dict() if isinstance(state_dict[key], Stateful) else state_dict[key]
        for key in sorted(state_dict, key=str)
    }


def _require_complete(plan: LoadPlan, found: Mapping[str, Any]) -> None:
    """The stored chunks must fill the local shards."""
    planned = Counter[str]()
    for item in plan.items:
        if item.type == LoadItemType.TENSOR:
            planned[item.dest_index.fqn] += math.prod(item.lengths)
    for fqn, obj in found.items():
        wanted = _local_elements(obj)
        if planned[fqn] != wanted:
            raise CorruptError(f"the checkpoint holds {planned[fqn]} of the {wanted} elements of {fqn!r} wanted here")


def _local_elements(obj: Any) -> int:
    if hasattr(obj, "__create_chunk_list__"):
        return sum(math.prod(chunk.sizes) for chunk in obj.__create_chunk_list__())
    if isinstance(obj, ShardedTensor):
        return sum(shard.tensor.numel() for shard in obj.local_shards())
    return obj.numel() if isinstance(obj, Tensor) else 0


def _prefixes(fqn: str) -> Iterator[str]:
    while fqn:
        yield fqn
        fqn = fqn.rpartition(".")[0]


def _shown(names: Iterable[str]) -> str:
    ordered = sorted(names)
    return ", ".join(map(repr, ordered[:_NAMES_SHOWN])) + (", …" if len(ordered) > _NAMES_SHOWN else "")


def _key(place: Any, step: str | int) -> Any:
    """The key of a mapping, or index of a list, that a step of a flat name means."""
    if not isinstance(place, Mapping) or step in place:
        return step
    return next((key for key in place if str(key) == step), step)
