"""CPU kernels: the shared objects that Inductor compiles with g++ and that no cache of torch carries.

Inductor writes each kernel's source through `codecache.write` and compiles it only if the shared object beside it is
missing. So the hook lies there: when the source has been written and the object is missing, the object is fetched by a
key that knows no paths, and placed. `_precompile_header`, seconds of work for a header that then serves no compilation,
is skipped for a kernel whose object is there. Objects compiled here are stored once they are complete.
"""

import functools
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from blake3 import blake3

from mithril.cache._at_fork import start_afresh_in_children
from mithril.cache._inductor.host import compiler_identity, library_identity, without_places
from mithril.cache._inductor.shared_object import is_whole
from mithril.cache._tiers import Tiers, log

NAMESPACE = "kernel"
_MEMBER = "so"


@dataclass
class _Pending:
    """A kernel that was not in the cache: `path` will appear when it has been compiled."""

    key: str
    path: Path
    lock: str
    since: float


class KernelLayer:
    """Supplies and stores shared objects by wrapping two functions of `torch._inductor.codecache`."""

    def __init__(self, tiers: Tiers, codecache: ModuleType) -> None:
        self._tiers = tiers
        self._codecache = codecache
        self._originals = {name: getattr(codecache, name) for name in ("write", "_precompile_header")}
        self._pending: dict[Path, _Pending] = {}
        self._lock = threading.Lock()
        self._thread = threading.local()
        start_afresh_in_children(self)

    def after_fork(self) -> None:
        """What the parent compiles is the parent's to store."""
        self._lock = threading.Lock()
        self._pending = {}

    def install(self) -> None:
        """Wrap the two functions."""
        self._codecache.write = self._wrap_write(self._originals["write"])  # type: ignore[attr-defined]
        self._codecache._precompile_header = self._wrap_header(  # type: ignore[attr-defined]
            self._originals["_precompile_header"]
        )

    def remove(self) -> None:
        """Put the functions back, unless somebody wrapped them after us; then only do nothing any more."""
        self.store_finished()
        for name, original in self._originals.items():
            if getattr(getattr(self._codecache, name), "_mithril_layer", None) is self:
                setattr(self._codecache, name, original)
        self._tiers = Tiers()

    def _wrap_write(self, original: Callable[..., tuple[str, str]]) -> Callable[..., tuple[str, str]]:
        @functools.wraps(original)
        def write(content: str | bytes, extension: str, extra: str = "", *rest: Any, **named: Any) -> tuple[str, str]:
            basename, path = original(content, extension, extra, *rest, **named)
            self._thread.supplied = False
            # Positional or named, a folder of one's own (headers, ahead-of-time packages) is none of ours.
            if extension in ("main.cpp", "cpp") and not (len(rest) > 1 and rest[1]) and not named.get("specified_dir"):
                try:
                    self._thread.supplied = self._supply(content, extension, extra, basename, path)
                except Exception:
                    log().warning("kernel %s: not looked up", basename, exc_info=True)
            return basename, path

        write._mithril_layer = self  # type: ignore[attr-defined]
        return write

    def _wrap_header(self, original: Callable[..., str]) -> Callable[..., str]:
        @functools.wraps(original)
        def precompile_header(*arguments: Any, **named: Any) -> str:
            return "" if getattr(self._thread, "supplied", False) else original(*arguments, **named)

        precompile_header._mithril_layer = self  # type: ignore[attr-defined]
        return precompile_header

    def _supply(self, content: str | bytes, extension: str, extra: str, basename: str, source: str) -> bool:
        """Whether the shared object of this source is there now. If not, remembers to store it."""
        if not _is_ours(extension, extra) or _caches_disabled():
            return False
        path = Path(source).with_suffix(".so")
        lock = os.path.join(self._codecache.get_lock_dir(), basename + ".lock")
        if path.exists() and not _remove_remains(path, lock):
            return True
        key = self._key(content, extension, extra)
        if key is None:
            return False
        members = self._tiers.get(NAMESPACE, key)
        if members is not None and is_whole(members.get(_MEMBER, b"")):
            _place(members[_MEMBER], path)
            return True
        self.store_finished()
        with self._lock:
            self._pending[path] = _Pending(key, path, lock, time.time())
        return False

    def _key(self, content: str | bytes, extension: str, extra: str) -> str | None:
        """Source, command without places, compiler, processor and C library: what the machine code follows from."""
        import torch
        from torch._inductor.cpp_builder import get_cpp_compiler

        compiler = get_cpp_compiler()
        identity = compiler_identity(compiler)
        if not identity:
            return None
        text = content if isinstance(content, str) else content.decode(errors="surrogateescape")
        parts = (
            extension,
            f"{torch.__version__} {torch.version.git_version}",
            identity,
            library_identity(),
            # The name of the compiler is no part of what it is.
            without_places(extra).replace(f"None {compiler} ", "None <compiler> ", 1),
            without_places(text.strip()),
        )
        return blake3("\0".join(parts).encode(errors="surrogateescape")).hexdigest()

    def store_finished(self) -> None:
        """Store what has been compiled since. A kernel that a compiler still works on waits for the next call."""
        with self._lock:
            ready = [pending for pending in self._pending.values() if pending.path.exists()]
        for pending in ready:
            data = _read_unlocked(pending.path, pending.lock)
            if data is None or not is_whole(data):
                continue
            with self._lock:
                if self._pending.pop(pending.path, None) is None:
                    continue
            self._tiers.put(NAMESPACE, pending.key, {_MEMBER: data}, seconds=self._seconds(pending))

    def _seconds(self, pending: _Pending) -> float:
        try:
            return max(0.0, pending.path.stat().st_mtime - pending.since)
        except OSError:
            return 0.0


def _is_ours(extension: str, extra: str) -> bool:
    """A kernel made in one step, or a probe of an instruction set: `extra` is what torch hashes beside the source.

    Of code that is compiled in two parts the object files would be needed too; other compilers' sources are also "cpp".
    """
    import torch

    return extra.startswith("None ") if extension == "main.cpp" else extra.endswith(f"={torch.__version__}")


def _read_unlocked(path: Path, lock: str) -> bytes | None:
    """A shared object; None while a compiler, which writes it in place, holds the lock."""
    from torch.utils._filelock import FileLock

    try:
        with FileLock(lock, timeout=0):
            return path.read_bytes()
    except Exception:
        return None


def _remove_remains(path: Path, lock: str) -> bool:
    """Remove what a compiler that died has left; whether that was so."""
    data = _read_unlocked(path, lock)
    if data is None or is_whole(data):
        return False
    path.unlink(missing_ok=True)
    return True


def _caches_disabled() -> bool:
    """Whether the user wants everything compiled anew (TORCH_COMPILE_FORCE_DISABLE_CACHES)."""
    import torch.compiler.config as config

    return bool(getattr(config, "force_disable_caches", False))


def _place(data: bytes, path: Path) -> None:
    """Whole or not at all: others may look for the file while it is written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{os.getpid()}.{threading.get_ident()}.mithril.tmp")
    try:
        temporary.write_bytes(data)
        temporary.chmod(0o755)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
