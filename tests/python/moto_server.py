"""A real S3 server, in a process of its own."""

import contextlib
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest

_SERVE = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def bucket_server() -> Iterator[str]:
    """The endpoint of a server that has a bucket named `bucket`."""
    pytest.importorskip("moto.server")
    pytest.importorskip("obstore")
    with subprocess.Popen(
        [sys.executable, "-c", _SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        assert server.stdout is not None
        try:
            endpoint = f"http://127.0.0.1:{int(server.stdout.readline())}"
            direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            direct.open(urllib.request.Request(f"{endpoint}/bucket", method="PUT")).close()
            yield endpoint
        finally:
            server.kill()
