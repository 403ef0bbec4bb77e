"""`examine`: everything that the cache depends on, looked at one by one."""

import contextlib
import dataclasses
import difflib
import fcntl
import functools
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mithril._errors import InvalidArgumentError, MithrilError
from mithril.cache._config import ENVIRONMENT, CacheConfig
from mithril.cache._doctor_torch import examine_torch
from mithril.cache._trust import Trust

Status = Literal["ok", "warning", "problem", "skipped"]

# Variables that the rest of mithril and its build read.
_OTHER_VARIABLES = (
    "MITHRIL_FORCE_ISA",
    "MITHRIL_NO_SIMD",
    "MITHRIL_NO_TORCH",
    "MITHRIL_NUM_THREADS",
    "MITHRIL_WERROR",
)
_NETWORK = ("nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "lustre", "gpfs", "beegfs", "afs")
_PASSING = ("tmpfs", "ramfs", "overlay")
_MIN_FREE_BYTES = 256 << 20
_MIN_FREE_INODES = 10_000
_MAX_SKEW_SECONDS = 2.0
_PROBE = "doctor"


@dataclass(frozen=True)
class Check:
    """One thing looked at."""

    name: str
    status: Status
    """A `problem` keeps something from working; a `warning` costs speed or safety."""
    finding: str


Finding = tuple[Status, str]


def examine(
    environment: Mapping[str, str], *, root_dir: str | None = None, remote_url: str | None = None
) -> tuple[Check, ...]:
    """Look at the cache that the environment configures; `root_dir` and `remote_url` take the place of its variables.

    Imports torch in a process of its own, which takes seconds. What is looked at is named by stable names; nothing is
    raised.
    """
    checks = [_check("variables", functools.partial(_variables, environment))]
    try:
        config = CacheConfig.from_env(environment)
        if root_dir is not None:
            config = dataclasses.replace(config, root_dir=Path(root_dir))
        if remote_url is not None:
            config = dataclasses.replace(config, remote_url=remote_url)
    except InvalidArgumentError as error:
        return (*checks, Check("configuration", "problem", str(error)))
    of_the_config: dict[str, Callable[[CacheConfig], Finding]] = {
        "folder": _folder,
        "permissions": _permissions,
        "file system": _file_system,
        "locks": _locks,
        "space": _space,
        "clock": _clock,
        "keys": _keys,
        "shared store": _shared_store,
    }
    for name, look in of_the_config.items():
        if name in ("locks", "clock") and checks[1].status != "ok":
            checks.append(Check(name, "skipped", "the folder cannot be written"))
            continue
        checks.append(_check(name, functools.partial(look, config)))
    checks += [Check(name, status, finding) for name, status, finding in examine_torch(environment)]
    return tuple(checks)


def _check(name: str, look: Callable[[], Finding]) -> Check:
    try:
        return Check(name, *look())
    except MithrilError as error:
        return Check(name, "problem", str(error))
    except Exception as error:
        return Check(name, "problem", f"{type(error).__name__}: {error}")


def _variables(environment: Mapping[str, str]) -> Finding:
    known = [*(name for name, _, _ in ENVIRONMENT), *_OTHER_VARIABLES]
    ours = sorted(name for name in environment if name.startswith("MITHRIL_") and environment[name])
    unknown = [name for name in ours if name not in known]
    if unknown:
        # Compared without what all have in common.
        rests = {name.removeprefix("MITHRIL_"): name for name in known}
        near = {name: difflib.get_close_matches(name.removeprefix("MITHRIL_"), rests, 1) for name in unknown}
        meant = {name: [rests[rest] for rest in found] for name, found in near.items()}
        names = ", ".join(name + (f" (is {found[0]} meant?)" if found else "") for name, found in meant.items())
        return "problem" if any(meant.values()) else "warning", f"nothing reads {names}"
    return "ok", f"set: {', '.join(ours)}" if ours else "none is set"


def _place(config: CacheConfig) -> Path:
    """The root, or what is there of its path."""
    place = config.root_dir
    while not place.exists() and place != place.parent:
        place = place.parent
    return place


@contextlib.contextmanager
def _probe(config: CacheConfig) -> Iterator[Path]:
    """A new file in the root, or where it would be made."""
    path = _place(config) / f".{_PROBE}.{os.getpid()}.{secrets.token_hex(4)}"
    path.touch(mode=0o600, exist_ok=False)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _folder(config: CacheConfig) -> Finding:
    try:
        with _probe(config) as path:
            path.write_bytes(b"mithril")
            moved = path.with_name(f"{path.name}.moved")
            path.rename(moved)
            moved.unlink()
    except OSError as error:
        return "problem", f"{config.root_dir}: cannot be written: {error.strerror}"
    if not config.root_dir.is_dir():
        return "ok", f"{config.root_dir}: is made at first use"
    return "ok", str(config.root_dir)


def _permissions(config: CacheConfig) -> Finding:
    if not config.root_dir.is_dir():
        return "skipped", "no folder yet"
    problems, warnings = [], []
    for folder in (config.root_dir, *(config.root_dir / name for name in ("store", "inductor", "triton"))):
        if not folder.is_dir():
            continue
        status = folder.stat()
        mode = stat.S_IMODE(status.st_mode)
        if status.st_uid not in (os.geteuid(), 0):
            warnings.append(f"{folder} belongs to user {status.st_uid}")
        if mode & 0o002 and not mode & stat.S_ISVTX:
            problems.append(f"{folder} can be written by all ({mode:04o})")
        elif mode & 0o022:
            warnings.append(f"{folder} can be written by others ({mode:04o})")
    if problems or warnings:
        text = f"{'; '.join(problems + warnings)}: whose code would run here"
        return ("problem" if problems else "warning"), text
    return "ok", f"only user {config.root_dir.stat().st_uid} can write"


def _file_system(config: CacheConfig) -> Finding:
    place = _place(config)
    kind = _file_system_type(place)
    flags = os.statvfs(place).f_flag
    if flags & os.ST_RDONLY:
        return "problem", f"{kind}, mounted read-only: nothing can be stored"
    if flags & os.ST_NOEXEC:
        return "problem", f"{kind}, mounted noexec: compiled kernels cannot be loaded from it"
    if kind in _NETWORK or kind.startswith("fuse"):
        return "warning", f"{kind}: a local folder with a shared store behind it is faster"
    if kind in _PASSING:
        return "warning", f"{kind}: what is stored is lost with the machine or container"
    return "ok", kind


def _file_system_type(place: Path) -> str:
    """By the longest mount point above; the last one mounted there counts."""
    real = os.path.realpath(place)
    best, kind = "", "unknown file system"
    with open("/proc/self/mountinfo", "rb") as file:
        for line in file:
            left, _, right = line.partition(b" - ")
            octal = re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), left.split(b" ")[4])
            mounted = os.fsdecode(octal)
            if len(mounted) >= len(best) and os.path.commonpath((mounted, real)) == mounted:
                best, kind = mounted, os.fsdecode(right.split(b" ")[0])
    return kind


def _locks(config: CacheConfig) -> Finding:
    with _probe(config) as path, open(path, "rb") as first, open(path, "rb") as second:
        try:
            fcntl.flock(first, fcntl.LOCK_EX)
        except OSError as error:
            return "warning", f"flock: {error.strerror}; two processes may evict, or compile one kernel, at once"
        try:
            fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return "ok", "flock keeps processes apart"
    return "warning", "flock does nothing; two processes may evict, or compile one kernel, at once"


def _space(config: CacheConfig) -> Finding:
    status = os.statvfs(_place(config))
    free = status.f_bavail * status.f_frsize
    text = f"{free / (1 << 30):.1f} GiB free, {status.f_favail if status.f_files else 'any number of'} files more"
    if free < _MIN_FREE_BYTES or (status.f_files and status.f_favail < _MIN_FREE_INODES):
        return "problem", f"{text}: too little to work with"
    if free < config.max_size_bytes:
        from mithril.cache._content import ContentStore

        store = config.root_dir / "store"
        used = ContentStore(store, read_only=True).stats().bytes if store.is_dir() else 0
        if used + free < config.max_size_bytes:
            return (
                "warning",
                f"{text}: less than the quota of {config.max_size_bytes / (1 << 30):.1f} GiB leaves to fill",
            )
    return "ok", text


def _clock(config: CacheConfig) -> Finding:
    with _probe(config) as path:
        skew = path.stat().st_mtime - time.time()
    if abs(skew) > _MAX_SKEW_SECONDS:
        return "warning", f"the file system's clock is {skew:+.0f} s off: age decides what is evicted"
    return "ok", "the file system's clock agrees"


def _keys(config: CacheConfig) -> Finding:
    trust = Trust.from_file(config.key_file, config.trust)
    if not trust.keys:
        if config.remote_url:
            return "warning", "records of the shared store are not signed: whoever can write to it can run code here"
        return "ok", "no key file; nothing is shared"
    return "ok", f"{len(trust.keys)} in {config.key_file}, policy {trust.policy}"


def _shared_store(config: CacheConfig) -> Finding:
    if not config.remote_url:
        return "skipped", "none is configured"
    if config.offline:
        return "skipped", "MITHRIL_OFFLINE is set"
    from mithril.storage import open_store

    store = open_store(
        config.remote_url, region=config.remote_region, endpoint=config.remote_endpoint, timeout_seconds=5.0
    )
    name, data = f"{_PROBE}/{secrets.token_hex(8)}", secrets.token_bytes(64)
    start = time.perf_counter()
    if store.get(name, limit=len(data)) is not None:
        return "problem", f"{store.url} says that it holds what nobody put there"
    try:
        store.put(name, data)
    except OSError as error:
        text = f"{store.url} can be read; writing: {error.strerror or error}"
        return ("problem" if config.auto_push else "warning"), text
    try:
        read = store.get(name, limit=len(data))
    finally:
        store.delete(name)
    if read != data:
        return "problem", f"{store.url} does not give back what was put there"
    return "ok", f"{store.url}, written, read and deleted in {time.perf_counter() - start:.2f} s"
