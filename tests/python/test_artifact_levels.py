"""Artifacts at several levels: what a device can use, and that nothing crosses to one that cannot."""

import json
import platform
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import fx

from mithril import InvalidArgumentError, StorageError
from mithril.cache._content import ContentStore
from mithril.cache._keys.device_class import DeviceClass
from mithril.cache._keys.graph_key import GraphKey, graph_key
from mithril.cache._keys.levels import Artifact, ArtifactLevel, best_artifact, can_use, put_artifact

BINARY, ASSEMBLY, IR, SOURCE = ArtifactLevel

AVX2 = DeviceClass("cpu", "x86_64", frozenset({"avx2", "fma", "vec:avx2"}))
AVX512 = DeviceClass("cpu", "x86_64", frozenset({"avx2", "fma", "avx512f", "vec:avx2", "vec:avx512"}))
NEON = DeviceClass("cpu", "aarch64", frozenset({"asimd"}))


def cuda(arch: str = "") -> DeviceClass:
    return DeviceClass("cuda", arch)


def key_for(device: DeviceClass, argument: int = 2) -> GraphKey:
    graph = fx.symbolic_trace(lambda x: x + argument)
    return graph_key(graph, [torch.ones(3)], device=device)


@pytest.fixture
def store(tmp_path: Path) -> ContentStore:
    return ContentStore(tmp_path / "store")


# made for, then the devices that can use it, of these
DEVICES = ("7.0", "7.2", "7.5", "8.0", "8.6", "8.7", "8.9", "9.0", "10.0", "10.3", "11.0", "12.0", "12.1")
BINARIES = {
    "7.0": {"7.0", "7.5"},
    "7.2": {"7.2"},
    "8.0": {"8.0", "8.6", "8.9"},
    "8.6": {"8.6", "8.9"},
    "8.7": {"8.7"},
    "8.9": {"8.9"},
    "9.0": {"9.0"},
    "9.0a": {"9.0"},
    "10.0": {"10.0", "10.3"},
    "10.0a": {"10.0"},
    "10.0f": {"10.0", "10.3"},
    "10.3f": {"10.3"},
    "12.0f": {"12.0", "12.1"},
    "12.1": {"12.1"},
    "13.0": set(),
}
ASSEMBLIES = BINARIES | {
    arch: set(DEVICES[DEVICES.index(arch) :]) for arch in BINARIES if arch[-1] not in "af" and arch in DEVICES
}


@pytest.mark.parametrize("made_for", BINARIES)
def test_which_devices_run_cuda_code(made_for: str) -> None:
    for level, table in ((BINARY, BINARIES), (ASSEMBLY, ASSEMBLIES)):
        assert {arch for arch in DEVICES if can_use(cuda(arch), level, cuda(made_for))} == table[made_for]
    assert not can_use(cuda(), BINARY, cuda(made_for))
    assert not can_use(cuda(), ASSEMBLY, cuda(made_for))
    assert all(can_use(cuda(arch), level, cuda()) for level in (IR, SOURCE) for arch in ("", "7.0", "12.1"))


@pytest.mark.parametrize("level", [BINARY, ASSEMBLY])
def test_which_processors_run_code(level: ArtifactLevel) -> None:
    assert can_use(AVX512, level, AVX2)
    assert not can_use(AVX2, level, AVX512)
    assert not can_use(NEON, level, AVX2)
    assert not can_use(DeviceClass("cpu"), level, AVX2)
    assert can_use(DeviceClass("hip", "gfx942"), level, DeviceClass("hip", "gfx942"))
    assert not can_use(DeviceClass("hip", "gfx942"), level, DeviceClass("hip", "gfx90a"))


@pytest.mark.parametrize("level", ArtifactLevel)
def test_nothing_crosses_kinds(level: ArtifactLevel) -> None:
    kinds = [AVX2, cuda("9.0"), DeviceClass("hip", "gfx942"), DeviceClass("mps")]
    assert not any(can_use(a, level, b) for a in kinds for b in kinds if a != b)


def test_falls_back_by_level_and_never_to_what_cannot_run(store: ContentStore) -> None:
    key = key_for(cuda("9.0"))
    assert best_artifact(store, key) is None
    for level, device in [(BINARY, "8.9"), (BINARY, "10.0"), (ASSEMBLY, "8.0a"), (ASSEMBLY, "10.0")]:
        put_artifact(store, key, level, b"for others", cuda(device))
        assert best_artifact(store, key) is None
    steps = [(SOURCE, ""), (IR, ""), (ASSEMBLY, "7.0"), (ASSEMBLY, "8.0"), (ASSEMBLY, "9.0"), (BINARY, "9.0")]
    for level, device in steps:
        put_artifact(store, key, level, f"{level} {device}".encode(), cuda(device) if device else None)
        assert best_artifact(store, key) == Artifact(level, cuda(device), f"{level} {device}".encode())


def test_other_devices_find_what_they_can_use(store: ContentStore) -> None:
    key = key_for(cuda("8.0"))
    put_artifact(store, key, BINARY, b"cubin 8.0")
    put_artifact(store, key, BINARY, b"cubin 8.6", cuda("8.6"))
    put_artifact(store, key, ASSEMBLY, b"ptx 8.0")
    put_artifact(store, key, IR, b"ir")

    def found(arch: str) -> bytes | None:
        artifact = best_artifact(store, key_for(cuda(arch)))
        return artifact.data if artifact else None

    assert found("8.0") == b"cubin 8.0"
    assert found("8.6") == b"cubin 8.6"
    assert found("8.9") == b"cubin 8.6"
    assert found("9.0") == b"ptx 8.0"
    for suffix in ("a", "f", ""):
        put_artifact(store, key, BINARY, f"cubin 10.0{suffix}".encode(), cuda(f"10.0{suffix}"))
    assert found("10.0") == b"cubin 10.0a"
    assert found("10.3") == b"cubin 10.0f"
    assert found("8.7") == b"ptx 8.0"
    assert found("7.5") == b"ir"
    assert found("") == b"ir"
    assert best_artifact(store, key_for(AVX2)) is None
    assert best_artifact(store, key_for(cuda("8.0"), argument=3)) is None


def test_processors_take_the_richest_code_they_can_run(store: ContentStore) -> None:
    put_artifact(store, key_for(AVX2), BINARY, b"avx2")
    assert best_artifact(store, key_for(NEON)) is None
    for key in (key_for(AVX2), key_for(AVX512)):
        assert best_artifact(store, key) == Artifact(BINARY, AVX2, b"avx2")
    put_artifact(store, key_for(AVX512), BINARY, b"avx512")
    assert best_artifact(store, key_for(AVX512)) == Artifact(BINARY, AVX512, b"avx512")
    assert best_artifact(store, key_for(AVX2)) == Artifact(BINARY, AVX2, b"avx2")
    richer = DeviceClass("cpu", "x86_64", AVX512.features | {"amx_tile"})
    assert best_artifact(store, key_for(richer)) == Artifact(BINARY, AVX512, b"avx512")


def test_code_for_no_architecture_is_refused(store: ContentStore) -> None:
    for level in (BINARY, ASSEMBLY):
        with pytest.raises(InvalidArgumentError, match=f"{level.value} made for any cuda"):
            put_artifact(store, key_for(cuda()), level, b"code")


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"{",
        b"null",
        b"7",
        b'{"a": 1}',
        b"[1]",
        b'[["binary"]]',
        b'[["binary", 3]]',
        b'[["machine", "cuda 9.0"]]',
        b'[["binary", "cuda 9.0 ../../etc"]]',
        b"[" * 100_000,
    ],
)
def test_an_index_that_cannot_be_read_is_none(store: ContentStore, junk: bytes) -> None:
    key = key_for(cuda("9.0"))
    put_artifact(store, key, BINARY, b"cubin")
    store.put_group("artifact-index", key.portable_digest, {"data": junk})
    assert best_artifact(store, key) == Artifact(BINARY, cuda("9.0"), b"cubin")
    assert best_artifact(store, key_for(cuda("9.1"))) is None
    put_artifact(store, key, BINARY, b"cubin")
    assert best_artifact(store, key_for(cuda("9.1"))) == Artifact(BINARY, cuda("9.0"), b"cubin")


def test_an_index_that_promises_too_much_is_a_miss(store: ContentStore) -> None:
    key = key_for(cuda("9.0"))
    rows = [["binary", "cuda 9.0"], ["assembly", "cuda 8.0"], ["ir", "cuda"]] * 1000
    store.put_group("artifact-index", key.portable_digest, {"data": json.dumps(rows).encode()})
    assert best_artifact(store, key) is None


def test_writers_at_once_keep_their_own(store: ContentStore) -> None:
    archs = [f"8.{minor}" for minor in range(8)]

    def write(arch: str) -> None:
        put_artifact(store, key_for(cuda("8.0")), BINARY, arch.encode(), cuda(arch))

    threads = [threading.Thread(target=write, args=(arch,)) for arch in archs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for arch in archs:
        assert best_artifact(store, key_for(cuda(arch))) == Artifact(BINARY, cuda(arch), arch.encode())


def test_a_store_that_cannot_write_says_so(store: ContentStore) -> None:
    put_artifact(store, key_for(AVX2), SOURCE, b"source")
    reader = ContentStore(store.root, read_only=True)
    assert best_artifact(reader, key_for(AVX512)) == Artifact(SOURCE, DeviceClass("cpu"), b"source")
    with pytest.raises(StorageError):
        put_artifact(reader, key_for(AVX2), SOURCE, b"another")


@pytest.mark.parametrize("device", [AVX2, AVX512, NEON, cuda(), cuda("9.0a"), DeviceClass("hip", "gfx942:xnack-")])
def test_text_of_a_device_class(device: DeviceClass) -> None:
    assert DeviceClass.parse(str(device)) == device


@pytest.mark.parametrize("text", ["", " ", "cuda sm_90", "cuda 9", "cuda 9.0b", "cpu  avx2", "cpu x86_64 ../x", "a\nb"])
def test_text_of_no_device_class(text: str) -> None:
    with pytest.raises(InvalidArgumentError):
        DeviceClass.parse(text)


def test_class_of_this_machine(run_python: Callable[..., str]) -> None:
    here = DeviceClass.of("cpu")
    assert here == DeviceClass.of(torch.device("cpu")) == DeviceClass.parse(str(here))
    assert here.arch == platform.machine()
    assert DeviceClass.of("cuda 9.0") == cuda("9.0")
    if not torch.cuda.is_available():
        assert DeviceClass.of("cuda:1") == cuda()
    if "vec:avx2" not in here.features:
        pytest.skip("the processor has no AVX2")
    program = "from mithril.cache._keys.device_class import DeviceClass; print(DeviceClass.of('cpu'))"
    narrowed = DeviceClass.parse(run_python(program, ATEN_CPU_CAPABILITY="default").strip())
    assert here.features - narrowed.features == {word for word in here.features if word.startswith("vec:")}
    assert can_use(here, BINARY, narrowed)
    assert not can_use(narrowed, BINARY, here)
