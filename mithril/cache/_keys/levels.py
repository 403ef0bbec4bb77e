"""Artifacts of one graph at several levels, and which of them a device can use.

What runs where, by NVIDIA's documents (CUDA Programming Guide, "Binary Compatibility" and "PTX Compatibility"; the
compatibility guides of the architectures; "Family-Specific Architecture Features" of CUDA 12.9):

- A binary (cubin) made for 8.0 runs on 8.0, 8.6, 8.9: the same major version, and a minor version no older. Never on
  9.0. There is no such promise to, from or among the integrated devices (Jetson): these take their own only.
- PTX made for 8.0 runs on 8.0 and all that is newer.
- Code made for 9.0a, binary or PTX, runs on 9.0 alone; for 10.0f on that family: the rule of binaries.

A processor runs code made for another if it has all features of that. Intermediate code and source are made for a kind
of device, whichever of it.
"""

import enum
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mithril._errors import InvalidArgumentError
from mithril.cache._keys.device_class import DeviceClass

if TYPE_CHECKING:
    from mithril.cache._content import ContentStore
    from mithril.cache._keys.graph_key import GraphKey

_NAMESPACE = "artifact"
_INDEX_NAMESPACE = "artifact-index"
_MEMBER = "data"
_MAX_INDEX = 256
_MAX_INDEX_BYTES = 2 << 20
# Tegra; 10.1 is what 11.0 was called before CUDA 13, and of 8.8 nothing is promised.
_INTEGRATED = frozenset({(3, 2), (5, 3), (6, 2), (7, 2), (8, 7), (8, 8), (10, 1), (11, 0)})


class ArtifactLevel(enum.Enum):
    """How far an artifact is compiled; in the order of preference."""

    BINARY = "binary"
    """Machine code: a shared library, a cubin."""
    ASSEMBLY = "assembly"
    """PTX, or the assembly of a processor."""
    IR = "ir"
    """Intermediate code of a compiler (Triton, LLVM)."""
    SOURCE = "source"
    """Generated source."""


@dataclass(frozen=True)
class Artifact:
    """What `best_artifact` found."""

    level: ArtifactLevel
    device: DeviceClass
    """What it was made for."""
    data: bytes


def can_use(device: DeviceClass, level: ArtifactLevel, made_for: DeviceClass) -> bool:
    """Whether `device` can use what was made for `made_for`."""
    if device.kind != made_for.kind:
        return False
    if level in (ArtifactLevel.IR, ArtifactLevel.SOURCE):
        return True
    if not made_for.arch or not device.arch:
        return False
    if device.kind != "cuda":
        return device.arch == made_for.arch and device.features >= made_for.features
    has, needs = device.capability, made_for.capability
    if has is None or needs is None:
        return False
    if needs[2] == "a" or has[:2] == needs[:2]:
        return has[:2] == needs[:2]
    if level == ArtifactLevel.ASSEMBLY and not needs[2]:
        return has[:2] > needs[:2]
    return has[0] == needs[0] and has[1] > needs[1] and not _INTEGRATED & {has[:2], needs[:2]}


def put_artifact(
    store: "ContentStore", key: "GraphKey", level: ArtifactLevel, data: bytes, device: DeviceClass | None = None
) -> None:
    """Keep an artifact of the graph of `key`, made for `device` (by default the device of the key).

    `device` is what the code demands: for a compiler told -march=native all of the host's features
    (`DeviceClass.of("cpu")`), for fewer, say so. Raises InvalidArgumentError for a binary or assembly without an
    architecture, and StorageError where the store cannot write.
    """
    device = device or DeviceClass.parse(key.factors["device"])
    device = _demand(level, device)
    store.put_group(_NAMESPACE, _name(key, level, device), {_MEMBER: data})
    known = _index(store, key)
    if (level, device) not in known:
        rows = [[known_level.value, str(made_for)] for known_level, made_for in [(level, device), *known]]
        # Two writers at once may lose a row. Its artifact is found by its own device still, and written there again.
        store.put_group(_INDEX_NAMESPACE, key.portable_digest, {_MEMBER: json.dumps(rows[:_MAX_INDEX]).encode()})


def best_artifact(store: "ContentStore", key: "GraphKey", device: DeviceClass | None = None) -> Artifact | None:
    """The artifact of the graph of `key` compiled furthest that `device` (that of the key by default) can use.

    Of one level, the code that uses most of the device. None where nothing fits.
    """
    device = device or DeviceClass.parse(key.factors["device"])
    known = _index(store, key)
    for level in ArtifactLevel:
        fitting = [made_for for known_level, made_for in known if known_level == level]
        if level in (ArtifactLevel.IR, ArtifactLevel.SOURCE) or device.arch:
            fitting.append(_demand(level, device))
        for made_for in sorted(set(fitting), key=_rank, reverse=True):
            if not can_use(device, level, made_for):
                continue
            group = store.get_group(_NAMESPACE, _name(key, level, made_for))
            if group is not None and _MEMBER in group.members:
                return Artifact(level, made_for, group.members[_MEMBER])
    return None


def _demand(level: ArtifactLevel, device: DeviceClass) -> DeviceClass:
    """What of a device an artifact is bound to."""
    if level in (ArtifactLevel.IR, ArtifactLevel.SOURCE):
        return DeviceClass(device.kind)
    if not device.arch:
        raise InvalidArgumentError(f"artifact: {level.value} made for any {device.kind}; it needs an architecture")
    return device


def _rank(made_for: DeviceClass) -> tuple[object, ...]:
    """Greater for code that uses more of a device."""
    major, minor, suffix = made_for.capability or (0, 0, "")
    return major, minor, ("", "f", "a").index(suffix), len(made_for.features), str(made_for)


def _name(key: "GraphKey", level: ArtifactLevel, device: DeviceClass) -> str:
    return f"{key.portable_digest} {level.value} {device}"


def _index(store: "ContentStore", key: "GraphKey") -> list[tuple[ArtifactLevel, DeviceClass]]:
    """The levels and devices that there are artifacts for; what cannot be read is left out."""
    group = store.get_group(_INDEX_NAMESPACE, key.portable_digest)
    data = group.members.get(_MEMBER, b"") if group is not None else b""
    if len(data) > _MAX_INDEX_BYTES:
        return []
    try:
        rows = json.loads(data or b"[]")
        return [(ArtifactLevel(level), DeviceClass.parse(text)) for level, text in rows[:_MAX_INDEX]]
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return []
