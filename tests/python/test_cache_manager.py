"""CacheManager and bundles, without compiling: stores, folders, statistics, signatures."""

import contextlib
import importlib.util
import json
import os
import time
import warnings
from pathlib import Path

import pytest

import mithril
from mithril.cache import CacheConfig, CacheManager, ContentStore, Trust
from mithril.cache._bundle import export_bundle, import_bundle
from mithril.cache._inductor.import_hook import ImportHook
from mithril.cache._tiers import Tiers, process_tiers

KEY = bytes(range(32))


@pytest.fixture
def manager(tmp_path: Path) -> CacheManager:
    return CacheManager(CacheConfig(tmp_path / "cache"))


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(f"# the key\n{KEY.hex()}\n")
    path.chmod(0o600)
    return path


def fill(manager: CacheManager) -> None:
    manager.tiers.put("fx", "small", {"data": b"graph", "fields": b"{}"}, fingerprint="here", seconds=2.0)
    manager.tiers.put("kernel", "large", {"so": os.urandom(30_000)}, seconds=5.0)


def test_a_passive_manager_changes_nothing(manager: CacheManager) -> None:
    assert not manager.is_active
    assert "MITHRIL_CACHE" not in os.environ
    manager.deactivate()


def test_statistics_of_this_and_of_all_processes(manager: CacheManager) -> None:
    fill(manager)
    assert manager.tiers.get("kernel", "large") is not None
    assert manager.tiers.get("kernel", "other") is None
    assert manager.tiers.get("fx", "small", fingerprint="elsewhere") is None
    stats = manager.stats()
    assert (stats.hits, stats.misses, stats.records, stats.objects) == (1, 2, 2, 1)
    assert stats.seconds_saved == 5.0
    assert stats.layers["kernel"].bytes_read == 30_000
    manager.flush()
    manager.flush()  # nothing is counted twice
    other = CacheManager(manager.config)
    assert (other.stats().hits, other.stats().total_hits) == (0, 1)
    assert other.tiers.get("fx", "small", fingerprint="here") is not None
    assert other.stats().total_hits == 2
    assert other.stats().seconds_saved == 2.0


def test_layers_that_overlap_count_once(manager: CacheManager) -> None:
    for name, seconds in (("aot", 12.0), ("fx", 11.0), ("kernel", 9.0), ("triton", 3.0)):
        manager.tiers.put(name, "key", {"a": b"b"}, seconds=seconds)
        manager.tiers.get(name, "key")
    assert manager.stats().seconds_saved == 15.0


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"fx": 1}', '{"fx": {"hits": "many"}}', "null", '{"fx": {"hits": 1e999}}', "[" * 100_000]
)
def test_damaged_statistics_start_again(manager: CacheManager, text: str) -> None:
    (manager.config.root_dir / "statistics.json").write_text(text)
    fill(manager)
    manager.flush()
    assert json.loads((manager.config.root_dir / "statistics.json").read_text())["fx"]["puts"] == 1


def test_a_forked_child_reports_only_its_own(manager: CacheManager) -> None:
    fill(manager)
    child = os.fork()
    if child == 0:
        manager.tiers.get("kernel", "large")
        manager.flush()
        os._exit(len(manager.tiers.layers["kernel"].__dict__) == 0 or manager.tiers.layers["kernel"].puts)
    assert os.waitpid(child, 0)[1] == 0
    manager.flush()
    total = json.loads((manager.config.root_dir / "statistics.json").read_text())
    assert total["kernel"]["puts"] == 1
    assert total["kernel"]["hits"] == 0


def test_clear(manager: CacheManager) -> None:
    fill(manager)
    manager.flush()
    assert manager.scan().files_found > 3
    manager.clear()
    stats = manager.stats()
    assert (stats.records, stats.objects, stats.total_hits) == (0, 0, 0)
    assert manager.tiers.get("kernel", "large") is None


def test_gc_trims_the_working_folders(tmp_path: Path) -> None:
    manager = CacheManager(CacheConfig(tmp_path, max_size_bytes=1 << 20))
    folder = tmp_path / "inductor" / "kind"
    folder.mkdir(parents=True)
    for number in range(5):
        path = folder / f"{number}.so"
        path.write_bytes(bytes(400_000))
        age = time.time() - 7200 + number
        os.utime(path, (age, age))
    (folder / "young.so").write_bytes(bytes(400_000))
    (folder / "key.lock").write_bytes(b"")
    os.utime(folder / "key.lock", (0, 0))
    manager.deactivate()  # of the first process for an hour
    assert sorted(path.name for path in folder.iterdir()) == ["4.so", "key.lock", "young.so"]
    (folder / "old.so").write_bytes(bytes(400_000))
    os.utime(folder / "old.so", (1, 1))
    manager.deactivate()
    assert (folder / "old.so").exists()
    manager.gc()
    assert not (folder / "old.so").exists()


def test_a_list_of_what_lies_elsewhere(tmp_path: Path) -> None:
    manager = CacheManager(CacheConfig(tmp_path, max_size_bytes=1 << 20))
    assert [manager.record_entry(name, 500_000) for name in "ab"] == [[], []]
    manager.record_access("a")
    manager.record_access("nothing")
    assert manager.record_entry("c", 500_000) == ["b"]
    assert manager.record_entry("huge", 2 << 20) == ["a", "c"]


def test_without_a_shared_store(manager: CacheManager, tmp_path: Path) -> None:
    with pytest.raises(mithril.UnsupportedError, match="MITHRIL_REMOTE_URL"):
        _ = manager.remote
    offline = CacheManager(CacheConfig(tmp_path / "b", remote_url=str(tmp_path / "remote"), offline=True))
    with pytest.raises(mithril.UnsupportedError, match="MITHRIL_OFFLINE"):
        _ = offline.remote


def test_settings_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(mithril.InvalidArgumentError, match="MITHRIL_INDUCTOR_LOG_LEVEL"):
        CacheManager(CacheConfig(tmp_path, log_level="LOUD"))
    with pytest.raises(mithril.InvalidArgumentError, match="max_size_bytes"):
        CacheConfig(tmp_path, max_size_bytes=1000)


def test_with_required_signatures_the_working_folders_are_private(tmp_path: Path, key_file: Path) -> None:
    config = CacheConfig(tmp_path / "cache", key_file=key_file, trust="require", triton=True)
    folder = tmp_path / "cache" / "triton"
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    with pytest.raises(mithril.InvalidArgumentError, match="triton"):
        CacheManager(config)
    assert "TRITON_CACHE_MANAGER" not in os.environ
    folder.chmod(0o700)
    (tmp_path / "cache").chmod(0o777)  # somebody could put another folder in its place
    with pytest.raises(mithril.InvalidArgumentError, match="cache belongs"):
        CacheManager(config)
    (tmp_path / "cache").chmod(0o700)
    with CacheManager(config) as manager:
        assert os.environ["TRITON_CACHE_DIR"] == str(folder)
        with pytest.raises(mithril.UntrustedError, match="no signature"):
            manager.load_torch_artifacts(b"anything")
    assert "TRITON_CACHE_DIR" not in os.environ


def test_the_newest_manager_serves(tmp_path: Path) -> None:
    first = CacheManager(CacheConfig(tmp_path / "a", triton=True))
    second = CacheManager(CacheConfig(tmp_path / "b", triton=True))
    assert (first.is_active, second.is_active) == (False, True)
    assert process_tiers() is second.tiers
    first.deactivate()
    assert os.environ["MITHRIL_CACHE_DIR"] == str(tmp_path / "b")
    second.deactivate()
    assert "MITHRIL_CACHE_DIR" not in os.environ
    assert process_tiers() is None


class Failing(ContentStore):
    """A store whose disk has gone."""

    def get_group(self, *arguments: object, **options: object) -> None:  # type: ignore[override]
        raise OSError(5, "gone")

    put_group = get_group  # type: ignore[assignment]


def test_tiers_never_raise(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tiers = Tiers(Failing(tmp_path))
    for _ in range(3):
        assert tiers.get("fx", "key") is None
        tiers.put("fx", "key", {"a": b"b"})
        tiers.put("fx", "key", {})
    assert tiers.layers["fx"].errors == 9
    assert [record.levelname for record in caplog.records].count("WARNING") == 2  # each failure is told once
    assert Tiers().get("fx", "key") is None


def test_a_hook_runs_once_when_the_module_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "late_module.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    calls = []
    ImportHook("late_module", lambda: calls.append("first"))
    assert importlib.util.find_spec("late_module") is not None  # looking is not importing
    removed = ImportHook("late_module", lambda: calls.append("removed"))
    removed.remove()
    assert calls == []
    import late_module  # type: ignore[import-not-found]

    assert calls == ["first"]
    assert late_module.value == 1
    assert type(late_module.__loader__).__name__ == type(late_module.__spec__.loader).__name__ == "SourceFileLoader"
    ImportHook("late_module", lambda: calls.append("at once"))
    assert calls == ["first", "at once"]


def test_a_bundle_and_back(manager: CacheManager, tmp_path: Path) -> None:
    fill(manager)
    manager.tiers.put("kernel", "unused", {"so": os.urandom(9000)})
    manager.tiers.used.pop(("kernel", "", "unused"))
    written = manager.export(tmp_path / "run")
    assert (written.records, written.objects) == (2, 1)
    assert manager.export(tmp_path / "all", everything=True).records == 3
    other = CacheManager(CacheConfig(tmp_path / "other"))
    read = other.import_(tmp_path / "run")
    assert (read.records, read.objects, read.skipped) == (2, 1, 0)
    for namespace, key, fingerprint in (("fx", "small", "here"), ("kernel", "large", "")):
        ours = other.tiers.get(namespace, key, fingerprint=fingerprint)
        assert ours == manager.tiers.get(namespace, key, fingerprint=fingerprint) is not None
    assert other.tiers.get("kernel", "unused") is None


def test_every_damage_to_a_bundle_is_noticed(tmp_path: Path) -> None:
    source = ContentStore(tmp_path / "source")
    source.put_group("fx", "a", {"data": b"x" * 20, "big": bytes(5000)})
    path = tmp_path / "bundle"
    export_bundle(source, path, trust=Trust())
    data = path.read_bytes()
    broken = tmp_path / "broken"
    noticed = (mithril.CorruptError, mithril.TruncatedError)
    for position in range(0, len(data), 1 if len(data) < 800 else 7):
        broken.write_bytes(data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :])
        target = ContentStore(tmp_path / "target")
        with contextlib.suppress(*noticed):
            assert import_bundle(target, broken, trust=Trust()).skipped == 1
        assert target.get_group("fx", "a") is None
        target.clear()
        broken.write_bytes(data[:position])
        with pytest.raises(noticed, match="broken"):
            import_bundle(target, broken, trust=Trust())
    broken.write_bytes(data + b"x")
    with pytest.raises(mithril.CorruptError, match="after the last object"):
        import_bundle(ContentStore(tmp_path / "target"), broken, trust=Trust())


def test_a_bundle_claims_no_memory(tmp_path: Path) -> None:
    """A list that names petabytes fails when the file ends, not before by allocating."""
    from blake3 import blake3

    text = json.dumps({"records": [], "objects": [["0" * 64, 4 << 30]] * 1000}).encode()
    rest = bytes(40) + len(text).to_bytes(8, "little") + text
    path = tmp_path / "bomb"
    path.write_bytes(b"MITHBUN1" + blake3(rest).digest() + rest + b"end")
    with pytest.raises(mithril.TruncatedError, match="more were to come"):
        import_bundle(ContentStore(tmp_path / "store"), path, trust=Trust())


def test_a_signed_bundle(tmp_path: Path) -> None:
    signed = Trust("require", (KEY,))
    ours = ContentStore(tmp_path / "ours", trust=signed)
    ours.put_group("fx", "a", {"data": b"x"})
    export_bundle(ours, tmp_path / "bundle", trust=signed)
    theirs = ContentStore(tmp_path / "theirs", trust=signed)
    assert import_bundle(theirs, tmp_path / "bundle", trust=signed).records == 1
    plain = ContentStore(tmp_path / "plain")
    plain.put_group("fx", "b", {"data": b"x"})
    export_bundle(plain, tmp_path / "unsigned", trust=Trust())
    with pytest.raises(mithril.UntrustedError, match="unsigned"):
        import_bundle(theirs, tmp_path / "unsigned", trust=signed)
    # Where it would be taken, what is signed is not given up for it.
    lenient = Trust("prefer", (KEY,))
    plain.put_group("fx", "a", {"data": b"evil"})
    export_bundle(plain, tmp_path / "unsigned", trust=Trust())
    assert import_bundle(ContentStore(theirs.root, trust=lenient), tmp_path / "unsigned", trust=lenient).skipped == 1
    group = theirs.get_group("fx", "a")
    assert group is not None
    assert group.members == {"data": b"x"}
    assert theirs.get_group("fx", "b") is None


def test_in_bulk(tmp_path: Path) -> None:
    url = str(tmp_path / "shared")
    here, there = (CacheManager(CacheConfig(tmp_path / name, remote_url=url)) for name in ("here", "there"))
    fill(here)
    assert here.push(["kernel"]).records == 1
    assert there.warmup().records == 1
    there.tiers.put("pgo", "new", {"data": b"profile"})
    assert here.sync().push.records == 1
    assert there.sync().push.records == 1
    assert here.pull(["pgo"]).records == 1
    assert here.tiers.get("pgo", "new") == {"data": b"profile"}


def test_a_shared_store_to_read_only(tmp_path: Path) -> None:
    config = CacheConfig(tmp_path / "cache", remote_url=str(tmp_path / "shared"), auto_push=True, remote_read_only=True)
    manager = CacheManager(config)
    fill(manager)
    manager.flush()
    assert not list(manager.remote.store.list())


def test_a_bundle_that_cannot_be_written_or_read(manager: CacheManager, tmp_path: Path) -> None:
    fill(manager)
    manager.export(tmp_path / "large", everything=True)
    with pytest.raises(mithril.StorageError, match="larger than the store"):
        import_bundle(ContentStore(tmp_path / "small", max_size_bytes=20_000), tmp_path / "large", trust=Trust())
    with pytest.raises(mithril.StorageError, match="bundle not written"):
        manager.export(tmp_path / "no" / "folder")
    with pytest.raises(mithril.StorageNotFoundError):
        manager.import_(tmp_path / "nothing")
    assert not list(tmp_path.glob(".*"))


def test_keys_come_from_private_files(tmp_path: Path, key_file: Path) -> None:
    assert Trust.from_file(key_file) == Trust("prefer", (KEY,))
    key_file.chmod(0o640)
    with pytest.raises(mithril.InvalidArgumentError, match="chmod 600"):
        Trust.from_file(key_file)
    key_file.chmod(0o600)
    for text, problem in (("", "no key"), ("12", "line 1"), (f"{KEY.hex()}\nnonsense", "line 2")):
        key_file.write_text(text)
        with pytest.raises(mithril.InvalidArgumentError, match=problem):
            Trust.from_file(key_file)
    assert KEY.hex() not in repr(Trust("prefer", (KEY,)))


def test_inductor_under_its_other_name(tmp_path: Path) -> None:
    import mithril.inductor as inductor

    assert not inductor.is_patched()
    assert inductor.get_stats() is None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # other tests of this process may have compiled
        manager = inductor.patch_inductor(tmp_path)
    assert inductor.is_patched()
    stats = inductor.get_stats()
    assert stats is not None
    assert stats.root_dir == tmp_path
    inductor.unpatch_inductor()
    inductor.unpatch_inductor()
    assert not manager.is_active


def test_half_a_surrogate_is_damage() -> None:
    """JSON can spell text that cannot be encoded; a store that someone else fills may hold it."""
    from blake3 import blake3

    from mithril.cache._record import decode_record, encode_record, make_record

    data = encode_record(make_record("fx", "here", "key-?????", {"a-?????": b"x"}), Trust())
    for good, bad in ((b"key-?????", rb"key\ud800"), (b"a-?????", rb"a\ud800")):
        broken = data[:8] + bytes(32) + data[40:].replace(good, bad)
        broken = data[:8] + blake3(broken[40:]).digest() + broken[40:]
        assert len(broken) == len(data)
        with pytest.raises(mithril.CorruptError):
            decode_record(broken, Trust())


def test_what_others_made_is_not_signed_here(tmp_path: Path, key_file: Path) -> None:
    """An unsigned group that comes from a shared store under `prefer` stays unsigned, and so never passes `require`."""
    shared = {"remote_url": str(tmp_path / "shared"), "auto_push": True}
    stranger = CacheManager(CacheConfig(tmp_path / "stranger", **shared))
    stranger.tiers.put("kernel", "key", {"so": bytes(9000)})
    stranger.flush()
    ours = CacheManager(CacheConfig(tmp_path / "ours", key_file=key_file, **shared))
    assert ours.tiers.get("kernel", "key") == {"so": bytes(9000)}
    assert ours.stats().layers["kernel"].remote_hits == 1
    strict = CacheManager(CacheConfig(tmp_path / "ours", key_file=key_file, trust="require"))
    assert strict.tiers.get("kernel", "key") is None
    ours.tiers.put("kernel", "own", {"so": bytes(9000)})
    assert strict.tiers.get("kernel", "own") == {"so": bytes(9000)}
