"""Where the cache lives and what it does. docs/cache.md prints the table of variables; a test compares."""

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mithril._errors import InvalidArgumentError

GIB = 1 << 30

# Variable, default as a user would write it, meaning.
ENVIRONMENT = (
    ("MITHRIL_CACHE", "0", "1 turns the cache on in every process that imports torch"),
    ("MITHRIL_CACHE_DIR", "~/.cache/mithril", "root folder; $XDG_CACHE_HOME/mithril where that is set"),
    ("MITHRIL_MAX_SIZE_GB", "10", "quota in GiB"),
    ("MITHRIL_MAX_FILES", "", "quota of files and folders; none when empty"),
    ("MITHRIL_INDUCTOR_ENABLED", "1", "torch.compile: graphs, autotuning, profiles, CPU kernels"),
    ("MITHRIL_INDUCTOR_AUTO_PATCH", "0", "1 turns on the torch.compile layers alone, without MITHRIL_CACHE"),
    ("MITHRIL_INDUCTOR_LOG_LEVEL", "WARNING", "level of the logger mithril.cache"),
    ("MITHRIL_TRITON_ENABLED", "1", "Triton's kernels"),
    ("MITHRIL_REMOTE_URL", "", "shared store behind the local one: s3://bucket/prefix or a folder"),
    ("MITHRIL_INDUCTOR_REMOTE_BACKEND", "", "s3 or file: the shared store in parts, where MITHRIL_REMOTE_URL is empty"),
    ("MITHRIL_INDUCTOR_REMOTE_BUCKET", "", "its bucket, or its folder"),
    ("MITHRIL_INDUCTOR_REMOTE_PREFIX", "", "its prefix"),
    ("MITHRIL_INDUCTOR_REMOTE_REGION", "", "region of the shared store; AWS_REGION when empty"),
    ("MITHRIL_INDUCTOR_REMOTE_ENDPOINT", "", "endpoint of the shared store; AWS_ENDPOINT_URL when empty"),
    ("MITHRIL_INDUCTOR_AUTO_PUSH", "0", "1 writes what is compiled to the shared store, behind the compiling"),
    ("MITHRIL_INDUCTOR_LAZY_PULL", "1", "0 does not ask the shared store for what is missing here"),
    ("MITHRIL_REMOTE_READ_ONLY", "0", "1 never writes to the shared store"),
    ("MITHRIL_OFFLINE", "0", "1 never touches the network"),
    ("MITHRIL_CACHE_KEY_FILE", "", "file of keys that sign and verify records"),
    ("MITHRIL_CACHE_TRUST", "", "off, prefer or require a signature; prefer when there is a key file, else off"),
)
_DEFAULTS = {name: default for name, default, _ in ENVIRONMENT}


def switched_on(environment: Mapping[str, str], name: str) -> bool:
    """Whether a variable that is 0 or 1 is 1. Raises InvalidArgumentError for anything else."""
    value = (environment.get(name) or _DEFAULTS[name]).strip().lower()
    if value in ("1", "true", "yes", "on"):
        return True
    if value in ("0", "false", "no", "off"):
        return False
    raise InvalidArgumentError(f"{name} must be 0 or 1, not {value!r}")


@dataclass(frozen=True)
class CacheConfig:
    """Options of the compile cache. The `with_…` methods return a changed copy.

    Raises InvalidArgumentError for a quota below 1 MiB, or a policy that needs a key and has none.
    """

    root_dir: Path
    max_size_bytes: int = 10 * GIB
    """Quota in bytes. The store keeps it at all times, the least recently used goes first; the folders that torch and
    Triton work in are trimmed to what it leaves when a process ends, at most once an hour."""
    max_files: int | None = None
    """Quota in files and folders (inodes)."""
    inductor: bool = False
    """Serve torch.compile."""
    triton: bool = False
    """Serve Triton."""
    remote_url: str | None = None
    """A shared store behind the local one."""
    remote_region: str | None = None
    remote_endpoint: str | None = None
    auto_push: bool = False
    """Write what is compiled to the shared store too, behind the compiling."""
    lazy_pull: bool = True
    """Ask the shared store for what is missing here."""
    remote_read_only: bool = False
    """Never write to the shared store, whoever asks: for jobs whose writing nobody should trust."""
    offline: bool = False
    """Never touch the network."""
    key_file: Path | None = None
    """Keys that sign and verify records: lines of 64 hexadecimal digits, readable by the owner only."""
    trust: Literal["off", "prefer", "require"] | None = None
    """What an unsigned record is worth; None is `prefer` with a key file and `off` without."""
    log_level: str = "WARNING"

    def __post_init__(self) -> None:
        object.__setattr__(self, "root_dir", Path(os.path.abspath(Path(self.root_dir).expanduser())))
        if self.key_file is not None:
            object.__setattr__(self, "key_file", Path(self.key_file).expanduser().absolute())
        if self.max_size_bytes < 1 << 20:
            raise InvalidArgumentError(f"max_size_bytes must be at least 1 MiB, not {self.max_size_bytes}")
        if self.max_files is not None and self.max_files < 1000:
            raise InvalidArgumentError(f"max_files must be at least 1000, not {self.max_files}")
        if self.trust == "require" and self.key_file is None:
            raise InvalidArgumentError("trust 'require' needs a key file (MITHRIL_CACHE_KEY_FILE)")

    def with_max_size_gb(self, gib: float) -> "CacheConfig":
        """With a quota of so many GiB."""
        return dataclasses.replace(self, max_size_bytes=int(gib * GIB))

    def with_inductor(self, on: bool = True) -> "CacheConfig":
        """With the layers of torch.compile on or off."""
        return dataclasses.replace(self, inductor=on)

    def with_triton(self, on: bool = True) -> "CacheConfig":
        """With the Triton layer on or off."""
        return dataclasses.replace(self, triton=on)

    def with_remote(
        self,
        url: str,
        *,
        region: str | None = None,
        endpoint: str | None = None,
        auto_push: bool = False,
        lazy_pull: bool = True,
    ) -> "CacheConfig":
        """With a shared store: `s3://bucket/prefix`, `file:///folder` or a folder."""
        return dataclasses.replace(
            self,
            remote_url=url,
            remote_region=region,
            remote_endpoint=endpoint,
            auto_push=auto_push,
            lazy_pull=lazy_pull,
        )

    @classmethod
    def from_env(cls, environment: Mapping[str, str] | None = None) -> "CacheConfig":
        """What the environment says (docs/cache.md). Raises InvalidArgumentError naming the variable."""
        env = os.environ if environment is None else environment

        def text(name: str) -> str:
            return env.get(name) or _DEFAULTS[name]

        try:
            size = int(float(text("MITHRIL_MAX_SIZE_GB")) * GIB)
            files = int(text("MITHRIL_MAX_FILES") or 0) or None
        except (ValueError, OverflowError):
            raise InvalidArgumentError(
                f"MITHRIL_MAX_SIZE_GB={text('MITHRIL_MAX_SIZE_GB')!r} or "
                f"MITHRIL_MAX_FILES={text('MITHRIL_MAX_FILES')!r} is not a number"
            ) from None
        trust = text("MITHRIL_CACHE_TRUST") or None
        if trust not in (None, "off", "prefer", "require"):
            raise InvalidArgumentError(f"MITHRIL_CACHE_TRUST must be off, prefer or require, not {trust!r}")
        key_file = text("MITHRIL_CACHE_KEY_FILE")
        return cls(
            root_dir=Path(env.get("MITHRIL_CACHE_DIR") or default_root(env)),
            max_size_bytes=size,
            max_files=files,
            inductor=switched_on(env, "MITHRIL_INDUCTOR_ENABLED"),
            # Patching Inductor alone was asked for when only that variable is set.
            triton=switched_on(env, "MITHRIL_TRITON_ENABLED")
            and (switched_on(env, "MITHRIL_CACHE") or not switched_on(env, "MITHRIL_INDUCTOR_AUTO_PATCH")),
            remote_url=_remote_url(env),
            remote_region=text("MITHRIL_INDUCTOR_REMOTE_REGION") or None,
            remote_endpoint=text("MITHRIL_INDUCTOR_REMOTE_ENDPOINT") or None,
            auto_push=switched_on(env, "MITHRIL_INDUCTOR_AUTO_PUSH"),
            lazy_pull=switched_on(env, "MITHRIL_INDUCTOR_LAZY_PULL"),
            remote_read_only=switched_on(env, "MITHRIL_REMOTE_READ_ONLY"),
            offline=switched_on(env, "MITHRIL_OFFLINE"),
            key_file=Path(key_file) if key_file else None,
            trust=trust,  # type: ignore[arg-type]
            log_level=text("MITHRIL_INDUCTOR_LOG_LEVEL"),
        )

    def to_env(self) -> dict[str, str]:
        """The variables that give this config in another process."""
        return {
            "MITHRIL_CACHE": "1",
            "MITHRIL_CACHE_DIR": str(self.root_dir),
            "MITHRIL_MAX_SIZE_GB": repr(self.max_size_bytes / GIB),
            "MITHRIL_MAX_FILES": str(self.max_files or ""),
            "MITHRIL_INDUCTOR_ENABLED": str(int(self.inductor)),
            "MITHRIL_INDUCTOR_LOG_LEVEL": self.log_level,
            "MITHRIL_TRITON_ENABLED": str(int(self.triton)),
            "MITHRIL_REMOTE_URL": self.remote_url or "",
            "MITHRIL_INDUCTOR_REMOTE_REGION": self.remote_region or "",
            "MITHRIL_INDUCTOR_REMOTE_ENDPOINT": self.remote_endpoint or "",
            "MITHRIL_INDUCTOR_AUTO_PUSH": str(int(self.auto_push)),
            "MITHRIL_INDUCTOR_LAZY_PULL": str(int(self.lazy_pull)),
            "MITHRIL_REMOTE_READ_ONLY": str(int(self.remote_read_only)),
            "MITHRIL_OFFLINE": str(int(self.offline)),
            "MITHRIL_CACHE_KEY_FILE": str(self.key_file or ""),
            "MITHRIL_CACHE_TRUST": self.trust or "",
        }


def default_root(environment: Mapping[str, str]) -> Path:
    """`$XDG_CACHE_HOME/mithril`, or `~/.cache/mithril`."""
    base = environment.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path("~/.cache").expanduser()) / "mithril"


def _remote_url(env: Mapping[str, str]) -> str | None:
    if url := env.get("MITHRIL_REMOTE_URL"):
        return url
    backend = env.get("MITHRIL_INDUCTOR_REMOTE_BACKEND") or ""
    if not backend:
        return None
    bucket = env.get("MITHRIL_INDUCTOR_REMOTE_BUCKET") or ""
    prefix = (env.get("MITHRIL_INDUCTOR_REMOTE_PREFIX") or "").strip("/")
    if backend not in ("s3", "file") or not bucket:
        raise InvalidArgumentError(
            f"MITHRIL_INDUCTOR_REMOTE_BACKEND={backend!r} must be s3 or file, with MITHRIL_INDUCTOR_REMOTE_BUCKET set"
        )
    return "/".join(filter(None, (f"s3://{bucket}" if backend == "s3" else bucket, prefix)))
