"""What a cache holds and has done.

Hits and misses of all processes that used a root are in one small file of JSON. They are only numbers for people: where
two processes end at once and the file system has no locks, those of one may be lost.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from mithril.cache._tiers import LayerStats, Tiers, log

_MAX_BYTES = 1 << 20


@dataclass(frozen=True)
class CacheStats:
    """What a cache holds and what it has done."""

    root_dir: Path
    max_size_bytes: int
    size_bytes: int
    """Of the store; the folders that torch and Triton work in are not in it (`scan` counts them)."""
    objects: int
    records: int
    quarantined: int
    layers: dict[str, LayerStats]
    """By layer (fx, aot, kernel, triton, …), of this process."""
    total: dict[str, LayerStats]
    """The same of all processes that used this root, as of their end, and of this one so far."""

    @property
    def hits(self) -> int:
        """Groups found by this process."""
        return sum(layer.hits for layer in self.layers.values())

    @property
    def misses(self) -> int:
        """Groups not found by this process."""
        return sum(layer.misses for layer in self.layers.values())

    @property
    def seconds_saved(self) -> float:
        """Compiling that this process did not do, as long as it took whoever did it."""
        return seconds_saved(self.layers)

    @property
    def utilization(self) -> float:
        """Size over quota."""
        return self.size_bytes / self.max_size_bytes

    @property
    def total_hits(self) -> int:
        """Groups found by all processes."""
        return sum(layer.hits for layer in self.total.values())

    @property
    def lru_entry_count(self) -> int:
        """Records in the store."""
        return self.records

    @property
    def lru_size_bytes(self) -> int:
        """Bytes in the store."""
        return self.size_bytes


def seconds_saved(layers: Mapping[str, LayerStats]) -> float:
    """Of layers that overlap the longest counts: a graph's time includes its kernels', autograd's its graphs'."""
    seconds = {name: layer.seconds_saved for name, layer in layers.items()}
    nested = max((seconds.pop(name, 0.0) for name in ("aot", "fx", "kernel")), default=0.0)
    return nested + sum(seconds.values())


def publish(root: Path, tiers: Tiers) -> None:
    """Add what these tiers did since they last published."""
    now = tiers.snapshot()
    if now == tiers.published:
        return
    path = root / "statistics.json"
    try:
        with _locked(path):
            total = _read(path)
            _add(total, now, tiers.published)
            temporary = path.with_name(f".{path.name}.{os.getpid()}")
            temporary.write_text(json.dumps({name: asdict(layer) for name, layer in sorted(total.items())}, indent=1))
            temporary.replace(path)
    except OSError as error:
        log().debug("statistics not written: %s", error)
    tiers.published = now


def total(root: Path, tiers: Tiers) -> dict[str, LayerStats]:
    """The numbers of all processes that have published, and of these tiers."""
    result = _read(root / "statistics.json")
    _add(result, tiers.snapshot(), tiers.published)
    return result


def clear(root: Path, tiers: Tiers) -> None:
    """Start again from zero."""
    (root / "statistics.json").unlink(missing_ok=True)
    tiers.published = tiers.snapshot()


def _add(to: dict[str, LayerStats], now: Mapping[str, LayerStats], before: Mapping[str, LayerStats]) -> None:
    for name, layer in now.items():
        old = before.get(name, LayerStats())
        news = {f.name: getattr(layer, f.name) - getattr(old, f.name) for f in fields(LayerStats)}
        to.setdefault(name, LayerStats()).add(LayerStats(**news))


def _read(path: Path) -> dict[str, LayerStats]:
    result = {}
    try:
        with open(path, "rb") as file:
            read = json.loads(file.read(_MAX_BYTES))
        for name, row in read.items():
            layer = LayerStats()
            for field in fields(LayerStats):
                kind = type(getattr(layer, field.name))
                setattr(layer, field.name, kind(row.get(field.name, 0)))
            result[str(name)] = layer
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return {}
    return result


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path.with_suffix(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
