"""What docs/dedup.md shows: every program and command in it is run, and says what it says there."""

import contextlib
import io
import re
import runpy
import shlex
from pathlib import Path

import pytest

from mithril.cli import main

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "dedup.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_the_programs_and_commands_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order of the page, in one folder with its corpus, the programs in one namespace.

    A line `print(…)  # x` prints x, and a text after commands is the end of what they print.
    """
    monkeypatch.chdir(tmp_path)
    [corpus] = [block for language, block in BLOCKS if language == "json"]
    (tmp_path / "corpus.jsonl").write_text(corpus)
    space: dict[str, object] = {}
    assert {language for language, _ in BLOCKS} == {"json", "python", "sh", "text"}
    out = ""
    for language, block in BLOCKS:
        if language == "json":
            continue
        if language == "text":
            assert masked(out).endswith(masked(block))
            continue
        with contextlib.redirect_stdout(io.StringIO()) as said:
            if language == "python":
                exec(compile(block, "docs/dedup.md", "exec"), space)
            else:
                for line in block.splitlines():
                    program, *arguments = shlex.split(line, comments=True)
                    assert program == "mithril"
                    assert main(arguments) == 0, line
        out = said.getvalue()
        if language == "python":
            assert out.splitlines() == re.findall(r"^ *print\(.*\)  # (.*)$", block, re.MULTILINE)


def masked(text: str) -> str:
    """Without what differs from run to run."""
    return re.sub(r"^took.*$", "took", text, flags=re.MULTILINE)


@pytest.mark.parametrize("ngram_size", [1, 3, 5])
def test_the_table_of_replaced_words(ngram_size: int) -> None:
    from mithril.dedup import DedupConfig, Deduplicator

    rows = dict(re.findall(r"^\| (words of the text|`ngram_size=\d`) \| (.*) \|$", PAGE, re.MULTILINE))
    sizes = [int(size) for size in rows["words of the text"].split(" | ")]
    most = [int(number) for number in rows[f"`ngram_size={ngram_size}`"].split(" | ")]
    deduplicator = Deduplicator(DedupConfig(ngram_size=ngram_size))
    for size, number in zip(sizes, most, strict=True):
        words = [f"w{n}" for n in range(size)]
        for replaced in (number, number + 1):
            other = list(words)
            for n in range(replaced):
                other[(n + 1) * size // (replaced + 1)] = f"other{n}"
            similar = deduplicator.similarity(" ".join(words), " ".join(other)) >= 0.85
            assert similar == (replaced == number), (size, replaced)


def test_what_is_said_of_recall() -> None:
    from mithril.dedup import DedupConfig
    from mithril.dedup._options import options_of

    for config, said in (
        (DedupConfig(), r"one of (16) bands. At a similarity of 0\.85 that happens with\s+a probability of ([\d.]+\d)"),
        (DedupConfig(num_bands=18, num_rows=7), r"`num_bands=(18), num_rows=7` gives ([\d.]+\d) at 0\.85"),
    ):
        match = re.search(said, PAGE)
        assert match
        options = options_of(config)
        assert (str(options.bands), f"{options.candidate_probability(0.85):.3f}") == match.groups()


def test_the_example(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples" / "dedup.py"), run_name="__main__")
    out = capsys.readouterr().out
    assert re.search(r"^   \d+ licences, \d+ of them stay$", out, re.MULTILINE)
    assert "of two new texts, 1 is new" in out
