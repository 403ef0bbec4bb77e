"""`mithril cache run` and `env`: the cache for programs that know nothing of it."""

import os
import shlex
import sys
from typing import TYPE_CHECKING

import click

from mithril.cli._command import Call, command
from mithril.cli._exit_codes import NOT_EXECUTABLE, NOT_FOUND
from mithril.cli._output import note, seconds_text, write_json

if TYPE_CHECKING:
    from mithril.cache._tiers import LayerStats

_FRAMEWORKS = ("vllm", "sglang")


@command("env", remote=True)
@click.option("--for", "framework", type=click.Choice(_FRAMEWORKS), help="The variables of this framework instead.")
def env(call: Call, framework: str | None) -> None:
    """Print variables that turn the cache on.

    For a shell: eval "$(mithril cache env)". Those of a framework lead it to folders below the root; variables that are
    set already stay as they are.
    """
    variables = call.config().to_env() if framework is None else _of_framework(call, framework)
    if call.as_json:
        write_json(variables)
        return
    for name, value in variables.items():
        if value or os.environ.get(name):
            print(f"export {name}={shlex.quote(value)}")


def _of_framework(call: Call, framework: str) -> dict[str, str]:
    from mithril.cache._frameworks.sglang import SglangCacheConfig, SglangCacheManager
    from mithril.cache._frameworks.vllm import VllmCacheConfig, VllmCacheManager

    root = call.config().root_dir
    manager = (
        VllmCacheManager(VllmCacheConfig(cache_dir=root))
        if framework == "vllm"
        else SglangCacheManager(SglangCacheConfig(cache_dir=root))
    )
    return {name: os.environ.get(name) or value for name, value in manager.environment().items()}


@command(
    "run",
    remote=True,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
    more_codes="else that of COMMAND:\n126  not executable\n127  not found\n128 + N  ended by signal N",
)
@click.option("--quiet", is_flag=True, help="Do not say at the end what was found.")
@click.argument("arguments", nargs=-1, required=True, type=click.UNPROCESSED, metavar="[--] COMMAND [ARG]…")
def run(call: Call, quiet: bool, arguments: tuple[str, ...]) -> int:
    """Run a command with the cache on.

    Says at the end what COMMAND found there. Signals are passed on. With --json the output of COMMAND goes to stderr.
    Hits of other processes that end meanwhile are counted too.
    """
    from mithril.cache import _statistics
    from mithril.cache._manager import CacheManager
    from mithril.cache._tiers import Tiers
    from mithril.cli._child import run_child

    config = call.config()
    # Says now what would go wrong there: a quota, a key file, a folder.
    CacheManager(config.with_inductor(False).with_triton(False))
    before = _statistics.total(config.root_dir, Tiers())
    sys.stdout.flush()
    try:
        code = run_child(arguments, {**os.environ, **config.to_env()}, stdout=sys.stderr if call.as_json else None)
    except FileNotFoundError:
        return _not_run(arguments[0], "not found", NOT_FOUND)
    except OSError:
        return _not_run(arguments[0], "not executable", NOT_EXECUTABLE)
    found = _difference(_statistics.total(config.root_dir, Tiers()), before)
    fields = {
        "exit_code": code,
        "hits": sum(layer.hits for layer in found.values()),
        "remote_hits": sum(layer.remote_hits for layer in found.values()),
        "misses": sum(layer.misses for layer in found.values()),
        "seconds_saved": _statistics.seconds_saved(found),
    }
    if call.as_json:
        write_json(fields)
    elif not quiet and not fields["hits"] + fields["misses"]:
        note("nothing was looked up: nothing was compiled, or the folder that torch works in had it all")
    elif not quiet:
        note(
            f"{fields['hits']} hits ({fields['remote_hits']} remote), {fields['misses']} misses, "
            f"{seconds_text(fields['seconds_saved'])} saved"
        )
    return code


def _not_run(name: str, why: str, code: int) -> int:
    note(f"error: {why}: {name}")
    return code


def _difference(after: "dict[str, LayerStats]", before: "dict[str, LayerStats]") -> "dict[str, LayerStats]":
    from dataclasses import asdict

    from mithril.cache._tiers import LayerStats

    found = {}
    for name, layer in after.items():
        old = asdict(before.get(name, LayerStats()))
        found[name] = LayerStats(**{field: value - old[field] for field, value in asdict(layer).items()})
    return found
