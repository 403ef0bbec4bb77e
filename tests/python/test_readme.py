"""Numbers in the README come from the results that are committed."""

import json

from benchmarks.codec.table import larger, readme
from benchmarks.compile import table as compile_table
from benchmarks.dcp.scenario import table
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
