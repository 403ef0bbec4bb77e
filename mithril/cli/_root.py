"""`mithril`: commands, and groups of them, that are imported when they are asked for."""

import importlib

import click

from mithril.cli._command import ALL_EXIT_CODES

# Name, module, attribute, short help.
GROUPS = {
    "cache": ("mithril.cli._cache", "cache", "The compile cache."),
    "dedup": ("mithril.cli._dedup", "dedup", "Remove near duplicates from files of texts."),
}


class LazyGroup(click.Group):
    """Imports a group only to run it, so that `mithril --help` costs nothing."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(GROUPS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in GROUPS:
            return None
        module, attribute, _ = GROUPS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, short) for name, (_, _, short) in sorted(GROUPS.items())])


@click.group(
    cls=LazyGroup,
    no_args_is_help=False,
    epilog=ALL_EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="mithril", prog_name="mithril")
def root() -> None:
    """Compressed PyTorch checkpoints, a compile cache, and near-duplicate removal for training text.

    `mithril dedup --help` or `mithril cache COMMAND --help` describes a command, its options and its exit codes.
    """
