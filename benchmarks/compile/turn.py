"""One fresh process of one contender: `python -m benchmarks.compile.turn CONTENDER KIND STORE`; prints JSON.

Everything of torch and Inductor is imported before the clock starts; all that the contender does is within.
"""

import json
import sys
import time
import warnings
from pathlib import Path

import torch
import torch._functorch.config
import torch._inductor.compile_fx
import torch._inductor.config
import torch._inductor.remote_cache as remote_cache

from benchmarks.compile.model import first_call

contender, kind, store = sys.argv[1], sys.argv[2], Path(sys.argv[3])
warnings.filterwarnings("ignore", message=".*scalar.*")


class Folder(remote_cache.RemoteCacheBackend):
    """What torch's remote caches need, as fast as it can be: a folder of files."""

    def _path(self, key: str) -> Path:
        return store / key.replace(":", "_").replace("/", "_")

    def _get(self, key: str) -> bytes | None:
        path = self._path(key)
        return path.read_bytes() if path.exists() else None

    def _put(self, key: str, data: bytes) -> None:
        self._path(key).write_bytes(data)


start = time.perf_counter()
manager = None
blob = store / "mega"
if contender == "torch-remote":
    store.mkdir(parents=True, exist_ok=True)
    for name in ("RemoteFxGraphCache", "RemoteAOTAutogradCache"):
        getattr(remote_cache, name).backend_override_cls = Folder
    torch._inductor.config.fx_graph_remote_cache = True
    torch._functorch.config.enable_remote_autograd_cache = True
elif contender == "mega-cache" and blob.exists():
    torch.compiler.load_cache_artifacts(blob.read_bytes())
elif contender.startswith("mithril"):
    from mithril.cache import CacheConfig, CacheManager

    config = CacheConfig(store).with_inductor(True)
    if contender == "mithril-blackhole":
        config = config.with_remote("s3://bucket/prefix", region="us-east-1", endpoint=sys.argv[4], auto_push=True)
    manager = CacheManager(config)
result = first_call(kind)
if manager is not None:
    manager.flush()  # what the end of the process waits for
seconds = time.perf_counter() - start

if contender == "mega-cache" and not blob.exists():
    store.mkdir(parents=True, exist_ok=True)
    saved = torch.compiler.save_cache_artifacts()
    assert saved is not None
    blob.write_bytes(saved[0])
report = {"seconds": seconds, "result": result}
if manager is not None:
    report["layers"] = {n: {"hits": s.hits, "misses": s.misses} for n, s in manager.stats().layers.items()}
print(json.dumps(report))
