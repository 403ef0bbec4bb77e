"""`mithril dedup`: removes near duplicates from files of texts. The alias `mithril-dedup` is the same."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mithril.cli._command import exit_code_help
from mithril.cli._dedup_options import DedupCommand, with_options
from mithril.cli._output import write_json
from mithril.dedup._config import DedupConfig

if TYPE_CHECKING:
    from mithril.dedup._files_result import FilesResult
    from mithril.dedup._index import Index


@click.command(
    "dedup",
    cls=DedupCommand,
    epilog=exit_code_help("a row or a file is damaged; nothing was written", signed=False),
    context_settings={"show_default": True},
)
@click.argument("inputs", nargs=-1, metavar="INPUT…")
@with_options
def dedup(as_json: bool, verbose: bool, **options: Any) -> None:
    """Remove near duplicates from files of texts.

    INPUT is a file, a folder or a pattern: JSON Lines (.jsonl, also .gz and .zst), Parquet, or text with a document a
    line. What stays is written to --output in the format of the input, with all fields. docs/dedup.md says what counts
    as a near duplicate, and how to choose the options.
    """
    from mithril.cli._dedup_summary import Summary

    options["inputs"] += options.pop("more_inputs")
    _check_usage(options)
    result = _run(options)
    fold = options["fold_case"] and options["ignore_punctuation"]
    summary = Summary.of(result, examples=options["show"], fold=fold)
    if as_json:
        write_json(summary.fields())
    else:
        summary.write(verbose=verbose)


def _check_usage(options: dict[str, Any]) -> None:
    """Options that ask for each other, or exclude each other."""
    if not options["inputs"]:
        raise click.UsageError("Missing argument 'INPUT…'")
    if options["output"] is None and options["removals"] is None and not options["stats_only"]:
        raise click.UsageError("Missing option '-o' / '--output' (or --removals, or --stats-only)")
    for name in ("output", "removals"):
        if options["stats_only"] and options[name] is not None:
            raise click.UsageError(f"--stats-only writes nothing, and --{name} asks for a file")
    if options["annotate"] and options["output"] is None:
        raise click.UsageError("--annotate needs --output")
    if options["incremental"] != (options["index_path"] is not None):
        raise click.UsageError("--incremental and --index-path FILE go together")
    if (options["keep"] == "score") != (options["score_field"] is not None):
        raise click.UsageError("--keep score and --score-field NAME go together")
    if (options["source_field"] is None) != (options["source_priority"] is None):
        raise click.UsageError("--source-field and --source-priority go together")
    if options["source_field"] is not None and options["keep"] != "source":
        raise click.UsageError("--source-field needs --keep source")


def _run(options: dict[str, Any]) -> "FilesResult":
    from mithril.cli._dedup_progress import shown_progress
    from mithril.dedup._files import deduplicate_files

    config = DedupConfig(**{field.name: options[field.name] for field in fields(DedupConfig)})
    index = _index_of(options["index_path"], config)
    priority = options["source_priority"]
    with _ended_by_sigterm(), shown_progress(options["progress"]) as progress:
        return deduplicate_files(
            options["inputs"],
            options["output"],
            config=config if index is None else index.config,
            column=options["column"],
            format=options["file_format"],
            mode="annotate" if options["annotate"] else "remove",
            removals=options["removals"],
            on_error=options["on_error"],
            max_memory=options["max_memory"],
            score_column=options["score_field"],
            source_column=options["source_field"],
            source_priority=None if priority is None else priority.split(","),
            index=index,
            index_path=None if options["stats_only"] else options["index_path"],
            progress=progress,
        )


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """SIGTERM ends as Ctrl-C does: what was written beside the outputs is removed."""
    try:
        before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    except ValueError:  # not in the main thread, which alone may
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _index_of(path: str | None, config: DedupConfig) -> "Index | None":
    """The index of earlier runs, or an empty one."""
    if path is None:
        return None
    from mithril.dedup._index import Index

    if not Path(path).exists():
        return Index(config, store_texts=config.verify)
    made_with = Index.open(path).config
    if config.num_bands is None and config.threshold >= made_with.threshold:
        # Its bands find what is more similar still better.
        config = replace(config, num_bands=made_with.num_bands, num_rows=made_with.num_rows)
    return Index.open(path, config)
