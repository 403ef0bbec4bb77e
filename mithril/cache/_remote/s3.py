"""One value a key, kept in a local store and shared through a bucket."""

import os
from collections.abc import Iterable
from dataclasses import dataclass

from mithril._errors import InvalidArgumentError
from mithril.cache._content import ContentStore
from mithril.cache._remote.copy import Progress, PullStats, PushStats, RemoteTier, SyncStats, pull, push, sync, warmup
from mithril.cache._trust import Trust
from mithril.storage import open_store

_NAMESPACE = "value"


@dataclass(frozen=True)
class RemoteCacheConfig:
    """Options of S3RemoteCache."""

    auto_push: bool = False
    """Whether `put` uploads too, in the background."""
    lazy_pull: bool = True
    """Whether `get` asks the bucket for what is missing here."""
    max_concurrent: int = 8
    """Requests at once."""

    def __post_init__(self) -> None:
        if isinstance(self.max_concurrent, bool) or not isinstance(self.max_concurrent, int) or self.max_concurrent < 1:
            raise InvalidArgumentError(f"max_concurrent must be a positive integer, not {self.max_concurrent!r}")


class S3RemoteCache:
    """Values by key in the folder `local_path`, shared through `bucket` below `prefix`.

    A bucket that does not answer is a miss. Close it, or use it as a context manager, so that uploads come to an end.
    """

    def __init__(
        self,
        local_path: str | os.PathLike[str],
        bucket: str,
        prefix: str,
        region: str = "us-east-1",
        endpoint: str | None = None,
        config: RemoteCacheConfig | None = None,
        *,
        trust: Trust | None = None,
    ) -> None:
        self.config = config or RemoteCacheConfig()
        self.local = ContentStore(local_path, trust=trust)
        self.remote = RemoteTier(
            open_store(f"s3://{bucket}/{prefix}", region=region, endpoint=endpoint),
            trust,
            max_concurrent=self.config.max_concurrent,
        )

    def get(self, key: str) -> bytes | None:
        """The value of `key`, or None."""
        group = self.local.get_group(_NAMESPACE, key)
        if group is not None:
            return group.members["data"]
        found = self.remote.fetch_group(_NAMESPACE, "", key) if self.config.lazy_pull else None
        if found is None or "data" not in found.members:
            return None
        self.local.put_sealed_group(found.sealed, found.members)
        return found.members["data"]

    def put(self, key: str, data: bytes) -> None:
        """Keep a value. Raises StorageError when the folder cannot take it."""
        self.local.put_group(_NAMESPACE, key, {"data": data})
        if self.config.auto_push:
            self.remote.push_group(_NAMESPACE, key, {"data": data})

    def push(self, *, progress: Progress | None = None) -> PushStats:
        """Upload what the bucket lacks. Raises StorageError when it cannot be listed."""
        return push(self.local, self.remote, progress=progress)

    def pull(self, *, progress: Progress | None = None) -> PullStats:
        """Download what is missing here. Raises StorageError when the bucket cannot be listed."""
        return pull(self.local, self.remote, progress=progress)

    def sync(self, *, progress: Progress | None = None) -> SyncStats:
        """Pull, then push. Raises StorageError when the bucket cannot be listed."""
        return sync(self.local, self.remote, progress=progress)

    def warmup(self, keys: Iterable[str] | None = None) -> PullStats:
        """Download these keys, or all. Raises StorageError when the bucket cannot be listed."""
        return warmup(self.local, self.remote, keys=None if keys is None else [(_NAMESPACE, "", key) for key in keys])

    def close(self) -> None:
        """Wait for uploads, 5 s at most."""
        self.remote.flush()

    def __enter__(self) -> "S3RemoteCache":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
