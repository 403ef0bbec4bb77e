"""The public face: names, cheap imports, errors."""

import builtins
import importlib
import inspect
import pickle
import re
from pathlib import Path

import pytest

import mithril
import mithril.cache
import mithril.checkpoint
import mithril.dedup


def test_importing_is_cheap(run_python) -> None:
    loaded = run_python(
        "import sys, mithril, mithril.cache, mithril.checkpoint, mithril.dedup; dir(mithril); mithril.CorruptError\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    ).split()
    assert "mithril" in loaded
    assert not {"torch", "numpy", "safetensors", "asyncio", "logging", "blake3", "click", "obstore"} & set(loaded)


def test_the_config_needs_no_torch(run_python) -> None:
    program = "import sys, mithril; mithril.CompressionConfig.best(); print('torch' in sys.modules)"
    assert run_python(program).strip() == "False"


def test_the_compressor_works_without_torch(run_python) -> None:
    program = """
import sys
sys.modules["torch"] = sys.modules["numpy"] = None  # not installed
import mithril
compressor = mithril.CheckpointCompressor()
blob = compressor.compress(b"ab" * 1000, "bf16")
assert compressor.decompress(blob, "bf16", 2000, out=bytearray(2000)) == b"ab" * 1000
"""
    run_python(program)


PACKAGES = [mithril, mithril.cache, mithril.checkpoint, mithril.dedup]


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.__name__)
def test_every_public_name_is_there_and_documented(package) -> None:
    assert sorted(set(package.__all__)) == package.__all__
    assert set(package.__all__) <= set(dir(package))
    for name in package.__all__:
        assert inspect.getdoc(getattr(package, name)), name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = package.nothing


def test_the_top_level_repeats_the_packages() -> None:
    errors = {name for name in mithril.__all__ if name.endswith("Error")}
    cache = set(mithril.__all__) & set(mithril.cache.__all__)
    assert {"CacheConfig", "CacheManager", "ContentStore", "VllmCacheManager", "SglangCacheManager"} <= cache
    dedup = set(mithril.__all__) & set(mithril.dedup.__all__)
    assert {"DedupConfig", "Deduplicator", "DedupResult", "DedupStats", "deduplicate_files"} == dedup
    assert set(mithril.__all__) == errors | cache | dedup | set(mithril.checkpoint.__all__)
    for package, names in (
        (mithril.checkpoint, mithril.checkpoint.__all__),
        (mithril.cache, cache),
        (mithril.dedup, dedup),
    ):
        for name in names:
            assert getattr(mithril, name) is getattr(package, name)


def test_the_readme_names_what_exists() -> None:
    readme = Path(__file__).parents[2] / "README.md"
    packages = "cache", "checkpoint", "dedup", "inductor", "ops", "storage"
    names = re.findall(rf"\bmithril\.((?:(?:{'|'.join(packages)})\.)?)(\w+)", readme.read_text())
    used = {(package, name) for package, name in names if name not in packages}
    assert len(used) > 5
    for package, name in used:
        module = importlib.import_module(f"mithril.{package}".rstrip("."))
        assert name in module.__all__, f"{package}{name}"


def test_star_import(run_python) -> None:
    run_python("from mithril import *; save_file, load_file, MithrilError; from mithril.checkpoint import *")


def test_other_modules_are_private() -> None:
    for package in PACKAGES:
        public = [name for name in vars(package) if not name.startswith("_") and inspect.ismodule(vars(package)[name])]
        assert set(public) <= {"cache", "checkpoint", "cli", "dedup", "inductor", "ops", "ray", "storage"}


ERRORS = {
    "InvalidArgumentError": ValueError,
    "UnsupportedError": NotImplementedError,
    "TruncatedError": EOFError,
    "CorruptError": ValueError,
    "NotFoundError": KeyError,
    "UntrustedError": ValueError,
    "StorageError": OSError,
    "StorageNotFoundError": FileNotFoundError,
    "StorageExistsError": FileExistsError,
}


def test_the_error_tree() -> None:
    assert {"MithrilError", *ERRORS} == {name for name in mithril.__all__ if name.endswith("Error")}
    for name, base in ERRORS.items():
        error = getattr(mithril, name)
        assert issubclass(error, mithril.MithrilError)
        assert issubclass(error, base)
        assert getattr(builtins, base.__name__) is base
    assert str(mithril.NotFoundError("no 'x'")) == "no 'x'"
    error = mithril.StorageNotFoundError(2, "No such file", "x.mcp")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.errno, copy.filename, str(copy)) == (type(error), 2, "x.mcp", str(error))


def test_a_missing_core_says_how_to_build_it(run_python) -> None:
    program = """
import sys
sys.modules["mithril._core"] = None
import mithril
mithril.CompressionConfig()
try:
    mithril.load_file
except ImportError as error:
    print(error)
"""
    assert "pip install" in run_python(program)


def test_missing_operators_are_unsupported(run_python) -> None:
    program = """
import sys, importlib.util
from mithril._native import load_ops
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "mithril._ops" else found(name, *rest)
from mithril import UnsupportedError
for hide_torch in (False, True):
    if hide_torch:
        sys.modules["torch"] = None
    try:
        load_ops()
    except UnsupportedError as error:
        print(error)
"""
    without_ops, without_torch = run_python(program).splitlines()
    assert "mithril._ops" in without_ops
    assert "PyTorch" in without_torch


def test_operators_load_once() -> None:
    if importlib.util.find_spec("mithril._ops") is None:
        pytest.skip("built without operators")
    import torch

    from mithril._native import load_ops

    assert load_ops() is load_ops()
    assert load_ops() is torch.ops.mithril
