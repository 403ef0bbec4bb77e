"""A server for tests that speaks the small part of S3 that byte stores use, and fails as it is told.

It takes any signature. Objects live in memory, in one namespace for all buckets.
"""

import contextlib
import hashlib
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest

FAULTS = {
    "500": "answers 500",
    "503": "answers 503",
    "slow": "answers rightly, a byte at a time, until released",
    "short": "sends fewer bytes than it announces",
    "drop": "closes the connection without a word",
    "lost": "does what was asked, then closes the connection",
    "wrong": "sends other bytes of the right length",
    "long": "sends more than was put",
    "silent": "never answers, until released",
}
_PAGE = 3  # keys in a page of a listing: few, so that there are several pages


@dataclass
class Fault:
    """Of the requests with this method (None: any) and `part` in their path, `count` (None: all) fail after `skip`."""

    kind: str
    count: int | None = None
    method: str | None = None
    part: str = ""
    skip: int = 0


@dataclass
class Request:
    method: str
    path: str
    fault: str | None


@dataclass
class FaultServer:
    """The server: start it by `with running() as server`."""

    objects: dict[str, bytes] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    lock: threading.RLock = field(default_factory=threading.RLock)
    endpoint: str = ""

    def fail(
        self, kind: str, count: int | None = None, *, method: str | None = None, part: str = "", skip: int = 0
    ) -> None:
        assert kind in FAULTS
        with self.lock:
            self.faults.append(Fault(kind, count, method, part, skip))

    def heal(self) -> None:
        """No more faults; requests that hang are let go."""
        with self.lock:
            self.faults.clear()
            self.released.set()
            self.released = threading.Event()

    def count(self, method: str, part: str = "") -> int:
        """How many requests there were."""
        return sum(request.method == method and part in request.path for request in self.requests)

    def meet(self, method: str, path: str) -> str | None:
        """The fault that a request meets."""
        with self.lock:
            for fault in self.faults:
                if fault.method not in (None, method) or fault.part not in path or fault.count == 0:
                    continue
                if fault.skip:
                    fault.skip -= 1
                else:
                    fault.count = fault.count if fault.count is None else fault.count - 1
                    self.requests.append(Request(method, path, fault.kind))
                    return fault.kind
            self.requests.append(Request(method, path, None))
            return None


def give_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment in which clients of S3 find credentials, and no proxy and no settings of the person testing."""
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tester")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hush")


@contextlib.contextmanager
def running() -> Iterator[FaultServer]:
    server = FaultServer()

    class Handler(_Handler):
        state = server

    # A connection that waits for nothing must not keep the port: threads are daemons and nobody joins them.
    http = _Server(("127.0.0.1", 0), Handler)
    server.endpoint = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.heal()
        http.shutdown()
        http.server_close()
        thread.join()


@contextlib.contextmanager
def deaf_endpoint() -> Iterator[str]:
    """An address that never completes a connection, like a network that drops every packet: its backlog is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients hang up in these tests; nobody needs to read of it."""


class _Handler(BaseHTTPRequestHandler):
    state: FaultServer
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        key, query = self._address()
        fault = self._meet()
        if fault in ("stop", "lost"):
            return
        with self.state.lock:
            body = self._listing(query) if "list-type" in query else self.state.objects.get(key)
        if body is None:
            self._send(404, b"<Error><Code>NoSuchKey</Code></Error>", fault)
        else:
            self._send(200, body, fault)

    do_HEAD = do_GET  # noqa: N815

    def do_PUT(self) -> None:
        key, _ = self._address()
        data = self.rfile.read(int(self.headers["Content-Length"]))
        fault = self._meet()
        if fault == "stop":
            return
        with self.state.lock:
            there = key in self.state.objects
            if not (there and self.headers["If-None-Match"] == "*"):
                self.state.objects[key] = data
                there = False
        if fault == "lost":
            self._hang_up()
        elif there:
            self._send(412, b"<Error><Code>PreconditionFailed</Code></Error>", fault)
        else:
            self._send(200, b"", fault, ETag=f'"{hashlib.md5(data).hexdigest()}"')

    def do_DELETE(self) -> None:
        key, _ = self._address()
        fault = self._meet()
        if fault == "stop":
            return
        with self.state.lock:
            self.state.objects.pop(key, None)
        if fault == "lost":
            self._hang_up()
        else:
            self._send(204, b"", fault)

    def _address(self) -> tuple[str, dict[str, list[str]]]:
        parts = urlsplit(self.path)
        _, _, key = unquote(parts.path).lstrip("/").partition("/")
        return key, parse_qs(parts.query)

    def _meet(self) -> str | None:
        """Meets the fault of this request. "stop": nothing more is to be done."""
        fault = self.state.meet(self.command, self.path)
        if fault == "silent":
            self.state.released.wait()
            self._hang_up()
        elif fault == "drop" or (fault == "lost" and self.command == "GET"):
            self._hang_up()
        elif fault in ("500", "503"):
            self._send(int(fault), b"<Error><Code>InternalError</Code></Error>", None)
        else:
            return fault
        return "stop"

    def _send(self, status: int, body: bytes, fault: str | None, **headers: str) -> None:
        if fault == "wrong":
            body = bytes(byte ^ 0x55 for byte in body)
        elif fault == "long" and status != 204:
            body += bytes(1 << 20)
        self.send_response(status)
        for name, value in {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT", "ETag": '"0"', **headers}.items():
            self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault == "short":
            self.wfile.write(body[: len(body) // 2])
            self._hang_up()
        elif fault == "slow":
            self._send_slowly(body)
        else:
            self.wfile.write(body)

    def _send_slowly(self, body: bytes) -> None:
        released = self.state.released
        for index in range(len(body)):
            if released.wait(0.02):
                self.wfile.write(body[index:])
                return
            self.wfile.write(body[index : index + 1])

    def _listing(self, query: dict[str, list[str]]) -> bytes:
        prefix = query.get("prefix", [""])[0]
        after = query.get("continuation-token", [""])[0]
        keys = sorted(key for key in self.state.objects if key.startswith(prefix) and key > after)
        entries = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.state.objects[key])}</Size>"
            "<LastModified>2024-01-01T00:00:00.000Z</LastModified><ETag>&quot;0&quot;</ETag></Contents>"
            for key in keys[:_PAGE]
        )
        more = len(keys) > _PAGE
        token = f"<NextContinuationToken>{escape(keys[_PAGE - 1])}</NextContinuationToken>" if more else ""
        return (
            f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}"
            f"<KeyCount>{len(keys[:_PAGE])}</KeyCount>{entries}</ListBucketResult>"
        ).encode()

    def _hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_: Any) -> None:
        """Silence."""
