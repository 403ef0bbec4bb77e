"""Numbers in the README come from the results that are committed."""

import json

from benchmarks.codec.table import larger, readme
from benchmarks.dcp.scenario import table
from benchmarks.measure import RESULTS, ROOT


def test_the_measured_table() -> None:
    assert table(json.loads((RESULTS / "dcp.json").read_text())) in (ROOT / "README.md").read_text()


def test_the_codec_table() -> None:
    rows = json.loads((RESULTS / "codec.json").read_text())["rows"]
    assert readme(rows) in (ROOT / "README.md").read_text()
    assert larger(rows, "ZipNN") == "mithril is larger than ZipNN on no data sets"


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
