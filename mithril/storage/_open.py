"""Byte stores by URL."""

import os
import re
from urllib.parse import unquote, urlsplit

from mithril._errors import InvalidArgumentError, UnsupportedError
from mithril.storage._local import LocalByteStore
from mithril.storage._object import ObjectByteStore
from mithril.storage._store import ByteStore


def open_store(
    url: str | os.PathLike[str],
    *,
    region: str | None = None,
    endpoint: str | None = None,
    timeout_seconds: float = 10.0,
) -> ByteStore:
    """The byte store at `s3://bucket/prefix`, `file:///path` or a path. Nothing is read or written yet.

    `region`, `endpoint` and `timeout_seconds` are for s3: see ObjectByteStore. Raises InvalidArgumentError for what is
    no URL of a store, UnsupportedError for other schemes.
    """
    text = os.fspath(url)
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://", text)
    if match is None:
        return LocalByteStore(text)
    scheme = match[1].lower()
    if scheme not in ("file", "s3"):
        raise UnsupportedError(f"no byte store for {scheme}:// (there are s3://bucket/prefix, file:///path and paths)")
    parts = urlsplit(text)
    # Not shown: what should not be in it may be a secret.
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InvalidArgumentError(f"a {scheme}:// URL holds no credentials, ? or #: those come from the environment")
    if scheme == "s3":
        return ObjectByteStore(
            parts.netloc, parts.path, region=region, endpoint=endpoint, timeout_seconds=timeout_seconds
        )
    if parts.netloc not in ("", "localhost") or not parts.path:
        raise InvalidArgumentError(f"a file:// URL has three slashes and an absolute path, unlike {text!r:.200}")
    return LocalByteStore(unquote(parts.path))
