"""The numbers of a cache in Prometheus' text format: for the node exporter's textfile collector, or over HTTP."""

import contextlib
import os
import secrets
import signal
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from mithril._errors import StorageError
from mithril.cache import _statistics
from mithril.cache._statistics import CacheStats
from mithril.cache._tiers import LayerStats

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# Name, type, meaning, field of LayerStats. Summed over all processes that used the root, as of their end.
BY_LAYER = (
    ("mithril_cache_hits_total", "counter", "Groups found.", "hits"),
    ("mithril_cache_remote_hits_total", "counter", "Groups found in the shared store only.", "remote_hits"),
    ("mithril_cache_misses_total", "counter", "Groups not found.", "misses"),
    ("mithril_cache_puts_total", "counter", "Groups stored.", "puts"),
    ("mithril_cache_errors_total", "counter", "Failures of the cache, each of them a miss.", "errors"),
    ("mithril_cache_bytes_read_total", "counter", "Bytes of the groups found.", "bytes_read"),
    ("mithril_cache_bytes_written_total", "counter", "Bytes of the groups stored.", "bytes_written"),
)

# Name, type, meaning, value.
OF_THE_CACHE: tuple[tuple[str, str, str, Callable[[CacheStats], float]], ...] = (
    (
        "mithril_cache_seconds_saved_total",
        "counter",
        "Seconds of compiling that did not happen.",
        lambda stats: _statistics.seconds_saved(stats.total),
    ),
    ("mithril_cache_size_bytes", "gauge", "Bytes in the store.", lambda stats: stats.size_bytes),
    ("mithril_cache_size_bytes_limit", "gauge", "Quota of the store in bytes.", lambda stats: stats.max_size_bytes),
    ("mithril_cache_objects", "gauge", "Objects in the store.", lambda stats: stats.objects),
    ("mithril_cache_records", "gauge", "Records in the store.", lambda stats: stats.records),
    ("mithril_cache_quarantined", "gauge", "Damaged files set aside.", lambda stats: stats.quarantined),
    ("mithril_cache_hit_ratio", "gauge", "Hits over lookups, 0 without lookups.", lambda stats: hit_ratio(stats.total)),
    # Names that dashboards of earlier tools ask for.
    ("mithril_cache_hit_rate", "gauge", "The same as mithril_cache_hit_ratio.", lambda stats: hit_ratio(stats.total)),
    (
        "mithril_cache_time_saved_seconds",
        "gauge",
        "The same as mithril_cache_seconds_saved_total.",
        lambda stats: _statistics.seconds_saved(stats.total),
    ),
    (
        "mithril_cache_bytes_hit_total",
        "counter",
        "The sum of mithril_cache_bytes_read_total.",
        lambda stats: sum(layer.bytes_read for layer in stats.total.values()),
    ),
)


def hit_ratio(layers: Mapping[str, LayerStats]) -> float:
    """Hits over lookups; 0 when nothing was looked up."""
    hits = sum(layer.hits for layer in layers.values())
    return hits / max(1, hits + sum(layer.misses for layer in layers.values()))


def prometheus_text(stats: CacheStats) -> str:
    """All metrics in the text format 0.0.4 (prometheus.io/docs/instrumenting/exposition_formats)."""
    return "".join(f"{line}\n" for line in _lines(stats))


def _lines(stats: CacheStats) -> Iterator[str]:
    for name, kind, meaning, field in BY_LAYER:
        yield from _head(name, kind, meaning)
        for layer, numbers in sorted(stats.total.items()):
            yield f'{name}{{layer="{_escaped(layer)}"}} {getattr(numbers, field)!r}'
    for name, kind, meaning, value in OF_THE_CACHE:
        yield from _head(name, kind, meaning)
        yield f"{name} {value(stats)!r}"


def _head(name: str, kind: str, meaning: str) -> tuple[str, str]:
    return f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"


def _escaped(label: str) -> str:
    return label.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def write_metrics(path: str | os.PathLike[str], text: str) -> None:
    """Replace the file, readable by all, by one with this text: readers see the old or the new one whole.

    Raises StorageError.
    """
    path = Path(path)
    # The collector reads what ends in .prom.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            temporary.write_text(text, encoding="utf-8")
            temporary.chmod(0o644)
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(error.errno, f"metrics not written: {error.strerror}", str(path)) from None


def serve_metrics(text: Callable[[], str], host: str, port: int, started: Callable[[str], None]) -> None:
    """Answer GET /metrics with `text()` until SIGINT or SIGTERM. Port 0 takes a free one; `started` gets the URL.

    Raises StorageError when the address cannot be had. For the main thread of a process.
    """

    class Answer(BaseHTTPRequestHandler):
        timeout = 10  # seconds that a silent client may hold a thread

        def do_GET(self) -> None:
            if self.path.partition("?")[0] != "/metrics":
                self.send_error(404)
                return
            try:
                body = text().encode()
            except Exception as error:
                self.send_error(500, explain=f"{type(error).__name__}: {error}")
                return
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    try:
        server = ThreadingHTTPServer((host, port), Answer)
    except (OSError, OverflowError) as error:
        raise StorageError(getattr(error, "errno", None), f"cannot listen: {error}", f"{host}:{port}") from None
    server.daemon_threads = True
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    with server, contextlib.suppress(KeyboardInterrupt):
        started(f"http://{host}:{server.server_address[1]}/metrics")
        server.serve_forever()
    signal.signal(signal.SIGTERM, before)
