"""Numbers in the README come from the results that are committed."""

import json

from benchmarks.codec.table import larger, readme
from benchmarks.compile import table as compile_table
from benchmarks.dcp.scenario import table
from benchmarks.dedup import table as dedup_table
from benchmarks.measure import RESULTS, ROOT
from benchmarks.store import scenario as store_scenario


def test_the_measured_table() -> None:
    assert table(json.loads((RESULTS / "dcp.json").read_text())) in (ROOT / "README.md").read_text()


def test_the_codec_table() -> None:
    rows = json.loads((RESULTS / "codec.json").read_text())["rows"]
    assert readme(rows) in (ROOT / "README.md").read_text()
    assert larger(rows, "ZipNN") == "mithril is larger than ZipNN on no data sets"


def test_the_compile_table() -> None:
    results = json.loads((RESULTS / "compile.json").read_text())
    text = (ROOT / "README.md").read_text()
    assert compile_table.readme(results["first_call"]) in text
    silent = max(
        results["first_call"]["infer"][f"mithril, empty, {name}"]["seconds"] for name in ("silent server", "no route")
    )
    assert silent < results["first_call"]["infer"]["plain, cold"]["seconds"] + 1
    assert results["import"]["difference"] < 0.005


def test_what_is_said_of_the_store() -> None:
    results = json.loads((RESULTS / "store.json").read_text())
    assert store_scenario.readme(results["rows"]) in (ROOT / "README.md").read_text()
    ours = results["rows"]["mithril"]
    assert ours["load"]["worst_overrun_percent"] < 1
    assert ours["put_4k_us"] <= 30
    assert ours["get_4k_us"] <= 15
    assert min(ours["put_64m_gbs"], ours["get_64m_gbs"]) >= 1.5
    load = ours["load"]
    assert load["hits_per_second"] >= 50_000
    assert load["torn"] == load["damaged"] == load["errors"] == 0
    assert load["within_quota_after_gc"]
    soak = json.loads((RESULTS / "soak-store.json").read_text())
    assert soak["rounds"] >= 500
    assert soak["failures"] == []


def test_what_is_said_of_deduplication() -> None:
    rows = json.loads((RESULTS / "dedup.json").read_text())["rows"]
    text = (ROOT / "README.md").read_text()
    assert dedup_table.readme(rows) in text
    assert dedup_table.own(rows) in text
    found = {(row["contender"], row["corpus"]): row for row in rows}
    least = {
        "mithril, Arrow": {"pages20k": 160_000, "pages200k": 150_000, "short100k": 700_000, "short1m": 500_000},
        "mithril, list of str": {"pages20k": 110_000, "pages200k": 110_000, "short100k": 500_000, "short1m": 500_000},
        "mithril, sketch only": {"pages20k": 300_000, "short100k": 4_000_000, "short1m": 4_000_000},
        "mithril, ssse3": {"pages20k": 60_000, "short100k": 300_000},
        "mithril, scalar": {"pages20k": 60_000, "short100k": 300_000},
    }
    for contender, rates in least.items():
        for corpus, rate in rates.items():
            assert found[contender, corpus]["docs_per_second"] >= rate, (contender, corpus)
    for corpus in ("pages20k", "pages200k", "short100k", "short1m"):
        row = found["mithril, Arrow", corpus]
        assert row["memory_per_document"] <= 320
        assert found["mithril, list of str", corpus]["memory_per_document"] <= 320
        assert row["judged"]["precision"] == row["judged"]["evidence"] == 1
        assert row["judged"]["recall"] >= 0.995
        assert row["judged"]["recall_by_jaccard"]["0.85"][0] >= 0.985
        assert row["judged"]["recall_by_jaccard"]["1"][0] == 1
    assert found["mithril, JSONL to JSONL", "pages200k"]["mb_per_wall_second"] >= 300
    assert found["mithril, JSONL to JSONL", "short1m"]["docs_per_wall_second"] >= 600_000
    assert dedup_table.threads(rows)["pages200k"] >= 1.8
    assert dedup_table.threads(rows)["short1m"] >= 1.7


def test_what_is_said_of_incompressible_data() -> None:
    for row in json.loads((RESULTS / "raw.json").read_text())["rows"].values():
        assert 0.7 <= row["save_of_write"] < 1
        assert 0.7 <= row["load_of_read"] < 1
        assert row["overhead_percent"] < 0.0055


def test_what_is_said_of_damages_and_kills() -> None:
    damage = json.loads((RESULTS / "soak-damage.json").read_text())
    assert damage["rounds"] >= 1_000_000
    assert damage["failures"] == []
    fuzz = json.loads((RESULTS / "soak-fuzz.json").read_text())
    assert fuzz["executions"] >= 10_000_000
    assert not any(target["crashes"] for target in fuzz["targets"].values())
    kills = json.loads((RESULTS / "soak-kill_saver.json").read_text())
    assert kills["rounds"] >= 50
    assert not kills["failures"]
