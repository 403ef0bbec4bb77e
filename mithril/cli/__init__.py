"""The command `mithril`. It shows what the package says and has no logic of its own; docs/cli.md describes it."""

from mithril.cli._main import dedup_main, main

__all__ = ["dedup_main", "main"]
