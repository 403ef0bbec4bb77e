"""What torch, its compiler and Triton are here, and whether the hooks that the cache hangs on are there."""

import importlib
import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any, Literal

Row = tuple[str, Literal["ok", "warning", "problem", "skipped"], str]

_TIMEOUT_SECONDS = 120
_PROGRAM = "from mithril.cache._doctor_torch import _main; _main()"
_OTHERS = ("compiler", "processor", "hooks", "triton", "activation")


def examine_torch(environment: Mapping[str, str]) -> list[Row]:
    """Rows of name, status and finding. A process of its own imports torch, so that nothing of it stays here."""
    try:
        importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return _without("torch is not installed")
    quiet = {**environment, "MITHRIL_CACHE": "0", "MITHRIL_INDUCTOR_AUTO_PATCH": "0"}
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM], env=quiet, capture_output=True, text=True, timeout=_TIMEOUT_SECONDS
        )
        rows = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None
    except (subprocess.TimeoutExpired, ValueError, IndexError) as error:
        return _without(f"cannot be looked at: {type(error).__name__}")
    if rows is None:
        last = (done.stderr.strip().splitlines() or [f"ends with {done.returncode}"])[-1]
        return _without(f"cannot be imported: {last}")
    return [(name, status, finding) for name, status, finding in rows] + [_activation(environment)]


def _without(finding: str) -> list[Row]:
    return [("torch", "problem", finding), *((name, "skipped", "torch did not answer") for name in _OTHERS)]


def _activation(environment: Mapping[str, str]) -> Row:
    name = "activation"
    found = importlib.metadata.entry_points(group="torch.backends")
    if not any(entry.value.startswith("mithril.") for entry in found):
        return name, "problem", "torch does not find mithril's entry point: install the package (again)"
    if environment.get("TORCH_DEVICE_BACKEND_AUTOLOAD") == "0":
        return name, "problem", "TORCH_DEVICE_BACKEND_AUTOLOAD=0 keeps the variables from activating the cache"
    on = [
        name for name in ("MITHRIL_CACHE", "MITHRIL_INDUCTOR_AUTO_PATCH") if environment.get(name, "0") not in ("", "0")
    ]
    return name, "ok", f"on in every process with torch: {on[0]}" if on else "off unless a program or `run` turns it on"


def _main() -> None:
    """In the process of its own."""
    print(json.dumps([*_rows()]))


def _rows() -> Iterator[Row]:
    import torch

    yield "torch", "ok", f"{torch.__version__}, Python {sys.version_info[0]}.{sys.version_info[1]}"
    for name, look in (("compiler", _compiler), ("processor", _processor), ("hooks", _hooks), ("triton", _triton)):
        try:
            yield (name, *look())  # type: ignore[misc]
        except Exception as error:
            yield name, "problem", f"{type(error).__name__}: {error}"


def _compiler() -> tuple[str, str]:
    from torch._inductor.cpp_builder import get_cpp_compiler

    from mithril.cache._inductor.host import compiler_identity

    compiler = get_cpp_compiler()
    if not compiler_identity(compiler):
        return "problem", f"{compiler} does not say what it is: CPU kernels are not cached"
    shown = subprocess.run([compiler, "--version"], capture_output=True, text=True, timeout=30).stdout
    return "ok", f"{compiler}: {(shown.splitlines() or ['no version'])[0]}"


def _processor() -> tuple[str, str]:
    import torch

    from mithril.cache._inductor.host import cpu_tag

    # What torch's own kernels use: asking Inductor would compile a probe.
    return "ok", f"{torch.backends.cpu.get_cpu_capability()}, tag {cpu_tag()}"


def _hooks() -> tuple[str, str]:
    from mithril.cache._inductor.layer import _CLASSES, _SWITCHES

    wanted = [
        ("torch._inductor.codecache", "write"),
        ("torch._inductor.codecache", "_precompile_header"),
        ("torch._inductor.codecache", "get_lock_dir"),
        ("torch._inductor.cpu_vec_isa", "pick_vec_isa"),
        ("torch._inductor.remote_cache", "RemoteCache.backend_override_cls"),
        *(("torch._inductor.remote_cache", name) for name in _CLASSES),
        ("torch.compiler.config", "cache_key_tag"),
        *_SWITCHES,
    ]
    missing = [f"{module}.{name}" for module, name in wanted if not _has(module, name)]
    if missing:
        return "problem", f"this torch lacks {', '.join(missing)}; what hangs on it is not cached"
    return "ok", f"all {len(wanted)} are there"


def _has(module: str, name: str) -> bool:
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError):
        return False
    return True


def _triton() -> tuple[str, str]:
    for name in ("triton", "pytorch-triton", "pytorch-triton-rocm"):
        try:
            return "ok", f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue
    import torch

    if torch.cuda.is_available():
        return "problem", "not installed, but there is a GPU: torch.compile cannot use it"
    return "skipped", "not installed; only GPUs need it"
