"""vLLM's folder of compiled graphs, filled as vLLM fills it with torch's real artifacts, moved and loaded again."""

import json
import os
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

from mithril import InvalidArgumentError
from mithril.cache._content import ContentStore
from mithril.cache._frameworks.vllm import VllmCacheConfig, VllmCacheManager
from mithril.cache._inductor.host import cpu_tag

MODEL = "torch_compile_cache/0123456789/rank_0_0/backbone"
AOT = "torch_compile_cache/torch_aot_compile/0123456789abcdef/rank_0_0/model"
# What vLLM does in its first start: compile each part, save it, and write down where. The second artifact is loaded
# once, as by a second start: then the shared objects of the CPU lie in its folder too.
FILL = f"""
import os, pprint
from pathlib import Path
import torch
from torch._inductor import CompiledArtifact, standalone_compile
from torch.fx.experimental.proxy_tensor import make_fx

from mithril.cache._frameworks.vllm import VllmCacheConfig, VllmCacheManager

manager = VllmCacheManager(VllmCacheConfig())
manager.set_environment()
folder = Path(os.environ["VLLM_CACHE_ROOT"], "{MODEL}")
folder.mkdir(parents=True)
x = torch.arange(64.0).reshape(8, 8)
graph = make_fx(lambda x: (x.sin() + x.sum(-1, keepdim=True),))(x)
handles = {{}}
with torch.no_grad():
    artifact = standalone_compile(graph, [x], dynamic_shapes="from_example_inputs", options={{}})
    torch.save(artifact(x)[0], os.environ["RESULT"])
    for number, format in enumerate(("binary", "unpacked")):
        key = f"artifact_compile_range_1_8192_subgraph_{{number}}"
        path = os.path.join(folder, key)
        artifact.save(path=path, format=format)
        handles[((1, 8192), number, "inductor_standalone")] = {{"graph_handle": (key, path), "cache_key": "a"}}
    CompiledArtifact.load(path=path, format="unpacked")(x)
    artifact = standalone_compile(graph, [x], dynamic_shapes="from_example_inputs", options={{}}, aot=True)
    path = Path(os.environ["VLLM_CACHE_ROOT"], "{AOT}")
    path.parent.mkdir(parents=True)
    artifact.save(path=str(path), format="binary")
(folder / "vllm_compile_cache.py").write_text(pprint.PrettyPrinter(indent=4).pformat(handles))
(folder / "cache_key_factors.json").write_text("{{}}")
result = manager.capture()
print(result.done, result.skipped)
"""
# What vLLM does in its next start.
LOAD = f"""
import ast, json, os
from pathlib import Path
from mithril.cache._frameworks.vllm import VllmCacheConfig, VllmCacheManager

manager = VllmCacheManager(VllmCacheConfig())
manager.set_environment()
result = manager.warmup()

import torch
from torch._dynamo.utils import counters
from torch._inductor import CompiledArtifact

root = Path(os.environ["MITHRIL_CACHE_DIR"])
objects = lambda: sorted((str(path), path.stat().st_ino) for path in root.rglob("*.so"))
before = objects()
x = torch.arange(64.0).reshape(8, 8)
expected = torch.load(os.environ["RESULT"])
handles = ast.literal_eval(Path(os.environ["VLLM_CACHE_ROOT"], "{MODEL}", "vllm_compile_cache.py").read_text())
paths = [value["graph_handle"][1] for value in handles.values()]
equal = []
for path in [*paths, os.path.join(os.environ["VLLM_CACHE_ROOT"], "{AOT}")]:
    with torch.no_grad():
        format = "unpacked" if os.path.isdir(path) else "binary"
        equal.append(torch.equal(CompiledArtifact.load(path=path, format=format)(x)[0], expected))
print(json.dumps({{
    "restored": result.done, "skipped": result.skipped, "equal": equal, "objects": len(before),
    "compiled": len(set(objects()) - set(before)), "counters": counters["inductor"],
    "paths": paths,
}}))
"""


@pytest.fixture(scope="module")
def filled(tmp_path_factory, run_python) -> Path:
    """A folder with the root of a cache that vLLM filled, and the result of its model."""
    folder = tmp_path_factory.mktemp("vllm")
    printed = run_python(FILL, **environment(folder, folder / "root"))
    captured, skipped = printed.splitlines()[-1].split(" ", 1)
    assert int(captured) > 5
    assert skipped == "()"
    return folder


def environment(folder: Path, root: Path) -> dict[str, str]:
    (folder / "tmp").mkdir(exist_ok=True)
    return {
        "MITHRIL_CACHE_DIR": str(root),
        "RESULT": str(folder / "result.pt"),
        "TMPDIR": str(folder / "tmp"),
        "OMP_NUM_THREADS": "1",
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
        "TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS": "0",
    }


@pytest.mark.slow
def test_a_moved_cache_loads_without_compiling(filled: Path, tmp_path: Path, run_python) -> None:
    # Nothing but the store reaches the new place, and the old one is gone.
    shutil.copytree(filled / "root" / "store", tmp_path / "new" / "store")
    (filled / "root").rename(filled / "gone")
    try:
        run = json.loads(run_python(LOAD, **environment(filled, tmp_path / "new")).splitlines()[-1])
    finally:
        (filled / "gone").rename(filled / "root")
    assert run["equal"] == [True, True, True]
    assert run["skipped"] == []
    assert run["objects"] > 0
    assert run["compiled"] == 0
    assert run["counters"]["fxgraph_cache_hit"] == 2
    assert not {"fxgraph_cache_miss", "fxgraph_cache_bypass"} & run["counters"].keys()
    assert all(path.startswith(str(tmp_path / "new" / "vllm")) for path in run["paths"])


@pytest.fixture
def manager(filled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> VllmCacheManager:
    """A manager of a copy of the filled store, whose trees are empty, and whose variables are unset."""
    shutil.copytree(filled / "root" / "store", tmp_path / "root" / "store")
    for name in list(os.environ):
        if name.startswith(("MITHRIL_", "VLLM_", "TORCHINDUCTOR_", "TRITON_", "FLASHINFER_", "DG_", "HF_")):
            monkeypatch.delenv(name)
    return VllmCacheManager(VllmCacheConfig(tmp_path / "root"))


def test_restoring_and_capturing_again_changes_nothing(manager: VllmCacheManager, tmp_path: Path) -> None:
    first = manager.restore()
    assert first.done > 5
    assert first.kept == 0
    assert manager.restore().kept == first.done
    again = manager.capture()
    assert (again.done, again.kept, again.skipped) == (0, first.done, ())
    model = tmp_path / "root" / "vllm" / cpu_tag() / MODEL
    (model / "computation_graph.py").write_text("# changed")
    assert manager.capture().done == 1
    shutil.rmtree(model)
    assert manager.restore().done == 1
    assert (model / "computation_graph.py").read_text() == "# changed"


def test_a_damaged_store_restores_what_it_can(manager: VllmCacheManager, tmp_path: Path) -> None:
    for path in (tmp_path / "root" / "store" / "objects").rglob("*"):
        if path.is_file():
            path.write_bytes(bytes(path.stat().st_size))
    result = manager.restore()
    assert f"torch_compile_cache/{MODEL.partition('/')[2]}" in result.skipped
    assert not (tmp_path / "root" / "vllm" / cpu_tag() / MODEL).exists()


def test_a_model_that_is_not_whole_is_left_out(manager: VllmCacheManager, tmp_path: Path) -> None:
    manager.restore()
    handles = tmp_path / "root" / "vllm" / cpu_tag() / MODEL / "vllm_compile_cache.py"
    handles.write_text(handles.read_text()[:-9])
    result = manager.capture()
    assert result.done == 0
    assert result.skipped == (f"torch_compile_cache/{MODEL.partition('/')[2]}",)


def test_another_kind_of_processor_is_served_nothing(manager: VllmCacheManager, monkeypatch) -> None:
    assert manager.stats().units > 5
    monkeypatch.setattr("mithril.cache._frameworks.framework.cpu_tag", lambda: "0123456789ab")
    assert manager.stats().units == 0
    assert manager.restore().done == 0
    assert manager.clear() > 5


def test_hostile_records_stay_out(manager: VllmCacheManager, tmp_path: Path) -> None:
    store, fingerprint = manager.store, next(manager._records()).fingerprint
    manager.clear()
    members = {"x": b"evil"}
    for key in (
        "tree/triton/../../x",
        "tree//x",
        "tree/unknown/x",
        "tree/triton",
        "tree/triton//etc/x",
        "tree/triton/y",
    ):
        store.put_group("vllm", key, members, fingerprint=fingerprint)
    result = manager.restore()
    assert (result.done, result.skipped) == (0, ("triton/y",))
    assert [path.name for path in tmp_path.rglob("x")] == []


def test_variables_are_set_where_they_are_not(manager: VllmCacheManager, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "mine"))
    monkeypatch.setattr(os, "environ", os.environ.copy())
    added = manager.set_environment()
    assert added.keys() == {
        "VLLM_CACHE_ROOT",
        "TORCHINDUCTOR_CACHE_DIR",
        "FLASHINFER_WORKSPACE_BASE",
        "DG_JIT_CACHE_DIR",
    }
    assert added.items() <= os.environ.items()
    assert all(value.startswith(str(tmp_path / "root")) for value in added.values())
    assert manager.trees()["triton"] == tmp_path / "mine"
    assert manager.trees()["torch_compile_cache"] == Path(added["VLLM_CACHE_ROOT"], "torch_compile_cache")
    assert manager.set_environment() == {}
    assert manager.set_environment(set_hf_home=True) == {"HF_HOME": str(tmp_path / "root" / "huggingface")}


def test_too_late(manager: VllmCacheManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", ModuleType("vllm"))
    monkeypatch.setattr(os, "environ", os.environ.copy())
    with pytest.warns(RuntimeWarning, match="vllm was imported before"):
        manager.set_environment()


def test_kernels_by_name_statistics_and_clear(manager: VllmCacheManager) -> None:
    assert manager.get_kernel("paged_attention/sm90") is None
    manager.put_kernel("paged_attention/sm90", b"\x7fELF" * 5000)
    assert manager.get_kernel("paged_attention/sm90") == b"\x7fELF" * 5000
    with pytest.raises(InvalidArgumentError):
        manager.put_kernel("", b"")
    stats = manager.stats()
    assert (stats.kernels, stats.hits, stats.misses) == (1, 1, 1)
    assert stats.size_bytes > 20_000
    manager.store.put_group("sglang", "tree/inductor/x", {"x": b""})
    assert manager.clear() == stats.units + 1
    assert (manager.stats().units, manager.stats().kernels) == (0, 0)
    assert manager.get_kernel("paged_attention/sm90") is None
    assert [record.namespace for record in manager.store.records()] == ["sglang"]


def test_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MITHRIL_CACHE_DIR", str(tmp_path))
    config = VllmCacheConfig()
    assert (config.cache_dir, config.max_size_bytes, config.remote_url) == (tmp_path, 10 << 30, None)
    config = config.with_max_size_gb(0.5).with_remote(str(tmp_path / "shared"))
    assert isinstance(config, VllmCacheConfig)
    assert (config.max_size_bytes, config.remote_url) == (1 << 29, str(tmp_path / "shared"))
    assert ContentStore(tmp_path / "store").stats().records == 0
