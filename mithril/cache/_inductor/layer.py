"""torch.compile: graphs (FX and AOTAutograd), autotuning and profiles through torch's own remote-cache classes, CPU
kernels through `kernels.py`, and keys that know the instruction set."""

import base64
import binascii
import functools
import importlib
import json
from collections.abc import Callable
from typing import Any

from mithril.cache._inductor.host import torch_fingerprint
from mithril.cache._inductor.kernels import KernelLayer
from mithril.cache._tiers import Tiers, log, warn

# The classes of torch._inductor.remote_cache and the namespaces of what they hold.
_CLASSES = {
    "RemoteFxGraphCache": "fx",
    "RemoteAOTAutogradCache": "aot",
    "RemoteAutotuneCache": "autotune",
    "RemoteBundledAutotuneCache": "bundled-autotune",
    "RemoteDynamoPGOCache": "pgo",
}
# Module, attribute: what makes torch ask those classes.
_SWITCHES = (
    ("torch._inductor.config", "fx_graph_remote_cache"),
    ("torch._functorch.config", "enable_remote_autograd_cache"),
    ("torch._inductor.config", "autotune_remote_cache"),
    ("torch._dynamo.config", "automatic_dynamic_remote_pgo"),
)


class InductorLayer:
    """Connects torch's caches to the tiers; `remove` puts everything back."""

    def __init__(self, tiers: Tiers, *, worker: bool = False) -> None:
        self._tiers = tiers
        self._worker = worker
        self._undo: list[Callable[[], None]] = []
        self._missing: list[str] = []
        self._has_looked_for_triton = False
        self.kernels: KernelLayer | None = None

    def install(self) -> None:
        """Called once torch._inductor.codecache is imported. In a compile worker only autotuning is asked for."""
        from torch._inductor import codecache

        if not self._worker:
            self._install_kernels(codecache)
            self._tag_keys(codecache)
        self._install_backends()
        if self._missing:
            warn(f"this torch lacks {', '.join(self._missing)}; what hangs on it is not cached")

    def remove(self) -> None:
        """Undo, last first."""
        while self._undo:
            self._undo.pop()()
        self.kernels = None

    def _install_kernels(self, codecache: Any) -> None:
        lacking = [name for name in ("write", "_precompile_header", "get_lock_dir") if not hasattr(codecache, name)]
        if lacking:
            self._missing += [f"torch._inductor.codecache.{name}" for name in lacking]
            return
        self.kernels = KernelLayer(self._tiers, codecache)
        self.kernels.install()
        self._undo.append(self.kernels.remove)

    def _tag_keys(self, codecache: Any) -> None:
        """Make the vector instruction set part of the tag (`cache_key_tag`) that torch hashes into every key.

        torch 2.13 picks the width of the C++ that it generates from the processor, but does not hash it: a graph
        compiled for AVX-512 and found by an AVX2 host gives wrong numbers, the other way round it corrupts memory.
        It goes into each key when that is made, not into `torch.compiler.config`, which every thread has for itself
        and the user may set.
        """
        details = getattr(codecache, "FxGraphHashDetails", None)
        if details is None or not hasattr(importlib.import_module("torch.compiler.config"), "cache_key_tag"):
            self._missing.append("torch._inductor.codecache.FxGraphHashDetails")
            return
        from torch._inductor.cpu_vec_isa import pick_vec_isa

        original = details.__init__

        @functools.wraps(original)
        def init(key: Any, *arguments: Any, **named: Any) -> None:
            self._bundle_autotuning()
            original(key, *arguments, **named)
            # Picking compiles probes on a fresh host, unless the kernel layer, which is there already, supplies them.
            key.cache_key_tag = f"{key.cache_key_tag};isa={pick_vec_isa()}"

        self._set(details, "__init__", init, own=True)

    def _bundle_autotuning(self) -> None:
        """Turn bundled autotuning on, before the first key is made, which it is part of: not earlier, as finding out
        whether Triton has a device starts CUDA. Without one torch 2.13 fails on this switch."""
        if self._has_looked_for_triton:
            return
        self._has_looked_for_triton = True
        try:
            from torch._inductor.runtime.autotune_cache import inductor_meta_from_config

            if inductor_meta_from_config().get("backend_hash") is not None:
                self._switch("torch._inductor.config", "bundled_autotune_remote_cache")
        except Exception as error:
            log().debug("autotuning is not bundled: %s", error)

    def _install_backends(self) -> None:
        from torch._inductor import remote_cache

        base = getattr(remote_cache, "RemoteCache", None)
        if not hasattr(base, "backend_override_cls"):
            self._missing.append("torch._inductor.remote_cache.RemoteCache.backend_override_cls")
            return
        for name, namespace in _CLASSES.items():
            cls = getattr(remote_cache, name, None)
            if cls is None:
                self._missing.append(f"torch._inductor.remote_cache.{name}")
                continue
            backend = _backend_class(remote_cache.RemoteCacheBackend, self, self._tiers, namespace)
            self._set(cls, "backend_override_cls", backend, own=True)
        for module, attribute in _SWITCHES:
            self._switch(module, attribute)
        self._forget_made_caches()
        self._undo.append(self._forget_made_caches)

    def _set(self, owner: Any, attribute: str, value: object, *, own: bool = False) -> None:
        had = not own or attribute in vars(owner)
        before = getattr(owner, attribute)
        setattr(owner, attribute, value)
        self._undo.append(lambda: setattr(owner, attribute, before) if had else delattr(owner, attribute))

    def _switch(self, module: str, attribute: str) -> None:
        """Turn a setting on for all threads: what is assigned to torch's configs holds in one context only. Where a
        user has assigned it, the user has the say."""
        config = importlib.import_module(module)
        entry = getattr(config, "_config", {}).get(attribute)
        if entry is not None and hasattr(entry, "default"):
            self._set(entry, "default", True)
            # What this thread has made of its settings is made anew.
            if hasattr(config, "_mark_get_dict_dirty") and hasattr(config, "_hash_dirty_var"):
                config._mark_get_dict_dirty(attribute)
                config._hash_dirty_var.set(True)
        elif hasattr(config, attribute):
            self._set(config, attribute, True)
        else:
            self._missing.append(f"{module}.{attribute}")

    @staticmethod
    def _forget_made_caches() -> None:
        """AOTAutograd keeps the cache object that it made first."""
        from torch._functorch._aot_autograd.autograd_cache import AOTAutogradCache

        clear = getattr(getattr(AOTAutogradCache, "get_remote_cache", None), "cache_clear", None)
        if clear is not None:
            clear()

    def graph_stored(self) -> None:
        """A graph has just been compiled: so have its kernels."""
        if self.kernels is not None:
            self.kernels.store_finished()


def _backend_class(base: type[Any], layer: InductorLayer, tiers: Tiers, namespace: str) -> type[Any]:
    fingerprint = torch_fingerprint()

    class MithrilBackend(base):  # type: ignore[misc]
        """Bytes by key, from and to the tiers, which never raise."""

        def _get(self, key: str) -> bytes | None:
            members = tiers.get(namespace, key, fingerprint=fingerprint)
            return None if members is None else _join(members)

        def _put(self, key: str, data: bytes) -> None:
            members, seconds = _split(data)
            tiers.put(namespace, key, members, fingerprint=fingerprint, seconds=seconds)
            layer.graph_stored()

    return MithrilBackend


def _split(value: bytes) -> tuple[dict[str, bytes], float]:
    """torch wraps a pickle in base64 in JSON: a third larger, and nothing compresses or matches any more."""
    try:
        fields = json.loads(value)
        payload = base64.b64decode(fields.pop("data"), validate=True)
        if _join({"data": payload, "fields": json.dumps(fields).encode()}) == value:
            seconds = max(0.0, float(fields.get("time_taken_ms") or 0) / 1e3)
            return {"data": payload, "fields": json.dumps(fields).encode()}, seconds
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        pass
    return {"value": value}, 0.0


def _join(members: dict[str, bytes]) -> bytes | None:
    if "value" in members:
        return members["value"]
    try:
        fields = json.loads(members["fields"])
        return json.dumps({"data": base64.b64encode(members["data"]).decode("ascii"), **fields}).encode("ascii")
    except (ValueError, KeyError, TypeError):
        log().warning("graph entry cannot be read; compiled again")
        return None
