"""All index actors: filled, asked, and made again when they are lost."""

import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import ray
from ray.exceptions import RayActorError

from mithril._errors import MithrilError
from mithril.dedup._config import DedupConfig
from mithril.dedup._options import options_of
from mithril.dedup._ray._blocks import Partitions
from mithril.dedup._ray._index_actor import IndexActor, route

__all__ = ["Index", "references"]

_log = logging.getLogger("mithril.dedup")
_MEMBERS_A_PASS = 1 << 25  # of documents' band keys, that an actor takes before it drops those that nobody shares


def references(remote: Any, count: int) -> Any:
    """The remote function or method, set to return so many references; always as a list."""
    call = remote.options(num_returns=count).remote
    return lambda *arguments: [call(*arguments)] if count == 1 else call(*arguments)


class Index:
    """Actors named `name-1` and on, each of which owns a range of the hashes of band keys."""

    def __init__(
        self, name: str, count: int, sketches: Sequence[Any], partitions: Partitions, config: DedupConfig
    ) -> None:
        self._sketches = sketches
        self._partitions = partitions
        self._config = config
        self._name = name
        self._made = 0
        self._actors = [self._make() for _ in range(count)]

    def fill(self, states: Sequence[Any]) -> list[list[Any]]:
        """Give all actors their keys. Returns references, by actor and by partition: rows that share keys with
        others."""
        self._fill(states, range(len(self._actors)))
        return [references(actor.rows, len(self._partitions))() for actor in self._actors]

    def propose(self, number: int, announcements: Sequence[Any]) -> list[list[Any]]:
        """Start a round. Returns references, by actor and by partition, to reports."""
        return [references(actor.propose, len(self._partitions))(number, *announcements) for actor in self._actors]

    def mend(self, states: Sequence[Any]) -> int:
        """Make lost actors again, with what is not decided in `states`. Returns how many were lost."""
        mended = 0
        while lost := [number for number, actor in enumerate(self._actors) if not _is_alive(actor)]:
            mended += len(lost)
            if mended > 2 * len(self._actors):
                raise MithrilError("index actors are lost again and again, before they are filled")
            for number in lost:
                _log.warning("index actor %d of %d was lost; it is made again", number + 1, len(self._actors))
                self._actors[number] = self._make()
            with suppress(RayActorError):
                self._fill(states, lost)
        return mended

    def full(self) -> int:
        """How many times a document found its bucket full and was not entered."""
        return sum(ray.get([actor.full.remote() for actor in self._actors]))

    def close(self) -> None:
        """End the actors."""
        for actor in self._actors:
            ray.kill(actor)

    def _make(self) -> Any:
        self._made += 1
        options = {"name": f"{self._name}-{self._made}", "scheduling_strategy": "SPREAD"}
        return IndexActor.options(**options).remote(self._partitions.bounds, star=self._config.clusters == "star")

    def _fill(self, states: Sequence[Any], wanted: Sequence[int]) -> None:
        bands = options_of(self._config).bands
        members = self._partitions.rows * bands // len(self._actors)
        step = max(1, bands * _MEMBERS_A_PASS // max(members, 1))
        actors = [self._actors[number] for number in wanted]
        ray.get([actor.clear.remote() for actor in actors])
        for first in range(0, bands, step):
            self._route(states, range(first, min(first + step, bands)), list(wanted))
            ray.get([actor.end_pass.remote() for actor in actors])

    def _route(self, states: Sequence[Any], bands: range, wanted: list[int]) -> None:
        starts, actors = self._partitions.starts, list(self._actors)
        sent = [
            route.remote(self._sketches[block], state, block, int(starts[block]), self._config, bands, actors, wanted)
            for run, state in zip(self._partitions.runs, states, strict=True)
            for block in run
        ]
        ray.get(sent)


def _is_alive(actor: Any) -> bool:
    try:
        ray.get(actor.full.remote())
    except RayActorError:
        return False
    return True
