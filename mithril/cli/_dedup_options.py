"""The options of `mithril dedup`, in the groups that its help shows them in."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple, get_args

import click

from mithril.cli._command import DEBUG, JSON
from mithril.dedup._config import Clusters, DedupConfig, Keep, Measure, NormalForm

__all__ = ["GROUPS", "DedupCommand", "with_options"]

_UNITS = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3, "T": 1024**4}


def _byte_count(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """4096, 512MiB, 4GiB, 1.5T; units are powers of 1024, with or without B or iB."""
    if value is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]?)(?:i?B)?", value, re.IGNORECASE)
    if not match:
        raise click.BadParameter(f"{value!r} is not a number of bytes like 4096, 512MiB or 4GiB")
    return int(float(match[1]) * _UNITS[match[2].upper()])


class Group(NamedTuple):
    title: str
    options: tuple[Callable[[Any], Any], ...]


def _choice(*names: str) -> Any:
    return click.Choice(names, case_sensitive=False)


def _default(field: str) -> Any:
    """The default of `DedupConfig`, which is the only place that has it."""
    return getattr(DedupConfig, field)


GROUPS = (
    Group(
        "Input and output",
        (
            click.option("--input", "more_inputs", multiple=True, metavar="INPUT", help="An INPUT more."),
            click.option("-o", "--output", metavar="PATH", help="File, or folder when INPUT is more than one file."),
            click.option(
                "-f",
                "--field",
                "--text-field",
                "--column",
                "column",
                default="text",
                metavar="NAME",
                help="Field or column that holds the text.",
            ),
            click.option(
                "--format",
                "file_format",
                type=_choice("auto", "jsonl", "parquet", "text"),
                default="auto",
                help="Format of the inputs; auto: by their names.",
            ),
            click.option(
                "--annotate",
                is_flag=True,
                help="Write all documents, with the fields keep, cluster_id, kept_id, similarity.",
            ),
            click.option(
                "--removals", metavar="FILE", help="Table of what was removed and why, JSON Lines or Parquet."
            ),
            click.option("--stats-only", is_flag=True, help="Write nothing, only say what would be removed."),
            click.option(
                "--on-error",
                type=_choice("raise", "skip"),
                default="raise",
                help="What a damaged row does: end the run, or be set aside and counted.",
            ),
        ),
    ),
    Group(
        "What is a duplicate",
        (
            click.option(
                "-t",
                "--threshold",
                type=float,
                default=_default("threshold"),
                help="Similarity from which on two documents are near duplicates, 0 to 1.",
            ),
            click.option(
                "-n", "--ngram-size", type=int, default=_default("ngram_size"), metavar="N", help="Words a shingle."
            ),
            click.option(
                "--measure",
                type=_choice(*get_args(Measure)),
                default=_default("measure"),
                help="Of the shingles of both, or of the removed document alone (finds excerpts).",
            ),
            click.option(
                "--normalization",
                type=_choice(*get_args(NormalForm)),
                default=_default("normalization"),
                help="Unicode normal form that is compared.",
            ),
            click.option(
                "--fold-case/--case-sensitive",
                default=_default("fold_case"),
                help="Whether upper and lower case differ.",
            ),
            click.option(
                "--ignore-punctuation/--punctuation",
                default=_default("ignore_punctuation"),
                help="Whether punctuation marks and symbols are words.",
            ),
        ),
    ),
    Group(
        "Which one stays",
        (
            click.option(
                "--keep",
                type=_choice(*get_args(Keep)),
                default=_default("keep"),
                help="Of near duplicates: the first, the longest, that of the highest score, or of the first source.",
            ),
            click.option("--score-field", metavar="NAME", help="Field or column of numbers for --keep score."),
            click.option("--source-field", metavar="NAME", help="Field or column of names for --keep source."),
            click.option("--source-priority", metavar="A,B,…", help="The names, the first preferred most."),
            click.option(
                "--clusters",
                type=_choice(*get_args(Clusters)),
                default=_default("clusters"),
                help="star: each removed one is near to the one that stays; components: chains are one group.",
            ),
            click.option(
                "--empty",
                type=_choice("keep", "remove"),
                default=_default("empty"),
                help="What becomes of documents without words.",
            ),
        ),
    ),
    Group(
        "How it is found",
        (
            click.option(
                "-p",
                "--num-permutations",
                type=int,
                default=_default("num_permutations"),
                metavar="N",
                help="Permutations of the MinHash sketch.",
            ),
            click.option("--num-bands", type=int, metavar="N", help="Bands of the index; by default chosen."),
            click.option("--num-rows", type=int, metavar="N", help="Permutations a band, with --num-bands."),
            click.option(
                "--verify/--no-verify",
                default=_default("verify"),
                help="Whether the texts decide, or the estimate of their sketches (approximate).",
            ),
            click.option("--seed", type=int, default=_default("seed"), help="Seed of the permutations."),
            click.option(
                "--threads",
                "num_threads",
                type=int,
                metavar="N",
                help="Threads; by default MITHRIL_NUM_THREADS or all.",
            ),
            click.option(
                "--max-memory", callback=_byte_count, metavar="SIZE", help="Texts beyond this go to disk: 512MiB, 4GiB."
            ),
            click.option("--streaming", is_flag=True, help="Accepted and without effect: files are always streamed."),
            click.option("--expected-docs", type=int, metavar="N", help="Accepted and without effect."),
        ),
    ),
    Group(
        "Against earlier runs",
        (
            click.option(
                "--incremental", is_flag=True, help="Remove also what the index of earlier runs has, and add the rest."
            ),
            click.option("--index-path", metavar="FILE", help="The index for --incremental; made where there is none."),
        ),
    ),
    Group(
        "What is shown",
        (
            click.option(
                "--show",
                type=click.IntRange(0),
                default=0,
                metavar="N",
                help="Show N removed documents beside the kept ones, from the least to the most similar.",
            ),
            click.option("-v", "--verbose", is_flag=True, help="Say more of how it was found."),
            click.option(
                "--progress/--no-progress", default=None, help="Progress on stderr; by default on a terminal."
            ),
            JSON,
            DEBUG,
        ),
    ),
)


def with_options(body: Callable[..., Any]) -> Callable[..., Any]:
    """The body with all options, in the order of the groups."""
    for group in reversed(GROUPS):
        for option in reversed(group.options):
            body = option(body)
    return body


class DedupCommand(click.Command):
    """A command whose help has a section for each group of options."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        options = [parameter for parameter in self.get_params(ctx) if isinstance(parameter, click.Option)]
        for group in GROUPS:
            shown, options = options[: len(group.options)], options[len(group.options) :]
            if group is GROUPS[-1]:
                shown += options  # --help
            with formatter.section(group.title):
                formatter.write_dl([record for option in shown if (record := option.get_help_record(ctx))])
