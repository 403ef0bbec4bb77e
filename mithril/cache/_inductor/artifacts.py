"""torch's own portable artifacts (`torch.compiler.save_cache_artifacts`, the "mega-cache"), both ways.

torch 2.13 writes, at the second save of a process, a blob with two lists for one kind of artifact, and when it loads
that blob it keeps only the last of them: what was compiled before the first save is lost. Here the lists are merged.
"""

import warnings
from typing import Any

from mithril._errors import CorruptError, UnsupportedError


def save_torch_artifacts() -> bytes | None:
    """All artifacts of this process as one blob that `torch.compiler.load_cache_artifacts` reads completely; None when
    there are none."""
    cache = _torch_cache()
    import torch

    saved = torch.compiler.save_cache_artifacts()
    if saved is None:
        return None
    merged = _merged(cache, saved[0])
    serializer = cache.AppendingByteSerializer(serialize_fn=cache._serialize_single_cache)
    serializer.extend(merged.items())
    return bytes(serializer.to_bytes())


def load_torch_artifacts(blob: bytes) -> dict[str, int]:
    """Put the artifacts of a blob, of this or of torch's making, into the folder that Inductor works in, before the
    first compiled call. Returns how many there were of each kind.

    The blob holds pickles that torch loads later: load none whose origin you do not trust. Raises CorruptError when it
    cannot be read.
    """
    cache = _torch_cache()
    manager = cache.CacheArtifactManager
    merged = _merged(cache, blob)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        manager.populate_caches(merged)
    return {kind: len(artifacts) for kind, artifacts in merged.items()}


def _merged(cache: Any, blob: bytes) -> dict[str, list[Any]]:
    cache.CacheArtifactManager._ensure_cache_artifacts_registered()
    try:
        parts = cache.AppendingByteSerializer.to_list(blob, deserialize_fn=cache._deserialize_single_cache)
    except Exception as error:
        raise CorruptError(f"torch artifacts cannot be read: {error}") from error
    merged: dict[str, dict[Any, None]] = {}
    for kind, artifacts in parts:
        merged.setdefault(kind, {}).update(dict.fromkeys(artifacts))
    return {kind: list(artifacts) for kind, artifacts in merged.items()}


def _torch_cache() -> Any:
    try:
        import torch
        import torch._dynamo
        import torch.compiler._cache as cache
    except ImportError as error:
        raise UnsupportedError(f"torch's cache artifacts are not there: {error}") from error
    needed = ("AppendingByteSerializer", "_serialize_single_cache", "_deserialize_single_cache", "CacheArtifactManager")
    lacking = [name for name in needed if not hasattr(cache, name)]
    if lacking:
        raise UnsupportedError(f"torch {torch.__version__} lacks torch.compiler._cache.{', '.join(lacking)}")
    return cache
