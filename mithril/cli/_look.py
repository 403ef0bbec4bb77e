"""`mithril cache stats` and `ls`: what a cache holds and has done."""

import datetime
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from mithril.cli._command import Call, command
from mithril.cli._output import bytes_text, note, seconds_text, write_fields, write_json, write_table

if TYPE_CHECKING:
    from mithril.cache._content import ContentStore
    from mithril.cache._record import Record
    from mithril.cache._statistics import CacheStats


@command("stats")
@click.option(
    "--prometheus",
    "path",
    metavar="PATH",
    help="Write the metrics of Prometheus to this file, whole or not at all, for the textfile collector; - is stdout.",
)
@click.option(
    "--serve", "port", type=click.IntRange(0, 65535), metavar="PORT", help="Serve /metrics until interrupted."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address that --serve listens at.")
def stats(call: Call, path: str | None, port: int | None, host: str) -> None:
    """Show size, hits, misses, seconds saved.

    Hits and misses are those of all processes that used the cache, as of their end.
    """
    from mithril.cache._metrics import prometheus_text, serve_metrics, write_metrics

    if call.as_json and (path == "-" or port is not None):
        raise click.UsageError("--json and metrics cannot both have stdout")
    if path is not None and port is not None:
        raise click.UsageError("--prometheus or --serve, not both")
    manager = call.manager()
    if port is not None:
        serve_metrics(lambda: prometheus_text(manager.stats()), host, port, lambda url: note(f"serving {url}"))
        return
    numbers = manager.stats()
    if path == "-":
        print(prometheus_text(numbers), end="")
    elif path is not None:
        write_metrics(path, prometheus_text(numbers))
    if call.as_json:
        write_json(_fields(numbers))
    elif path is None:
        _show(numbers)


def _fields(numbers: "CacheStats") -> dict[str, object]:
    from mithril.cache._metrics import hit_ratio
    from mithril.cache._statistics import seconds_saved

    return {
        "root_dir": str(numbers.root_dir),
        "size_bytes": numbers.size_bytes,
        "max_size_bytes": numbers.max_size_bytes,
        "objects": numbers.objects,
        "records": numbers.records,
        "quarantined": numbers.quarantined,
        "hits": numbers.total_hits,
        "misses": sum(layer.misses for layer in numbers.total.values()),
        "hit_ratio": hit_ratio(numbers.total),
        "seconds_saved": seconds_saved(numbers.total),
        "layers": {name: asdict(layer) for name, layer in sorted(numbers.total.items())},
    }


def _show(numbers: "CacheStats") -> None:
    from mithril.cache._metrics import hit_ratio
    from mithril.cache._statistics import seconds_saved

    write_fields(
        {
            "folder": str(numbers.root_dir),
            "size": f"{bytes_text(numbers.size_bytes)} of {bytes_text(numbers.max_size_bytes)}"
            f" ({numbers.utilization:.0%})",
            "holds": f"{numbers.records} records, {numbers.objects} objects, {numbers.quarantined} in quarantine",
            "hits": f"{numbers.total_hits} ({hit_ratio(numbers.total):.0%} of lookups)",
            "saved": f"{seconds_text(seconds_saved(numbers.total))} of compiling",
        }
    )
    if numbers.total:
        print()
        write_table(
            ("layer", ">hits", ">remote", ">misses", ">stored", ">errors", ">read", ">written", ">saved"),
            [
                (
                    name,
                    *map(str, (layer.hits, layer.remote_hits, layer.misses, layer.puts, layer.errors)),
                    bytes_text(layer.bytes_read),
                    bytes_text(layer.bytes_written),
                    seconds_text(layer.seconds_saved),
                )
                for name, layer in sorted(numbers.total.items())
            ],
        )


@dataclass(frozen=True)
class _Row:
    namespace: str
    key: str
    fingerprint: str
    members: int
    size_bytes: int
    seconds: float
    used: str

    @classmethod
    def of(cls, store: "ContentStore", record: "Record") -> "_Row":
        return cls(
            record.namespace,
            record.key,
            record.fingerprint,
            len(record.members),
            sum(member.size for member in record.members),
            record.seconds,
            _last_used(store, record.name),
        )


def _last_used(store: "ContentStore", name: str) -> str:
    """The time of modification, which the store sets at every use; now for a record that went away just now."""
    path = store.root / "records" / name[:2] / name[2:4] / name
    try:
        seconds = path.stat().st_mtime
    except OSError:
        seconds = time.time()
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).isoformat(timespec="seconds")


# What is sorted by, and whether the largest come first.
_SORTS: dict[str, tuple[Callable[[_Row], Any], bool]] = {
    "used": (lambda row: row.used, True),
    "size": (lambda row: row.size_bytes, True),
    "seconds": (lambda row: row.seconds, True),
    "namespace": (lambda row: (row.namespace, row.key), False),
}


@command("ls")
@click.option(
    "--namespace", "namespaces", multiple=True, metavar="NAME", help="Only this one: fx, aot, kernel, triton, …."
)
@click.option(
    "--sort",
    type=click.Choice(sorted(_SORTS)),
    default="used",
    show_default=True,
    help="Order: last used, largest or slowest first, or by name.",
)
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the first N.")
def ls(call: Call, namespaces: tuple[str, ...], sort: str, limit: int | None) -> None:
    """List the records.

    What the cache would find, how long it took to make, and when it was last used.
    """
    store = call.manager().store
    rows = [_Row.of(store, record) for record in store.records() if not namespaces or record.namespace in namespaces]
    by, reverse = _SORTS[sort]
    rows.sort(key=by, reverse=reverse)
    shown = rows[:limit]
    if call.as_json:
        write_json({"total": len(rows), "records": [asdict(row) for row in shown]})
        return
    write_table(
        ("namespace", "key", ">members", ">size", ">took", "used"),
        [
            (row.namespace, row.key, str(row.members), bytes_text(row.size_bytes), seconds_text(row.seconds), row.used)
            for row in shown
        ],
    )
    if len(shown) < len(rows):
        note(f"{len(rows) - len(shown)} more")
