"""Fresh processes that compile: a host with folders of its own, and a program that reports what its caches did."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# Inference and a training step of a little model; run(kind) may be called before or after activation.
MODEL = """
import json, os, sys, warnings
caught = []
warnings.showwarning = lambda message, category, *rest: caught.append(f"{category.__name__}: {message}")
import torch
torch.manual_seed(0)
torch.set_num_threads(1)
layers = torch.nn.Sequential(torch.nn.Linear(24, 24), torch.nn.LayerNorm(24), torch.nn.GELU())
data = torch.randn(5, 24)

def run(kind="infer"):
    torch._dynamo.reset()
    compiled = torch.compile(layers)
    if kind == "infer":
        with torch.no_grad():
            result, expected = compiled(data), layers(data)
    else:
        layers.zero_grad()
        compiled(data).square().sum().backward()
        result = layers[0].weight.grad.clone()
        layers.zero_grad()
        layers(data).square().sum().backward()
        expected = layers[0].weight.grad
    return float((result - expected).abs().max())

def report(manager=None, **more):
    from torch._dynamo.utils import counters
    told = {"warnings": caught, **more}
    told["torch"] = {
        "fx": counters["inductor"]["fxgraph_cache_hit"], "aot": counters["aot_autograd"]["autograd_cache_hit"]
    }
    if manager is not None:
        manager.flush()
        told["layers"] = {
            name: [layer.hits, layer.misses, layer.puts, layer.remote_hits, layer.errors]
            for name, layer in manager.tiers.snapshot().items()
        }
    print(json.dumps(told))
"""

# The usual way: a manager, one call.
SERVED = (
    MODEL
    + """
from mithril.cache import CacheConfig, CacheManager
manager = CacheManager(CacheConfig.from_env())
error = run(os.environ.get("KIND", "infer"))
report(manager, error=error)
"""
)

# The script knows nothing of mithril.
UNAWARE = (
    MODEL
    + """
error = run(os.environ.get("KIND", "infer"))
from mithril.cache._manager import active_manager
report(active_manager(), error=error)
"""
)


@dataclass
class Layer:
    hits: int = 0
    misses: int = 0
    puts: int = 0
    remote_hits: int = 0
    errors: int = 0


@dataclass
class Report:
    """What a program said, and what it had the compiler do."""

    fields: dict[str, Any]
    stderr: str
    builds: int
    """Calls of the compiler that made a file; questions to it do not count."""

    def __getattr__(self, name: str) -> Any:
        return self.fields[name]

    def layer(self, name: str) -> Layer:
        return Layer(*self.fields["layers"].get(name, ()))


@dataclass
class Host:
    """A machine where nothing has been compiled yet: empty folders, a compiler that is counted."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    python: str = sys.executable

    def __post_init__(self) -> None:
        for name in ("tmp", "home", "bin"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        compiler = self.folder / "bin" / "g++"
        compiler.write_text(
            '#!/bin/sh\ncase " $* " in *" -E "*|*" -v "*|*" --version "*) ;; '
            f"*) echo build >> {self.folder}/builds ;; esac\n"
            'exec /usr/bin/g++ "$@"\n'
        )
        compiler.chmod(0o755)

    def run(self, program: str, *arguments: str, **environment: str) -> Report:
        """Run a program that ends with `report(...)`; it must succeed."""
        builds = self.folder / "builds"
        builds.unlink(missing_ok=True)
        inherited = {
            n: v for n, v in os.environ.items() if not n.startswith(("TORCH", "TRITON", "MITHRIL", "XDG", "AWS"))
        }
        done = subprocess.run(
            [self.python, "-c", program, *arguments],
            env={
                **inherited,
                "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
                "CXX": "g++",
                "TMPDIR": str(self.folder / "tmp"),
                "HOME": str(self.folder / "home"),
                "TORCHINDUCTOR_CACHE_DIR": str(self.folder / "inductor"),
                "TORCHINDUCTOR_COMPILE_THREADS": "1",
                # Half a minute of every test otherwise; one test has both.
                "TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS": "0",
                "TORCHINDUCTOR_VEC_ISA_OK": "1",
                **self.environment,
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=280,
        )
        assert done.returncode == 0, done.stderr
        count = len(builds.read_text().splitlines()) if builds.exists() else 0
        return Report(json.loads(done.stdout.splitlines()[-1]), done.stderr, count)
