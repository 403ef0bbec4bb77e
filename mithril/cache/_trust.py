"""Who may fill a cache: records are signed with keyed BLAKE3, and a policy says what an unsigned one is worth.

A shared store holds pickles and machine code. Its content addresses show damage; they say nothing about who wrote the
record that names them. A key, known to all who share the store and to nobody else, does.
"""

import hmac
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from blake3 import blake3

from mithril._errors import InvalidArgumentError, UntrustedError

TAG_BYTES = 32
KEY_BYTES = 32
Policy = Literal["off", "prefer", "require"]
_UNSIGNED = bytes(8)


@dataclass(frozen=True)
class Trust:
    """The keys and the policy.

    `off` neither signs nor looks at signatures; `prefer` signs, refuses what is wrongly signed with a key it knows, and
    takes what is unsigned or signed with keys it does not know; `require` takes only what is signed with one it knows.
    The first key signs, all of them verify: to replace a key, put the new one first and keep the old one until its
    records are gone.
    """

    policy: Policy = "off"
    keys: tuple[bytes, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        if self.policy not in ("off", "prefer", "require"):
            raise InvalidArgumentError(f"trust policy must be off, prefer or require, not {self.policy!r}")
        if any(len(key) != KEY_BYTES for key in self.keys):
            raise InvalidArgumentError(f"a key has {KEY_BYTES} bytes")
        if self.policy == "require" and not self.keys:
            raise InvalidArgumentError("trust policy require needs a key: set MITHRIL_CACHE_KEY_FILE")

    @classmethod
    def from_file(cls, path: str | os.PathLike[str] | None, policy: Policy | None = None) -> "Trust":
        """Keys from a file: a line of 64 hexadecimal digits each, # starts a comment. Policy `prefer` unless said.

        Raises InvalidArgumentError when others than the owner may read the file, or a line is no key.
        """
        if path is None:
            return cls(policy or "off")
        if stat.S_IMODE(os.stat(path).st_mode) & 0o077:
            raise InvalidArgumentError(f"key file {os.fspath(path)} is readable by others; run chmod 600 on it")
        keys = []
        for number, line in enumerate(Path(path).read_text().splitlines(), 1):
            text = line.partition("#")[0].strip()
            if not text:
                continue
            try:
                key = bytes.fromhex(text)
            except ValueError:
                key = b""
            if len(key) != KEY_BYTES:
                raise InvalidArgumentError(f"key file {os.fspath(path)}, line {number}: not 64 hexadecimal digits")
            keys.append(key)
        if not keys:
            raise InvalidArgumentError(f"key file {os.fspath(path)} holds no key")
        return cls(policy or "prefer", tuple(keys))

    def sign(self, body: bytes) -> tuple[bytes, bytes]:
        """The identity of the signing key and the tag of `body`; zeros when there is no key or the policy is off."""
        if self.policy == "off" or not self.keys:
            return _UNSIGNED, bytes(TAG_BYTES)
        return _identity(self.keys[0]), _tag(self.keys[0], body)

    def check(self, body: bytes, identity: bytes, tag: bytes) -> None:
        """Raise UntrustedError unless the policy takes a body with this signature."""
        if self.policy == "off":
            return
        for key in self.keys:
            if _identity(key) == identity:
                if hmac.compare_digest(_tag(key, body), tag):
                    return
                raise UntrustedError("record: its signature is wrong")
        if self.policy == "require":
            raise UntrustedError("record: not signed with a key that is known here")


def _tag(key: bytes, body: bytes) -> bytes:
    return blake3(body, key=key).digest()


def _identity(key: bytes) -> bytes:
    return blake3(key, derive_key_context="mithril cache key identity").digest(8)
