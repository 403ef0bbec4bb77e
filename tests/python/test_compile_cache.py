"""The compile cache behind real torch.compile, in fresh processes on hosts that share nothing but the store."""

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.python.compiling import MODEL, SERVED, UNAWARE, Host

pytestmark = pytest.mark.slow

# Makes graphs that need no C++.
PRODUCT = (
    MODEL
    + """
from mithril.cache import CacheConfig, CacheManager

def run(power=2, size=8):
    matrix = torch.eye(size)
    def product(x):
        for _ in range(power): x = x @ matrix
        return x
    return float((torch.compile(product)(matrix) - matrix).abs().max())
"""
)

MakeHost = Callable[..., Host]


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> MakeHost:
    numbers = itertools.count()
    top = tmp_path_factory.mktemp("hosts")
    return lambda **environment: Host(top / str(next(numbers)), environment)


@pytest.fixture(scope="module")
def filled(hosts: MakeHost, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that one host has filled, with inference and with training, and a shared store behind it, `remote`."""
    root = tmp_path_factory.mktemp("filled") / "cache"
    remote = {"MITHRIL_REMOTE_URL": str(root.parent / "remote"), "MITHRIL_INDUCTOR_AUTO_PUSH": "1"}
    for kind in ("infer", "train"):
        report = hosts().run(SERVED, MITHRIL_CACHE_DIR=str(root), KIND=kind, **remote)
        assert report.builds > 0
        assert report.layer("kernel").puts > 0
        assert report.layer("fx").puts > 0
        assert report.layer("aot").puts == 1
        assert report.error < 1e-5
    return root


@pytest.fixture
def store(filled: Path, tmp_path: Path) -> Path:
    """A copy of the filled store, to spoil."""
    return Path(shutil.copytree(filled, tmp_path / "cache"))


@pytest.mark.parametrize("kind", ["infer", "train"])
def test_a_fresh_host_compiles_nothing(hosts: MakeHost, filled: Path, kind: str) -> None:
    report = hosts().run(SERVED, MITHRIL_CACHE_DIR=str(filled), KIND=kind)
    assert report.builds == 0
    assert {name: layer[1] for name, layer in report.layers.items()} == {"kernel": 0, "fx": 0, "aot": 0}
    assert report.torch["aot"] == 1
    assert report.error < 1e-5
    assert report.warnings == []


def test_with_a_pool_of_workers(hosts: MakeHost, filled: Path) -> None:
    report = hosts().run(UNAWARE, MITHRIL_CACHE="1", MITHRIL_CACHE_DIR=str(filled), TORCHINDUCTOR_COMPILE_THREADS="2")
    assert report.builds == 0
    assert report.layer("kernel").misses == 0


def test_a_pool_of_workers_and_a_precompiled_header(hosts: MakeHost, tmp_path: Path) -> None:
    """The pool's kernels are stored, too, and the probes of instruction sets; and the header is not made where all
    kernels are supplied."""
    environment = {
        "MITHRIL_CACHE_DIR": str(tmp_path / "cache"),
        "TORCHINDUCTOR_COMPILE_THREADS": "2",
        "TORCHINDUCTOR_CPP_CACHE_PRECOMPILE_HEADERS": "1",
        "TORCHINDUCTOR_VEC_ISA_OK": "",
    }
    host = hosts()
    first = host.run(SERVED, **environment)
    assert first.layer("kernel").puts == first.layer("kernel").misses > 0
    assert list((host.folder / "tmp").rglob("*.gch"))
    host = hosts()
    assert host.run(SERVED, **environment).builds == 0
    assert not list((host.folder / "tmp").rglob("*.gch"))


def test_a_moved_environment(hosts: MakeHost, filled: Path, tmp_path: Path) -> None:
    if sys.prefix == sys.base_prefix or not Path(torch.__file__).is_relative_to(sys.prefix):
        pytest.skip("torch is not in a virtual environment that could be copied")
    moved = tmp_path / "moved"
    if subprocess.run(["cp", "-al", sys.prefix, moved], capture_output=True).returncode:
        pytest.skip("no hard links from the environment to the temporary folder")
    host = hosts()
    host.python = str(moved / "bin" / "python")
    report = host.run(
        SERVED.replace("error=error", "error=error, torch_at=torch.__file__"), MITHRIL_CACHE_DIR=str(filled)
    )
    assert Path(report.torch_at).is_relative_to(moved)
    assert report.layer("kernel").misses == 0
    assert report.builds == 0
    shutil.rmtree(moved)


def test_by_environment_alone(hosts: MakeHost, filled: Path) -> None:
    report = hosts().run(UNAWARE, MITHRIL_CACHE="1", MITHRIL_CACHE_DIR=str(filled))
    assert report.builds == 0
    assert report.layer("fx").hits == 1
    assert report.warnings == []


@pytest.mark.parametrize("first", ["main", "thread"])
def test_in_every_thread(hosts: MakeHost, tmp_path: Path, first: str) -> None:
    program = PRODUCT + (
        "import threading\nmanager = CacheManager(CacheConfig.from_env())\n"
        "def thread():\n    work = threading.Thread(target=run, args=(3,)); work.start(); work.join()\n"
        "steps = [lambda: run(2), thread]\n"
        "for step in steps if sys.argv[1] == 'main' else steps[::-1]: step()\nreport(manager)\n"
    )
    for hits in (0, 2):
        report = hosts().run(program, first, MITHRIL_CACHE_DIR=str(tmp_path / "cache"))
        assert report.layer("fx").hits == hits
        assert report.layer("fx").puts == 2 - hits


def test_part_of_a_kernel_is_never_kept(hosts: MakeHost, tmp_path: Path) -> None:
    """A compiler that dies leaves a part of a file. It is not stored, and where it lies it is compiled again."""
    host = hosts(MITHRIL_CACHE_DIR=str(tmp_path / "cache"))
    compiler = host.folder / "bin" / "g++"
    whole = compiler.read_text()
    compiler.write_text(
        "#!/usr/bin/env python3\nimport subprocess, sys\n"
        "done = subprocess.run(['/usr/bin/g++', *sys.argv[1:]])\n"
        "if '-shared' in sys.argv:\n"
        "    path = sys.argv[sys.argv.index('-o') + 1]\n"
        "    data = open(path, 'rb').read()\n    open(path, 'wb').write(data[: len(data) // 2])\n    sys.exit(1)\n"
        "sys.exit(done.returncode)\n"
    )
    failing = SERVED.replace(
        'error = run(os.environ.get("KIND", "infer"))', "error = None\ntry: run()\nexcept Exception: error = 1"
    )
    report = host.run(failing)
    assert report.error == 1
    assert report.layer("kernel").misses > 0
    assert report.layer("kernel").puts == 0
    assert list((host.folder / "inductor").rglob("*.so"))
    compiler.write_text(whole)
    report = host.run(SERVED)
    assert report.error < 1e-5
    assert report.layer("kernel").puts > 0


@pytest.mark.parametrize("value", ["0", "false", "no", "off", ""])
def test_off_is_off(hosts: MakeHost, value: str) -> None:
    program = MODEL + "report(loaded='mithril.cache._manager' in sys.modules)"
    assert not hosts().run(program, MITHRIL_CACHE=value).loaded


def test_warnings_that_are_errors_do_not_break_torch(hosts: MakeHost) -> None:
    host = hosts(MITHRIL_CACHE="1", MITHRIL_CACHE_DIR="/proc/nothing", PYTHONWARNINGS="error::RuntimeWarning")
    assert "/proc/nothing" in host.run(MODEL + "report()").stderr


def test_a_root_that_cannot_be_written(hosts: MakeHost, filled: Path, tmp_path: Path) -> None:
    """A cache that is part of an image: it serves, and torch works in the temporary folder."""
    if os.getuid() != 0:
        pytest.skip("needs to mount")
    root = tmp_path / "image"
    root.mkdir()
    if subprocess.run(["mount", "-o", "bind,ro", filled, root], capture_output=True).returncode:
        pytest.skip("cannot mount")
    try:
        host = hosts(TORCHINDUCTOR_CACHE_DIR="", MITHRIL_CACHE="1", MITHRIL_CACHE_DIR=str(root))
        report = host.run(UNAWARE.replace("error=error", "error=error, at=os.environ['TORCHINDUCTOR_CACHE_DIR']"))
        assert report.builds == 0
        assert report.warnings == []
        assert Path(report.at).is_relative_to(host.folder / "tmp")
    finally:
        subprocess.run(["umount", root], check=True)


def test_unset_does_nothing(hosts: MakeHost) -> None:
    report = hosts().run(MODEL + "report(loaded=[name for name in sys.modules if name.startswith('mithril.')])")
    assert set(report.loaded) <= {"mithril._errors", "mithril._lazy", "mithril.cache", "mithril.cache._autoload"}


def test_broken_settings_do_not_break_torch(hosts: MakeHost) -> None:
    report = hosts().run(UNAWARE, MITHRIL_CACHE="1", MITHRIL_MAX_SIZE_GB="plenty")
    assert report.error < 1e-5
    (warning,) = report.warnings
    assert "mithril.cache: off" in warning
    assert "MITHRIL_MAX_SIZE_GB" in warning


def test_one_folder_for_each_kind_of_processor(hosts: MakeHost, tmp_path: Path) -> None:
    """Without TORCHINDUCTOR_CACHE_DIR of the user's, Inductor works below the root."""
    program = MODEL + "import torch._inductor\nreport(at=os.environ['TORCHINDUCTOR_CACHE_DIR'])"
    host = hosts(TORCHINDUCTOR_CACHE_DIR="", MITHRIL_CACHE="1", MITHRIL_CACHE_DIR=str(tmp_path / "cache"))
    places = {host.run(program, ATEN_CPU_CAPABILITY=isa).at for isa in ("", "avx2")}
    assert len(places) == 2
    assert {Path(place).parent for place in places} == {tmp_path / "cache" / "inductor"}


WRONG = """
import torch
torch.set_num_threads(1)
torch.manual_seed(0)
data = torch.randn(37, 131)

def error():
    softmax = lambda x: torch.softmax(x, 1)
    return float((torch.compile(softmax)(data) - softmax(data)).abs().nan_to_num(1e9).max())
"""


@pytest.mark.skipif(torch.backends.cpu.get_cpu_capability() != "AVX512", reason="needs AVX-512")
def test_instruction_sets_do_not_mix(hosts: MakeHost, tmp_path: Path) -> None:
    """torch alone, on a folder that hosts with AVX-512 and AVX2 share, computes wrong numbers. mithril does not."""

    def share(name: str, program: str) -> list[float]:
        folder = str(tmp_path / name)
        host = hosts(TORCHINDUCTOR_CACHE_DIR=folder, MITHRIL_CACHE_DIR=str(tmp_path / "cache"))
        return [host.run(program, ATEN_CPU_CAPABILITY=isa).error for isa in ("avx512", "avx2")]

    plain = share("plain", MODEL + WRONG + "report(error=error())")
    assert plain[0] < 1e-5 < plain[1], "torch no longer mixes instruction sets up: this part of mithril can go"
    manager = "from mithril.cache import CacheConfig, CacheManager\nmanager = CacheManager(CacheConfig.from_env())\n"
    # What is assigned to torch's configs holds for one thread only; a tag of the user's must not undo it.
    thread = (
        "import torch.compiler.config, threading\ndef work():\n"
        "    torch.compiler.config.cache_key_tag = 'mine'\n    errors.append(error())\n"
        "errors = []\nthread = threading.Thread(target=work)\nthread.start()\nthread.join()\n"
    )
    served = share("served", MODEL + manager + WRONG + thread + "report(manager, error=errors[0])")
    assert max(served) < 1e-5
    for isa in ("avx512", "avx2"):  # each finds its own again, in the store
        host = hosts(MITHRIL_CACHE_DIR=str(tmp_path / "cache"), ATEN_CPU_CAPABILITY=isa)
        report = host.run(MODEL + manager + WRONG + thread + "report(manager, error=errors[0])")
        assert report.builds == 0
        assert report.layer("fx").hits == 1
        assert report.error < 1e-5


def test_another_compiler_is_another_key(hosts: MakeHost, filled: Path) -> None:
    """The same one in another place is the same; one that predefines other things is not."""
    host = hosts()
    moved, other = host.folder / "moved" / "g++", host.folder / "other" / "g++"
    for path in (moved, other):
        path.parent.mkdir()
    moved.symlink_to(host.folder / "bin" / "g++")
    other.write_text('#!/bin/sh\nexec /usr/bin/g++ -DOTHER_COMPILER "$@"\n')
    other.chmod(0o755)
    report = host.run(SERVED, MITHRIL_CACHE_DIR=str(filled), CXX=str(moved))
    assert report.layer("kernel").misses == 0
    report = hosts().run(SERVED, MITHRIL_CACHE_DIR=str(filled), CXX=str(other))
    assert report.layer("kernel").hits == 0
    assert report.error < 1e-5


def test_damage_is_a_miss(hosts: MakeHost, store: Path) -> None:
    for path in (store / "store" / "objects").rglob("*"):
        if path.is_file():
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            path.write_bytes(data)
    report = hosts().run(SERVED, MITHRIL_CACHE_DIR=str(store))
    assert report.layer("kernel").hits < report.layer("kernel").misses
    assert report.error < 1e-5
    assert hosts().run(SERVED, MITHRIL_CACHE_DIR=str(store)).builds == 0


def test_a_signature_can_be_required(hosts: MakeHost, store: Path, tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("11" * 32)
    key.chmod(0o600)
    policy = {"MITHRIL_CACHE_DIR": str(store), "MITHRIL_CACHE_KEY_FILE": str(key), "MITHRIL_CACHE_TRUST": "require"}
    report = hosts().run(SERVED, **policy)  # what is there was signed by nobody
    assert {name: report.layer(name).hits for name in ("kernel", "fx", "aot")} == {"kernel": 0, "fx": 0, "aot": 0}
    report = hosts().run(SERVED, **policy)
    assert report.builds == 0


def test_a_bundle_carries_a_run(hosts: MakeHost, filled: Path, tmp_path: Path) -> None:
    bundle = tmp_path / "run.mithril"
    hosts().run(SERVED + "manager.export(sys.argv[1])\nreport(manager)", str(bundle), MITHRIL_CACHE_DIR=str(filled))
    report = hosts().run(
        SERVED.replace("error = run", "came = manager.import_(sys.argv[1])\nerror = run").replace(
            "error=error", "error=error, came=came.records"
        ),
        str(bundle),
        MITHRIL_CACHE_DIR=str(tmp_path / "elsewhere"),
    )
    assert report.builds == 0
    assert report.came >= 3


def test_a_shared_store_fills_an_empty_host(hosts: MakeHost, filled: Path, tmp_path: Path) -> None:
    host = hosts(MITHRIL_CACHE_DIR=str(tmp_path / "cache"), MITHRIL_REMOTE_URL=str(filled.parent / "remote"))
    report = host.run(SERVED)
    assert report.builds == 0
    assert report.layer("kernel").remote_hits == report.layer("kernel").hits > 0
    report = host.run(SERVED, MITHRIL_OFFLINE="1", TORCHINDUCTOR_CACHE_DIR=str(tmp_path / "inductor"))
    assert report.layer("kernel").remote_hits == 0
    assert report.builds == 0


def test_a_store_that_cannot_be_written(hosts: MakeHost, tmp_path: Path) -> None:
    root = tmp_path / "cache"
    (root / "store").mkdir(parents=True)
    for name in ("objects", "records"):
        (root / "store" / name).write_text("a file where a folder should be")
    report = hosts().run(
        PRODUCT
        + "error = run()\nfrom mithril.cache._manager import active_manager\nreport(active_manager(), error=error)",
        MITHRIL_CACHE="1",
        MITHRIL_CACHE_DIR=str(root),
    )
    assert report.error == 0


def test_an_older_torch_degrades_with_one_warning(hosts: MakeHost, filled: Path) -> None:
    program = MODEL + (
        "import torch._inductor.remote_cache as remote_cache\n"
        "del remote_cache.RemoteCache.backend_override_cls\n"
        "import torch._inductor.codecache as codecache\n"
        "class Old:\n"
        "    def __getattr__(self, name):\n"
        "        if name in ('_precompile_header', 'write'): raise AttributeError(name)\n"
        "        return getattr(codecache, name)\n"
        "sys.modules['torch._inductor'].codecache = Old()\n"
        "from mithril.cache import CacheConfig, CacheManager\n"
        "manager = CacheManager(CacheConfig.from_env())\n"
        "sys.modules['torch._inductor'].codecache = codecache\n"
    )
    host = hosts(MITHRIL_CACHE_DIR=str(filled))
    report = host.run(program + "report(manager)")
    (warning,) = report.warnings
    assert "backend_override_cls" in warning
    assert "_precompile_header" in warning


def test_too_late(hosts: MakeHost, filled: Path) -> None:
    program = PRODUCT + "run()\nmanager = CacheManager(CacheConfig.from_env())\nreport(manager, error=run(power=3))\n"
    report = hosts().run(program, MITHRIL_CACHE_DIR=str(filled))
    (warning,) = report.warnings
    assert "before the first compiled call" in warning
    assert report.layer("fx").puts == 1  # what is compiled afterwards is served
    assert report.error == 0


def test_deactivation_restores_everything(hosts: MakeHost, filled: Path) -> None:
    program = (
        MODEL
        + """
import torch._inductor.codecache as codecache, torch._inductor.config, torch._functorch.config, torch._dynamo.config
import torch._inductor.remote_cache as remote_cache, torch.compiler.config

def state():
    base = remote_cache.RemoteCache
    classes = [c for c in vars(remote_cache).values() if isinstance(c, type) and issubclass(c, base)]
    return (
        [getattr(codecache, name) for name in ("write", "_precompile_header")],
        [(c, vars(c).get("backend_override_cls")) for c in classes],
        [torch._inductor.config.fx_graph_remote_cache, torch._inductor.config.autotune_remote_cache],
        torch._functorch.config.enable_remote_autograd_cache, torch._dynamo.config.automatic_dynamic_remote_pgo,
        codecache.FxGraphHashDetails.__init__,
        {name: value for name, value in os.environ.items() if not name.startswith("_")}, sys.meta_path[:],
    )

from mithril.cache import CacheConfig, CacheManager
os.environ.pop("TORCHINDUCTOR_CACHE_DIR")
before = state()
manager = CacheManager(CacheConfig.from_env())
during = state()
error = run()
manager.deactivate()
after = state()
same = [a == b for a, b in zip(before, after)]
changed = [a != b for a, b in zip(before, during)]
hits = manager.tiers.snapshot()["fx"].hits
unlike = [(a, b) for a, b in zip(before, after) if a != b]
report(same=same, changed=changed, hits=hits, still=run(), unlike=repr(unlike))
"""
    )
    report = hosts().run(program, MITHRIL_CACHE_DIR=str(filled))
    assert report.same == [True] * 8, report.unlike
    assert report.changed[:7] == [True] * 7
    assert report.hits == 1


def test_torch_artifacts_saved_twice(hosts: MakeHost, tmp_path: Path) -> None:
    """torch's second save loses, when loaded, what was compiled before the first. Through mithril nothing is lost."""
    blobs = [str(tmp_path / "plain"), str(tmp_path / "merged")]
    save = PRODUCT + (
        "manager = CacheManager(CacheConfig(sys.argv[3]))\n"
        "run(2); torch.compiler.save_cache_artifacts(); run(3)\n"
        "open(sys.argv[1], 'wb').write(torch.compiler.save_cache_artifacts()[0])\n"
        "open(sys.argv[2], 'wb').write(manager.save_torch_artifacts())\nreport()\n"
    )
    hosts().run(save, *blobs, str(tmp_path / "cache"))
    plain = PRODUCT + "torch.compiler.load_cache_artifacts(open(sys.argv[1], 'rb').read()); run(2); report()"
    lost = hosts().run(plain, blobs[0])
    assert lost.torch["aot"] == 0, "torch mended it: this part of mithril can go"
    assert hosts().run(plain, blobs[1]).torch["aot"] == 1
    ours = PRODUCT + (
        "manager = CacheManager(CacheConfig(sys.argv[2]))\n"
        "kinds = manager.load_torch_artifacts(open(sys.argv[1], 'rb').read())\nrun(2)\nreport(manager, kinds=kinds)"
    )
    report = hosts().run(ours, blobs[0], str(tmp_path / "cache"))
    assert report.torch["aot"] == 1
    assert report.kinds["aot_autograd"] == 2


def test_profiles_of_a_job_are_kept(hosts: MakeHost, tmp_path: Path) -> None:
    """torch's profile of which sizes vary, kept for jobs that have a name."""
    program = PRODUCT + (
        "manager = CacheManager(CacheConfig.from_env())\n"
        "product = torch.compile(lambda x: x @ x)\n"
        "for size in (3, 4): product(torch.ones(size, size))\nreport(manager)\n"
    )
    job = {"MITHRIL_CACHE_DIR": str(tmp_path / "cache"), "TORCH_COMPILE_JOB_ID": "job"}
    assert hosts(**job).run(program).layer("pgo").puts > 0
    assert hosts(**job).run(program).layer("pgo").hits == 1


def test_all_remote_caches_of_torch_are_served(hosts: MakeHost, tmp_path: Path) -> None:
    """Autotuning has no CPU kernels to tune, so its caches are asked as torch asks them."""
    program = MODEL + (
        "import torch._inductor.codecache\nfrom torch._inductor.remote_cache import create_cache\n"
        "from mithril.cache import CacheConfig, CacheManager\nmanager = CacheManager(CacheConfig.from_env())\n"
        "found = {}\n"
        "for kind in ('FxGraph', 'AOTAutograd', 'Autotune', 'BundledAutotune', 'DynamoPGO'):\n"
        "    for number in (1, 2):\n"  # of autotuning, what is tuned is in the name of the cache
        "        cache = create_cache(f'id-{number}', False, '', f'Remote{kind}Cache')\n"
        "        found[f'{kind} {number}'] = cache.get('key')\n"
        "        cache.put('key', {'data': 'cGlja2xl', 'time_taken_ms': number, 'kind': kind})\n"
        "report(manager, found=found)\n"
    )
    environment = {"MITHRIL_CACHE_DIR": str(tmp_path / "cache")}
    assert set(hosts().run(program, **environment).found.values()) == {None}
    report = hosts().run(program, **environment)
    for kind in ("FxGraph", "AOTAutograd", "Autotune", "BundledAutotune", "DynamoPGO"):
        for number in (1, 2):
            assert report.found[f"{kind} {number}"] == {"data": "cGlja2xl", "time_taken_ms": number, "kind": kind}
    assert {layer[0] for name, layer in report.layers.items() if name != "kernel"} == {2}
