"""What the caches of vLLM and SGLang share: variables that lead to one folder, and the trees of compiled code in it.

Everything is done between runs of the framework, not within: before the start its trees are restored from the store
(and from the shared store behind it), after the start they are captured.
"""

import dataclasses
import os
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, TypeVar

from mithril._errors import InvalidArgumentError, MithrilError
from mithril.cache._config import GIB, CacheConfig, default_root
from mithril.cache._content import ContentStore
from mithril.cache._frameworks.trees import capture, find_units, restore
from mithril.cache._inductor.host import cpu_tag, library_identity
from mithril.cache._manager import make_tiers
from mithril.cache._record import Record, is_member_name
from mithril.cache._tiers import log
from mithril.cache._working_folders import chosen_folder

_Config = TypeVar("_Config", bound="FrameworkCacheConfig")
_KERNEL = "kernel/"
_TREE = "tree/"


@dataclass(frozen=True)
class FrameworkCacheConfig:
    """Where the cache of a framework lives. The `with_…` methods return a changed copy.

    What is not said here (signing keys, region, endpoint, offline) comes from the environment, as for `CacheConfig`.
    """

    cache_dir: Path = field(
        default_factory=lambda: Path(os.environ.get("MITHRIL_CACHE_DIR") or default_root(os.environ))
    )
    """Root folder: the store, and the folders that the framework works in."""
    max_size_bytes: int = 10 * GIB
    """Quota of the store."""
    remote_url: str | None = None
    """A shared store: `s3://bucket/prefix`, `file:///folder` or a folder."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "cache_dir", Path(os.path.abspath(Path(self.cache_dir).expanduser())))

    def with_max_size_gb(self: _Config, gib: float) -> _Config:
        """With a quota of so many GiB."""
        return dataclasses.replace(self, max_size_bytes=int(gib * GIB))

    def with_remote(self: _Config, url: str) -> _Config:
        """With a shared store."""
        return dataclasses.replace(self, remote_url=url)

    def cache_config(self) -> CacheConfig:
        """The store to use. What is captured goes to the shared store too."""
        environment = CacheConfig.from_env()
        return dataclasses.replace(
            environment,
            root_dir=self.cache_dir,
            max_size_bytes=self.max_size_bytes,
            remote_url=self.remote_url or environment.remote_url,
            auto_push=True,
        )


@dataclass(frozen=True)
class TreeResult:
    """What became of the units of the trees: compiled models, kernels, files."""

    done: int = 0
    kept: int = 0
    """Left as they were: captured before, or there before they could be restored."""
    skipped: tuple[str, ...] = ()
    """Not whole, too large, with paths to other folders, or not to be read or written; the log says why."""


@dataclass(frozen=True)
class FrameworkCacheStats:
    """What the store holds for a framework on this kind of host, and what was found in this process."""

    units: int
    """Parts of trees: compiled models, Triton kernels, files."""
    kernels: int
    """Put by name."""
    size_bytes: int
    hits: int
    misses: int


class FrameworkCacheManager(ABC):
    """Base of `VllmCacheManager` and `SglangCacheManager`."""

    framework: ClassVar[str]
    """The module to import, and the namespace of what is stored."""

    def __init__(self, config: FrameworkCacheConfig) -> None:
        self.config = config
        self.tiers = make_tiers(config.cache_config())
        assert self.tiers.store is not None
        self.store: ContentStore = self.tiers.store

    @abstractmethod
    def environment(self) -> dict[str, str]:
        """Variables of the framework's current releases, with the folders below `cache_dir` that they should name."""

    @abstractmethod
    def trees(self) -> dict[str, Path]:
        """The trees to capture and restore, by name: where the variables say now, or would say."""

    def set_environment(self, *, set_hf_home: bool = False) -> dict[str, str]:
        """Set the variables that are not set yet, for this process and its children; returns those.

        Warns when the framework has been imported: it has read them then. `set_hf_home` also sets HF_HOME, which moves
        the folder of downloaded models: what was downloaded before is downloaded again.
        """
        if self.framework in sys.modules:
            warnings.warn(
                f"{self.framework} was imported before set_environment(), and has read its variables; call it first",
                RuntimeWarning,
                stacklevel=2,
            )
        wanted = self.environment()
        if set_hf_home:
            wanted["HF_HOME"] = str(self.config.cache_dir / "huggingface")
        added = {
            name: value
            for name, value in wanted.items()
            if os.environ.get(name) != value and chosen_folder(name) is None
        }
        os.environ.update(added)
        return added

    def capture(self) -> TreeResult:
        """Store what is in the trees, and push it to the shared store. Call it when the framework has compiled,
        best when it has ended. Raises nothing for what cannot be read or stored."""
        known = {record.key: {member.name: member.address for member in record.members} for record in self._records()}
        fingerprint = _fingerprint()
        done, kept, skipped = 0, 0, []
        for name, folder in self.trees().items():
            for unit in find_units(folder):
                key = f"{_TREE}{name}/{unit}"
                try:
                    members = capture(folder / unit)
                    if {file: ContentStore.compute_address(data) for file, data in members.items()} == known.get(key):
                        kept += 1
                        continue
                    self.store.put_group(self.framework, key, members, fingerprint=fingerprint)
                except MithrilError as error:
                    log().warning("%s: %s is not captured: %s", self.framework, folder / unit, error)
                    skipped.append(f"{name}/{unit}")
                    continue
                done += 1
        self._push()
        return TreeResult(done, kept, tuple(skipped))

    def _push(self) -> None:
        if self.tiers.remote is None:
            return
        from mithril.cache._remote.copy import push

        try:
            failed = push(self.store, self.tiers.remote, [self.framework]).failed
        except MithrilError as error:
            log().warning("%s: nothing reached the shared store: %s", self.framework, error)
        else:
            if failed:
                log().warning("%s: %d groups did not reach the shared store", self.framework, failed)

    def restore(self) -> TreeResult:
        """Put what is stored for this kind of host into the trees, where nothing is yet."""
        trees = self.trees()
        done, kept, skipped = 0, 0, []
        for record in self._records(_TREE):
            name, _, unit = record.key.removeprefix(_TREE).partition("/")
            if name not in trees or not is_member_name(unit):
                continue
            members = self.tiers.get(self.framework, record.key, fingerprint=record.fingerprint)
            try:
                if members is None:
                    skipped.append(f"{name}/{unit}")
                elif restore(members, trees[name] / unit):
                    done += 1
                else:
                    kept += 1
            except MithrilError as error:
                log().warning("%s: %s is not restored: %s", self.framework, unit, error)
                skipped.append(f"{name}/{unit}")
        return TreeResult(done, kept, tuple(skipped))

    def warmup(self) -> TreeResult:
        """Fetch what the shared store holds for the framework, then `restore`."""
        if self.tiers.remote is not None:
            from mithril.cache._remote.copy import warmup

            try:
                failed = warmup(self.store, self.tiers.remote, [self.framework]).failed
            except MithrilError as error:
                log().warning("%s: nothing came from the shared store: %s", self.framework, error)
            else:
                if failed:
                    log().warning("%s: %d groups did not come from the shared store", self.framework, failed)
        return self.restore()

    def put_kernel(self, name: str, data: bytes) -> None:
        """Keep a kernel under a name that says all it depends on: nothing else is part of its key."""
        self.tiers.put(self.framework, _kernel_key(name), {"kernel": data})

    def get_kernel(self, name: str) -> bytes | None:
        """The kernel of that name, or None."""
        return (self.tiers.get(self.framework, _kernel_key(name)) or {}).get("kernel")

    def stats(self) -> FrameworkCacheStats:
        """What the store holds for the framework."""
        trees, kernels = list(self._records(_TREE)), list(self._records(_KERNEL))
        seen = self.tiers.snapshot().get(self.framework)
        return FrameworkCacheStats(
            units=len(trees),
            kernels=len(kernels),
            size_bytes=sum(member.size for record in trees + kernels for member in record.members),
            hits=seen.hits if seen else 0,
            misses=seen.misses if seen else 0,
        )

    def clear(self) -> int:
        """Forget what is stored for the framework here; returns how many groups. Trees and shared store stay."""
        records = list(self._records("", any_host=True))
        for record in records:
            self.store.delete_group(record.namespace, record.key, fingerprint=record.fingerprint)
        return len(records)

    def _records(self, prefix: str = _TREE, *, any_host: bool = False) -> Iterator[Record]:
        for record in self.store.records():
            if record.namespace != self.framework or not record.key.startswith(prefix):
                continue
            if any_host or record.fingerprint == (_fingerprint() if record.key.startswith(_TREE) else ""):
                yield record


def _kernel_key(name: str) -> str:
    if not name:
        raise InvalidArgumentError("a kernel needs a name")
    return f"{_KERNEL}{name}"


def _fingerprint() -> str:
    """What the trees hold beside portable code: machine code for this processor, linked against this C library."""
    return f"{cpu_tag()}; {library_identity()}"


def chosen(variable: str, default: Path) -> Path:
    """The folder that a variable names, or else the default."""
    return Path(os.path.abspath(Path(os.environ.get(variable) or default).expanduser()))
