"""`mithril cache export`, `import`, `push`, `pull` and `warm`: taking what is cached elsewhere."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from mithril.cli._command import Call, command
from mithril.cli._exit_codes import CHECK_FAILED, FINE, STORAGE
from mithril.cli._output import bytes_text, note, progress, seconds_text, write_fields, write_json

if TYPE_CHECKING:
    from mithril.cache._bundle import BundleStats
    from mithril.cache._remote.copy import PullStats, PushStats


@command("export", failed="there was nothing to export")
@click.argument("file", type=click.Path(dir_okay=False))
@click.option(
    "--namespace", "namespaces", multiple=True, metavar="NAME", help="Only this one: fx, aot, kernel, triton, …."
)
def export(call: Call, file: str, namespaces: tuple[str, ...]) -> int:
    """Write what is cached to FILE.

    Records and their objects, signed if there is a key file; `import` reads it elsewhere.
    """
    from mithril.cache._bundle import export_bundle

    store = call.manager().store
    keys = [
        (record.namespace, record.fingerprint, record.key)
        for record in store.records()
        if not namespaces or record.namespace in namespaces
    ]
    if not keys:
        return _nothing(call, file, "nothing to export")
    result = export_bundle(store, file, keys, trust=store.trust)
    _show_bundle(call, file, result)
    if result.skipped:
        note(f"{result.skipped} records left out: not all of their objects are there")
    return FINE if result.records else CHECK_FAILED


@command("import", failed="there was nothing to import, or the file is damaged")
@click.argument("file", type=click.Path(dir_okay=False))
def import_(call: Call, file: str) -> int:
    """Add what `export` wrote to FILE.

    Every byte is checked; what is not signed as demanded is refused.
    """
    result = call.manager(make=True).import_(file)
    _show_bundle(call, file, result)
    if result.skipped:
        note(f"{result.skipped} records refused: damaged, or not signed as demanded")
    return FINE if result.records else CHECK_FAILED


def _nothing(call: Call, file: str, text: str) -> int:
    from mithril.cache._bundle import BundleStats

    if call.as_json:
        _show_bundle(call, file, BundleStats(0, 0, 0, 0))
    note(text)
    return CHECK_FAILED


def _show_bundle(call: Call, file: str, result: "BundleStats") -> None:
    if call.as_json:
        write_json({"path": file, **asdict(result)})
    else:
        print(f"{result.records} records, {result.objects} objects, {bytes_text(result.bytes)}")


@command("push", remote=True)
def push(call: Call) -> int:
    """Copy to the shared store what is missing there."""
    from mithril.cache._remote.copy import push

    manager = call.manager()
    with progress("push") as show:
        result = push(manager.store, manager.remote, progress=show)
    return _show_copied(call, result)


@command("pull", remote=True)
def pull(call: Call) -> int:
    """Copy from the shared store what is missing here.

    It stops at the quota: nothing is evicted for it.
    """
    from mithril.cache._remote.copy import pull

    manager = call.manager(make=True)
    with progress("pull") as show:
        result = pull(manager.store, manager.remote, progress=show)
    return _show_copied(call, result)


@command("warm", remote=True)
@click.argument("namespaces", nargs=-1, metavar="[NAMESPACE]…")
def warm(call: Call, namespaces: tuple[str, ...]) -> int:
    """Copy some namespaces from the shared store.

    What is missing here of fx, aot, autotune, kernel, triton, vllm, sglang, …; of all when none is named.
    """
    from mithril.cache._remote.copy import warmup

    manager = call.manager(make=True)
    with progress("warm") as show:
        result = warmup(manager.store, manager.remote, namespaces or None, progress=show)
    return _show_copied(call, result)


def _show_copied(call: Call, result: "PushStats | PullStats") -> int:
    if call.as_json:
        write_json(asdict(result))
    else:
        write_fields(
            {
                "copied": f"{result.records} records, {result.objects} objects, {bytes_text(result.bytes)}",
                "skipped": f"{result.skipped} records",
                "failed": f"{result.failed} records",
                "took": seconds_text(result.seconds),
            }
        )
    return STORAGE if result.failed else FINE
