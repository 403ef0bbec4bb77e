"""The tiers that the adapters see: a local content store, and behind it, if configured, a remote one. They never raise:
a compiler must not fail because of its cache, so a failure is a miss, counted and logged."""

import dataclasses
import logging
import os
import threading
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mithril.cache._at_fork import start_afresh_in_children

if TYPE_CHECKING:
    from mithril.cache._content import ContentStore
    from mithril.cache._remote.copy import RemoteTier


def log() -> logging.Logger:
    """The logger of the cache."""
    return logging.getLogger("mithril.cache")


def warn(message: str, *, stacklevel: int = 3) -> None:
    """A RuntimeWarning that never becomes an error, as it comes in the middle of somebody's import or compile."""
    try:
        warnings.warn(f"mithril.cache: {message}", RuntimeWarning, stacklevel=stacklevel)
    except RuntimeWarning:
        log().warning("%s", message)


@dataclass
class LayerStats:
    """What one layer (namespace) did in this process, or, summed, in all."""

    hits: int = 0
    """Groups found, in either tier."""
    remote_hits: int = 0
    """Of these, found in the remote tier only."""
    misses: int = 0
    puts: int = 0
    errors: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    seconds_saved: float = 0.0
    """What making the groups found took whoever made them. Layers overlap: a graph's time includes its kernels'."""
    seconds_spent: float = 0.0
    """Time in the cache itself."""

    def add(self, other: "LayerStats") -> None:
        """Add the numbers of `other`."""
        for field in dataclasses.fields(self):
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


class Tiers:
    """Groups of files by (namespace, fingerprint, key). Without a store, every get misses and every put is dropped."""

    def __init__(
        self,
        store: "ContentStore | None" = None,
        remote: "RemoteTier | None" = None,
        *,
        lazy_pull: bool = True,
        auto_push: bool = False,
    ) -> None:
        self.store = store
        self.remote = remote
        self.layers: dict[str, LayerStats] = {}
        self.used: dict[tuple[str, str, str], None] = {}
        """(namespace, fingerprint, key) of every group found or kept, in order: what an export of this run holds."""
        self._lazy_pull = lazy_pull
        self._auto_push = auto_push
        self._lock = threading.Lock()
        self._told: set[str] = set()
        self.published: dict[str, LayerStats] = {}
        """What of `layers` is in the statistics of the root already."""
        start_afresh_in_children(self)

    def after_fork(self) -> None:
        """The parent reports its numbers itself."""
        self._lock = threading.Lock()
        self.layers, self.published, self.used = {}, {}, {}

    def get(self, namespace: str, key: str, *, fingerprint: str = "") -> dict[str, bytes] | None:
        """The members of a group, or None."""
        if self.store is None:
            return None
        seen = LayerStats(misses=1)
        start = time.perf_counter()
        members = None
        try:
            members = self._find(namespace, key, fingerprint, seen)
        except Exception as error:
            self._failed(seen, f"get {namespace}", error)
        seen.seconds_spent = time.perf_counter() - start
        self._count(namespace, fingerprint, key, seen)
        log().debug("%s %s %s", "hit" if members else "miss", namespace, key)
        return members

    def _find(self, namespace: str, key: str, fingerprint: str, seen: LayerStats) -> dict[str, bytes] | None:
        assert self.store is not None
        group = self.store.get_group(namespace, key, fingerprint=fingerprint)
        if group is not None:
            record, members = group.record, group.members
        elif self.remote is not None and self._lazy_pull:
            found = self.remote.fetch_group(namespace, fingerprint, key)
            if found is None:
                return None
            record, members = found.record, found.members
            seen.remote_hits = 1
            try:
                self.store.put_sealed_group(found.sealed, members)
            except Exception as error:
                self._failed(seen, f"keep {namespace}", error)
        else:
            return None
        seen.hits, seen.misses = 1, 0
        seen.bytes_read = sum(map(len, members.values()))
        seen.seconds_saved = record.seconds
        return dict(members)

    def put(
        self, namespace: str, key: str, members: Mapping[str, bytes], *, fingerprint: str = "", seconds: float = 0.0
    ) -> None:
        """Keep a group; `seconds` is what it took to make."""
        if self.store is None:
            return
        seen = LayerStats()
        start = time.perf_counter()
        try:
            self.store.put_group(namespace, key, members, fingerprint=fingerprint, seconds=seconds)
            seen.puts, seen.bytes_written = 1, sum(map(len, members.values()))
        except Exception as error:
            self._failed(seen, f"put {namespace}", error)
        if self.remote is not None and self._auto_push:
            try:
                self.remote.push_group(namespace, key, members, fingerprint=fingerprint, seconds=seconds)
            except Exception as error:
                self._failed(seen, f"push {namespace}", error)
        seen.seconds_spent = time.perf_counter() - start
        self._count(namespace, fingerprint, key, seen)

    def _failed(self, seen: LayerStats, what: str, error: Exception) -> None:
        seen.errors += 1
        text = f"{what}: {type(error).__name__}: {error}"
        # A full disk fails every put: say it once.
        level = logging.DEBUG if text in self._told else logging.WARNING
        self._told.add(text)
        log().log(level, "%s", text, exc_info=log().isEnabledFor(logging.DEBUG))

    def _count(self, namespace: str, fingerprint: str, key: str, seen: LayerStats) -> None:
        with self._lock:
            self.layers.setdefault(namespace, LayerStats()).add(seen)
            if seen.hits or seen.puts:
                self.used[namespace, fingerprint, key] = None

    def snapshot(self) -> dict[str, LayerStats]:
        """A copy of the numbers of each layer."""
        with self._lock:
            return {name: dataclasses.replace(stats) for name, stats in self.layers.items()}


_process_tiers: tuple[int, Tiers | None] | None = None


def process_tiers() -> Tiers | None:
    """The tiers of this process: of the active manager, else those that the environment configures, else None."""
    global _process_tiers
    from mithril.cache import _manager
    from mithril.cache._config import CacheConfig, switched_on

    if (active := _manager.active_manager()) is not None:
        return active.tiers
    if _process_tiers is None or _process_tiers[0] != os.getpid():
        tiers = None
        try:
            if switched_on(os.environ, "MITHRIL_CACHE"):
                tiers = _manager.make_tiers(CacheConfig.from_env())
        except Exception as error:
            log().warning("no cache in this process: %s", error)
        _process_tiers = os.getpid(), tiers
    return _process_tiers[1]
