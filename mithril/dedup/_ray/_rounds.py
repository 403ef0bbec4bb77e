"""What Ray runs for partitions, in each round and after the last: a state is a value that each task makes anew."""

from typing import Any

import numpy as np
import ray

from mithril.dedup._ray._components import Components
from mithril.dedup._ray._messages import Announcement, Array, decided
from mithril.dedup._ray._partition import Counts, Partition
from mithril.dedup._ray._shelf import Comparer

__all__ = ["ComponentsActor", "absorb", "contest", "edges", "link", "settle", "undecided"]


@ray.remote
def contest(state: Partition, *rows: Array) -> Partition:
    """Keep all documents but those that index actors have together with others, all of which are given."""
    return state.contest(np.concatenate(rows))


@ray.remote
def undecided(state: Partition) -> int:
    """How many documents are not decided."""
    return state.counts().undecided


@ray.remote(num_returns=3)
def settle(state: Partition, comparer: Comparer, heard: int, *messages: Any) -> tuple[Partition, Announcement, Counts]:
    """A round of star clusters. `messages`: the announcements of all partitions, `heard` in number, and a report of
    each actor."""
    return state.settle(messages[heard:], decided(messages[:heard]), comparer.near)


@ray.remote(num_returns=3)
def link(state: Partition, comparer: Comparer, heard: int, *messages: Any) -> tuple[Partition, Announcement, Counts]:
    """A round of components: all near duplicates are found, nothing is decided."""
    linked, counts = state.link(messages[heard:], comparer.near)
    return linked, decided(()), counts


@ray.remote
def edges(state: Partition) -> tuple[Array, Array]:
    """The near duplicates that `link` found: rows, and the places of others."""
    return (state.edges.documents + state.first_row).astype(np.uint64), state.edges.places


@ray.remote
def absorb(state: Partition, comparer: Comparer, removed: tuple[Array, Array]) -> Partition:
    """Remove documents of the partition as the components say: rows, and those that stay for them."""
    rows, by = removed
    return state.absorb(rows, by, comparer.similarity(rows, by))


class _ComponentsActor:
    """The components of the whole dataset; memory for documents that have an edge only."""

    def __init__(self) -> None:
        self._components = Components()

    def add(self, edges: tuple[Array, Array]) -> None:
        """Edges of a partition."""
        self._components.add(*edges)

    def removed(self, first: int, last: int) -> Any:
        """As `Components.removed`."""
        return self._components.removed(first, last)


ComponentsActor: Any = ray.remote(max_restarts=0)(_ComponentsActor)
