"""A byte store in a bucket of S3, or of what speaks its language, through the package obstore."""

import contextlib
import errno
import os
import re
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from mithril._errors import InvalidArgumentError, StorageError, UnsupportedError
from mithril.storage._store import ByteStore, ObjectInfo, check_name, is_name

if TYPE_CHECKING:
    from obstore.store import S3Store

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_CONNECT_SECONDS = 5.0
_RETRIES = 3
# The process whose threads serve obstore: they do not survive a fork, and a call in the child would never return.
_serving_pid: int | None = None


class ObjectByteStore(ByteStore):
    """A byte store in `bucket`, below `prefix`.

    What is not said here comes from the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN,
    AWS_REGION, AWS_ENDPOINT_URL, else from the role of the machine. Without the right to list the bucket, S3 says of
    every absent object that it is forbidden, which is a StorageError here.

    An answer may stay silent for `timeout_seconds`, after which nothing is tried again either; an upload, and an answer
    as a whole, may take ten times as long. When the answer to `put_if_absent` is lost on the way and it is tried again,
    it returns False although it has written the object.

    In a process that was forked from one that has used such a store every call raises StorageError: start processes
    with spawn or forkserver.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        *,
        region: str | None = None,
        endpoint: str | None = None,
        timeout_seconds: float = 10.0,
    ) -> None:
        if not _BUCKET.fullmatch(bucket):
            raise InvalidArgumentError(f"not the name of a bucket: {bucket!r:.200}")
        prefix = prefix.strip("/")
        if prefix and not is_name(prefix):
            raise InvalidArgumentError(f"not a prefix: {prefix!r:.200}")
        if endpoint is not None and ("@" in endpoint or not endpoint.startswith(("http://", "https://"))):
            raise InvalidArgumentError("an endpoint is http://host or https://host, and holds no credentials")
        if not timeout_seconds > 0:
            raise InvalidArgumentError(f"timeout_seconds must be positive, not {timeout_seconds!r}")
        self._bucket = bucket
        self._prefix = prefix
        self._region = region
        self._endpoint = endpoint
        self._timeout_seconds = timeout_seconds
        self._reset()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_clients", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._reset()

    def _reset(self) -> None:
        self._clients: dict[bool, S3Store] = {}
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def put(self, name: str, data: bytes) -> None:
        check_name(name)
        with self._translated(name):
            self._connected(writing=True).put(name, data)

    def put_if_absent(self, name: str, data: bytes) -> bool:
        check_name(name)
        with self._translated(name):
            client = self._connected(writing=True)
            from obstore.exceptions import AlreadyExistsError

            try:
                client.put(name, data, mode="create")
            except AlreadyExistsError:
                return False
        return True

    def get(self, name: str, *, limit: int) -> bytes | None:
        check_name(name)
        with self._translated(name):
            try:
                found = self._connected().get(name)
            except FileNotFoundError:
                return None
            size = found.meta["size"]
            if size > limit:
                raise StorageError(errno.EFBIG, f"{size} bytes, more than the limit of {limit}", f"{self.url}/{name}")
            data = bytes(found.bytes())
            if len(data) != size:
                raise StorageError(errno.EIO, f"{len(data)} bytes of {size}", f"{self.url}/{name}")
            return data

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        if prefix:
            check_name(prefix)
        with self._translated(prefix):
            for page in self._connected().list(prefix or None):
                for entry in page:
                    if is_name(entry["path"]):
                        yield ObjectInfo(entry["path"], entry["size"])

    def delete(self, name: str) -> None:
        check_name(name)
        with self._translated(name), contextlib.suppress(FileNotFoundError):
            self._connected().delete(name)

    def _connected(self, *, writing: bool = False) -> "S3Store":
        global _serving_pid
        with self._lock:
            if _serving_pid not in (None, os.getpid()):
                raise StorageError(errno.ENOTSUP, "this process was forked from one that used the store", self.url)
            _serving_pid = os.getpid()
            if writing not in self._clients:
                self._clients[writing] = self._connect(writing)
            return self._clients[writing]

    def _connect(self, writing: bool) -> "S3Store":
        try:
            from obstore.store import S3Store
        except ImportError:
            raise UnsupportedError(f"{self.url} needs the package obstore: pip install obstore") from None
        seconds = self._timeout_seconds
        where: Any = {"region": self._region, "endpoint": self._endpoint, "prefix": self._prefix or None}
        return S3Store(
            self._bucket,
            disable_bulk_delete=True,  # not every compatible store has it
            client_options={
                "allow_http": _endpoint(self._endpoint).startswith("http://"),
                "connect_timeout": timedelta(seconds=min(seconds, _CONNECT_SECONDS)),
                # The silence of an upload begins with its first byte sent: it must fit in whole.
                "read_timeout": timedelta(seconds=10 * seconds if writing else seconds),
                "timeout": timedelta(seconds=10 * seconds),
            },
            retry_config={
                "max_retries": _RETRIES,
                "retry_timeout": timedelta(seconds=seconds),
                "backoff": {
                    "init_backoff": timedelta(seconds=seconds / 100),
                    "max_backoff": timedelta(seconds=seconds / 10),
                    "base": 2,
                },
            },
            **{name: value for name, value in where.items() if value is not None},
        )

    @contextlib.contextmanager
    def _translated(self, name: str) -> Iterator[None]:
        try:
            yield
        except (StorageError, UnsupportedError):
            raise
        except Exception as error:  # obstore raises its own kinds, and ValueError and OSError
            # What follows the first line is for those who debug obstore.
            why = (str(error) or type(error).__name__).partition("\n")[0]
            raise StorageError(errno.EIO, why, f"{self.url}/{name}") from None


def _endpoint(endpoint: str | None) -> str:
    """The endpoint that obstore will take."""
    names = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
    return endpoint or next((os.environ[name] for name in names if os.environ.get(name)), "")
