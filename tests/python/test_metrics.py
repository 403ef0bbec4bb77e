"""Metrics: a text that Prometheus reads, a file that is always whole, a port."""

import importlib.util
import os
import re
import stat
import threading
from pathlib import Path

import pytest

from mithril import StorageError
from mithril.cache._metrics import BY_LAYER, OF_THE_CACHE, prometheus_text, write_metrics
from mithril.cache._statistics import CacheStats
from mithril.cache._tiers import LayerStats

ODD = 'a"b\\c\nd'
# prometheus.io/docs/instrumenting/exposition_formats, as far as we use it
NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
SAMPLE = re.compile(
    rf'(?P<name>{NAME})(?:\{{layer="(?P<layer>(?:[^"\\\n]|\\["\\n])*)"\}})? (?P<value>-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)'
)


def make_stats(**layers: LayerStats) -> CacheStats:
    return CacheStats(
        root_dir=Path("/root"),
        max_size_bytes=1000,
        size_bytes=10,
        objects=2,
        records=3,
        quarantined=1,
        layers={},
        total=layers,
    )


def parse(text: str) -> dict[tuple[str, str | None], float]:
    """Samples by name and label, read strictly: each metric has HELP, TYPE and then its samples, in one place."""
    assert text.endswith("\n")
    samples: dict[tuple[str, str | None], float] = {}
    current, seen = "", set()
    lines = text[:-1].split("\n")
    for number, line in enumerate(lines):
        if match := re.fullmatch(rf"# HELP ({NAME}) [^\\\n]+", line):
            current = match[1]
            assert current not in seen
            seen.add(current)
            assert re.fullmatch(rf"# TYPE {current} (counter|gauge)", lines[number + 1])
        elif not line.startswith("# TYPE "):
            sample = SAMPLE.fullmatch(line)
            assert sample, line
            assert sample["name"] == current
            key = (sample["name"], sample["layer"])
            assert key not in samples
            samples[key] = float(sample["value"])
    return samples


def test_the_text_is_what_prometheus_reads() -> None:
    layers = {
        "fx": LayerStats(hits=3, misses=1, puts=1, bytes_read=7, seconds_saved=1e-7),
        ODD: LayerStats(hits=1, seconds_saved=2.5),
    }
    text = prometheus_text(make_stats(**layers))
    samples = parse(text)
    assert samples["mithril_cache_hits_total", "fx"] == 3
    assert samples["mithril_cache_hits_total", r"a\"b\\c\nd"] == 1
    assert samples["mithril_cache_hit_ratio", None] == 4 / 5
    assert samples["mithril_cache_seconds_saved_total", None] == pytest.approx(2.5)
    assert samples["mithril_cache_size_bytes_limit", None] == 1000
    assert samples["mithril_cache_bytes_hit_total", None] == 7
    assert {name for name, _ in samples} == {row[0] for row in (*BY_LAYER, *OF_THE_CACHE)}
    for name, kind, *_ in (*BY_LAYER, *OF_THE_CACHE):
        assert name.endswith("_total") == (kind == "counter"), name


def test_an_unused_cache_has_a_text_too() -> None:
    samples = parse(prometheus_text(make_stats()))
    assert samples["mithril_cache_hit_ratio", None] == 0


@pytest.mark.skipif(importlib.util.find_spec("prometheus_client") is None, reason="prometheus_client is not installed")
def test_prometheus_own_parser_reads_it() -> None:
    from prometheus_client.parser import text_string_to_metric_families

    text = prometheus_text(make_stats(**{"fx": LayerStats(hits=3), ODD: LayerStats(hits=1)}))
    read = {family.name: family for family in text_string_to_metric_families(text)}
    hits = {sample.labels["layer"]: sample.value for sample in read["mithril_cache_hits"].samples}
    assert hits == {"fx": 3, ODD: 1}
    assert {family.type for family in read.values()} == {"counter", "gauge"}


def test_the_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "mithril.prom"
    texts = ["a" * 100_000, "b" * 200_000]
    write_metrics(path, texts[0])
    stop = threading.Event()
    torn = []

    def read() -> None:
        while not stop.is_set():
            for file in tmp_path.glob("*.prom"):
                if file.read_text() not in texts:
                    torn.append(file.name)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(50):
            write_metrics(path, texts[number % 2])
    finally:
        stop.set()
        reader.join()
    assert not torn
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert os.listdir(tmp_path) == [path.name]


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="not there") as caught:
        write_metrics(tmp_path / "not there" / "mithril.prom", "x")
    assert caught.value.errno == 2
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError):
        write_metrics(tmp_path / "folder", "x")
    assert os.listdir(tmp_path) == ["folder"]
