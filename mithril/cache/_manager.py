"""CacheManager: puts the cache behind torch.compile and Triton in this process, and says how it does."""

import atexit
import collections
import contextlib
import logging
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from mithril._errors import InvalidArgumentError, UnsupportedError, UntrustedError
from mithril.cache import _statistics
from mithril.cache._bundle import BundleStats, export_bundle, import_bundle
from mithril.cache._config import CacheConfig
from mithril.cache._content import ContentStore, GcResult
from mithril.cache._inductor.artifacts import load_torch_artifacts, save_torch_artifacts
from mithril.cache._inductor.host import cpu_tag
from mithril.cache._inductor.import_hook import ImportHook
from mithril.cache._statistics import CacheStats
from mithril.cache._tiers import Tiers, log, warn
from mithril.cache._trust import Trust
from mithril.cache._working_folders import chosen_folder, files_below, make_private, oldest_beyond

if TYPE_CHECKING:
    from mithril.cache._inductor.layer import InductorLayer
    from mithril.cache._remote.copy import PullStats, PushStats, RemoteTier, SyncStats

_TRITON_MANAGER = "mithril.cache._frameworks.triton_manager:MithrilCacheManager"
_active: "CacheManager | None" = None


def active_manager() -> "CacheManager | None":
    """The manager that serves this process, if any."""
    return _active


@dataclass(frozen=True)
class ScanResult:
    """Files below the root: the store, and the folders that torch and Triton work in."""

    files_found: int
    total_size_bytes: int


class CacheManager:
    """Serves torch.compile and Triton from one store, as `config` says, from construction until `deactivate`.

    Make it before the first compiled call; graphs compiled before are not cached, and it warns of them. A config with
    neither `inductor` nor `triton` serves nothing: such a manager only looks after the store. It is a context manager.
    Of several in one process the newest serves.
    """

    def __init__(self, config: CacheConfig) -> None:
        self.config = config
        self.trust = make_trust(config)
        self.tiers = make_tiers(config)
        store = self.tiers.store
        assert store is not None
        self.store: ContentStore = store
        self._layer: InductorLayer | None = None
        self._undo: list[Callable[[], None]] = []
        self._accesses: collections.OrderedDict[str, int] = collections.OrderedDict()
        if (config.inductor or config.triton) and _active is not None:
            _active.deactivate()
        self._inductor_dir = self._working_folder("TORCHINDUCTOR_CACHE_DIR", f"inductor/{cpu_tag()}")
        self._triton_dir = self._working_folder("TRITON_CACHE_DIR", "triton")
        self._pid = os.getpid()
        self._needs_private = self.trust.policy == "require"
        if config.inductor or config.triton:
            try:
                self._activate()
            except BaseException:
                self._restore()
                raise

    # --- activation ---------------------------------------------------------------------------------------------------

    def _activate(self) -> None:
        global _active
        for name, value in self.config.to_env().items():
            self._set_environment(name, value)
        if self.config.inductor:
            make_private(self.inductor_dir(), required=self._needs_private)
            self._set_environment("TORCHINDUCTOR_CACHE_DIR", str(self.inductor_dir()))
            _warn_if_late()
            hook = ImportHook("torch._inductor.codecache", self._install_inductor)
            self._undo.append(hook.remove)
        if self.config.triton:
            make_private(self.triton_dir(), required=self._needs_private)
            self._set_environment("TRITON_CACHE_DIR", str(self.triton_dir()))
            self._set_environment("TRITON_CACHE_MANAGER", _TRITON_MANAGER)
        atexit.register(self.deactivate)
        _active = self

    def _working_folder(self, variable: str, name: str) -> Path:
        """Below the root; of a root that cannot be written, as in an image, below the temporary folder."""
        chosen = chosen_folder(variable)
        if chosen is not None:
            return chosen
        folder = self.config.root_dir / name
        nearest = next(path for path in (folder, *folder.parents) if path.exists())
        return folder if os.access(nearest, os.W_OK) else Path(tempfile.gettempdir(), f"mithril_{os.getuid()}", name)

    def _set_environment(self, name: str, value: str) -> None:
        """For this process and its children, until deactivation."""
        before = os.environ.get(name)
        os.environ[name] = value

        def undo() -> None:
            if os.environ.get(name) != value:
                return
            if before is None:
                del os.environ[name]
            else:
                os.environ[name] = before

        self._undo.append(undo)

    def _install_inductor(self) -> None:
        from mithril.cache._inductor.layer import InductorLayer

        layer = InductorLayer(self.tiers, worker=_in_compile_worker())
        self._undo.append(layer.remove)
        self._layer = layer
        try:
            layer.install()
        except Exception as error:
            layer.remove()
            warn(f"torch.compile runs without it: {type(error).__name__}: {error}")

    def deactivate(self) -> None:
        """Write what is pending, and put everything back: torch's functions and settings, and the environment."""
        global _active
        if os.getpid() != self._pid:  # a fork inherits the manager, but it is its parent's
            return
        try:
            self.flush()
            self._trim()
        finally:
            self._restore()
        atexit.unregister(self.deactivate)
        if _active is self:
            _active = None

    def _restore(self) -> None:
        while self._undo:
            self._undo.pop()()
        self._layer = None

    def flush(self) -> None:
        """Store kernels that have been compiled, wait (briefly) for uploads, and add the numbers to the root's."""
        if os.getpid() != self._pid:
            return
        self._store_kernels()
        if self.tiers.remote is not None:
            self.tiers.remote.flush()
        _statistics.publish(self.config.root_dir, self.tiers)

    def _store_kernels(self) -> None:
        if self._layer is not None:
            self._layer.graph_stored()

    @property
    def is_active(self) -> bool:
        """Whether it serves this process."""
        return _active is self

    def __enter__(self) -> "CacheManager":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.deactivate()

    # --- where --------------------------------------------------------------------------------------------------------

    def inductor_dir(self) -> Path:
        """Where torch.compile works: one folder for each kind of processor, since code for one can crash on another.

        TORCHINDUCTOR_CACHE_DIR has its way where the user set it.
        """
        return self._inductor_dir

    def triton_dir(self) -> Path:
        """Where Triton works. TRITON_CACHE_DIR has its way where the user set it."""
        return self._triton_dir

    # --- what it holds ------------------------------------------------------------------------------------------------

    def stats(self) -> CacheStats:
        """What the store holds and what the layers have done. Counts the files: 3 µs each."""
        held = self.store.stats()
        layers = self.tiers.snapshot()
        return CacheStats(
            root_dir=self.config.root_dir,
            max_size_bytes=self.config.max_size_bytes,
            size_bytes=held.bytes,
            objects=held.objects,
            records=held.records,
            quarantined=held.quarantined,
            layers=layers,
            total=_statistics.total(self.config.root_dir, self.tiers),
        )

    def scan(self) -> ScanResult:
        """Count all files below the root."""
        sizes = [size for _, size, _ in files_below(self.config.root_dir)]
        return ScanResult(len(sizes), sum(sizes))

    def gc(self) -> GcResult:
        """Bring the store back under its quota, drop what is damaged or left over, and let torch's and Triton's own
        folders have what remains of the quota: of their files the oldest go first, none younger than an hour."""
        result = self.store.gc()
        self._trim(every_seconds=0)
        return result

    def _trim(self, every_seconds: float = 3600) -> None:
        """Remove the oldest working files beyond what the store leaves of the quota, unless it was done just now."""
        mark = self.config.root_dir / "trimmed"
        with contextlib.suppress(OSError):
            if mark.exists() and time.time() - mark.stat().st_mtime < every_seconds:
                return
            mark.touch()
            room = max(0, self.config.max_size_bytes - self.store.stats().bytes)
            for path in oldest_beyond([self.config.root_dir / name for name in ("inductor", "triton")], room):
                with contextlib.suppress(OSError):
                    path.unlink()

    def clear(self) -> None:
        """Remove everything: the store, the working folders, the statistics."""
        self.store.clear()
        for name in ("inductor", "triton"):
            shutil.rmtree(self.config.root_dir / name, ignore_errors=True)
        _statistics.clear(self.config.root_dir, self.tiers)
        if self.is_active:
            for folder, on in ((self.inductor_dir(), self.config.inductor), (self.triton_dir(), self.config.triton)):
                if on:
                    make_private(folder, required=self._needs_private)

    def record_entry(self, key: str, size: int) -> list[str]:
        """Note an entry that the caller keeps elsewhere; returns the keys that a least-recently-used list of
        `max_size_bytes` would drop for it. Kept in memory only, deletes nothing: for programs that had such a list."""
        self._accesses.pop(key, None)
        self._accesses[key] = size
        used = sum(self._accesses.values())
        evicted = []
        while used > self.config.max_size_bytes and len(self._accesses) > 1:
            oldest, freed = self._accesses.popitem(last=False)
            used -= freed
            evicted.append(oldest)
        return evicted

    def record_access(self, key: str) -> None:
        """Note that an entry of `record_entry` was used."""
        if key in self._accesses:
            self._accesses.move_to_end(key)

    # --- elsewhere ----------------------------------------------------------------------------------------------------

    def export(self, path: str | os.PathLike[str], *, everything: bool = False) -> BundleStats:
        """Write what this process has used, or everything, to one file, signed if there is a key."""
        self._store_kernels()
        return export_bundle(self.store, path, None if everything else list(self.tiers.used), trust=self.trust)

    def import_(self, path: str | os.PathLike[str]) -> BundleStats:
        """Put what such a file holds into the store.

        Raises CorruptError, TruncatedError, UntrustedError, StorageError."""
        return import_bundle(self.store, path, trust=self.trust)

    def save_torch_artifacts(self) -> bytes | None:
        """torch's own portable artifacts of this process (graphs, no CPU kernels), in one blob that loads completely,
        however often it was saved before. None when there are none."""
        return save_torch_artifacts()

    def load_torch_artifacts(self, blob: bytes) -> dict[str, int]:
        """Load such a blob, of whoever's making, before the first compiled call; returns the number of artifacts of
        each kind. Raises UntrustedError where signatures are required, as these blobs have none, and CorruptError.
        """
        if self.trust.policy == "require":
            raise UntrustedError("torch's artifacts carry no signature, and one is required")
        return load_torch_artifacts(blob)

    def push(self, namespaces: Iterable[str] | None = None) -> "PushStats":
        """Copy to the shared store what it lacks, of all layers or of these. Raises UnsupportedError without one,
        StorageError when it cannot be listed."""
        from mithril.cache._remote.copy import push

        self._store_kernels()
        return push(self.store, self.remote, namespaces)

    def pull(self, namespaces: Iterable[str] | None = None) -> "PullStats":
        """Copy from the shared store what is missing here, until the quota is reached. Raises as `push` does."""
        from mithril.cache._remote.copy import warmup

        return warmup(self.store, self.remote, namespaces)

    def sync(self) -> "SyncStats":
        """`pull`, then `push`."""
        from mithril.cache._remote.copy import sync

        self._store_kernels()
        return sync(self.store, self.remote)

    def warmup(self, namespaces: Iterable[str] | None = None) -> "PullStats":
        """`pull`, before the first compiled call: then nothing is looked up one by one."""
        return self.pull(namespaces)

    @property
    def remote(self) -> "RemoteTier":
        """The shared store. Raises UnsupportedError when none is configured, or when offline."""
        if self.tiers.remote is None:
            raise UnsupportedError(
                "MITHRIL_OFFLINE is set"
                if self.config.offline
                else "no shared store: set MITHRIL_REMOTE_URL, or use --remote or with_remote"
            )
        return self.tiers.remote


def make_trust(config: CacheConfig) -> Trust:
    """The keys and the policy that a config names."""
    return Trust.from_file(config.key_file, config.trust)


def make_tiers(config: CacheConfig) -> Tiers:
    """The stores that a config names."""
    level = logging.getLevelName(config.log_level.upper())
    if not isinstance(level, int):
        raise InvalidArgumentError(f"log level {config.log_level!r} (MITHRIL_INDUCTOR_LOG_LEVEL) is none of logging's")
    log().setLevel(level)
    trust = make_trust(config)
    config.root_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    store = ContentStore(
        config.root_dir / "store", max_size_bytes=config.max_size_bytes, max_files=config.max_files, trust=trust
    )
    remote = None
    if config.remote_url and not config.offline:
        from mithril.cache._remote.copy import RemoteTier
        from mithril.storage import open_store

        byte_store = open_store(config.remote_url, region=config.remote_region, endpoint=config.remote_endpoint)
        remote = RemoteTier(byte_store, trust, read_only=config.remote_read_only)
    return Tiers(store, remote, lazy_pull=config.lazy_pull, auto_push=config.auto_push)


def activate_from_environment() -> None:
    """What `import torch` calls in every process: serve it if the environment says so. Warns, never raises."""
    try:
        CacheManager(CacheConfig.from_env())
    except Exception as error:
        warn(f"off: {type(error).__name__}: {error}")


def _in_compile_worker() -> bool:
    return Path(sys.argv[0] if sys.argv else "").parts[-2:] == ("compile_worker", "__main__.py")


def _warn_if_late() -> None:
    utils = sys.modules.get("torch._dynamo.utils")
    counters = getattr(utils, "counters", None)
    graphs = counters["stats"]["unique_graphs"] if counters else 0
    if graphs:
        warn(
            f"{graphs} graphs were compiled before the cache was activated and are not in it; make the CacheManager "
            "before the first compiled call, or set MITHRIL_CACHE=1",
            stacklevel=5,
        )
