"""`mithril cache`: the group of its commands."""

import click

from mithril.cli._care import doctor, gc, verify
from mithril.cli._command import ALL_EXIT_CODES
from mithril.cli._explain import explain
from mithril.cli._look import ls, stats
from mithril.cli._move import export, import_, pull, push, warm
from mithril.cli._run import env, run


@click.group(no_args_is_help=False, epilog=ALL_EXIT_CODES)
def cache() -> None:
    """The compile cache: what it holds and does, its care, and taking it elsewhere.

    The cache is the folder MITHRIL_CACHE_DIR, or --dir; docs/cache.md lists the other variables that count.
    """


for made in (stats, ls, gc, verify, doctor, export, import_, push, pull, warm, explain, env, run):
    cache.add_command(made)
