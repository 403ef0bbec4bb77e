"""Kinds of devices: what compiled code was made for, and what this machine has."""

import functools
import platform
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mithril._errors import InvalidArgumentError

if TYPE_CHECKING:
    import torch

_WORD = re.compile(r"[A-Za-z0-9_.:+-]{1,128}")
_CUDA_ARCH = re.compile(r"(\d{1,3})\.(\d)([af]?)")
_MAX_TEXT = 3072
# Those of the kernel's names for processor features that compilers make use of.
_CPU_FEATURE = re.compile(
    r"(sse|ssse|pni|avx|fma|f16c|bmi|abm|popcnt|movbe|adx|aes|sha|vaes|pclmul|vpclmul|gfni|amx|xop|tbm"
    r"|asimd|sve|sme(?!p)|fphp|bf16|i8mm|atomics|crc32|pmull)"
)


@dataclass(frozen=True)
class DeviceClass:
    """A kind of device.

    `kind` is "cpu", "cuda", "hip" or another of torch's device types. `arch` is for "cpu" the machine ("x86_64"), for
    "cuda" the compute capability ("9.0", of code also "9.0a", "10.0f"), for "hip" the name of the architecture; empty
    stands for any. `features` are those of a processor, by the kernel's names, and `vec:avx2`, `vec:avx512`, … for the
    vector instructions that torch uses.
    """

    kind: str
    arch: str = ""
    features: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        for word in (self.kind, *([self.arch] if self.arch else []), *self.features):
            if not isinstance(word, str) or not _WORD.fullmatch(word):
                raise InvalidArgumentError(f"device class: {word!r:.100} is no word")
        if self.kind == "cuda" and self.arch and not _CUDA_ARCH.fullmatch(self.arch):
            raise InvalidArgumentError(f"device class: {self.arch!r} is no compute capability like 9.0 or 9.0a")
        if self.features and not self.arch:
            raise InvalidArgumentError("device class: features without an architecture")
        if len(str(self)) > _MAX_TEXT:
            raise InvalidArgumentError(f"device class: {len(str(self))} characters, more than {_MAX_TEXT}")

    def __str__(self) -> str:
        return " ".join([self.kind, *([self.arch] if self.arch else []), *sorted(self.features)])

    @classmethod
    def parse(cls, text: str) -> "DeviceClass":
        """The device class that `str` gave as `text`. Raises InvalidArgumentError."""
        words = text.split(" ")
        return cls(words[0], words[1] if len(words) > 1 else "", frozenset(words[2:]))

    @classmethod
    def of(cls, device: "DeviceClass | torch.device | str") -> "DeviceClass":
        """The class of a device of this machine ("cpu", "cuda:1"). Text with a space in it is parsed instead."""
        if isinstance(device, DeviceClass):
            return device
        if isinstance(device, str) and " " in device:
            return cls.parse(device)
        import torch

        try:
            device = torch.device(device)
        except RuntimeError as error:
            raise InvalidArgumentError(f"device {device!r}: {str(error).splitlines()[0]}") from None
        if device.type == "cpu":
            return cls("cpu", platform.machine(), cpu_features())
        if device.type != "cuda":
            return cls(device.type)
        kind = "hip" if torch.version.hip else "cuda"
        if not torch.cuda.is_available():
            return cls(kind)
        if kind == "hip":
            return cls(kind, torch.cuda.get_device_properties(device).gcnArchName)
        return cls(kind, "{}.{}".format(*torch.cuda.get_device_capability(device)))

    @property
    def capability(self) -> tuple[int, int, str] | None:
        """Of "cuda": major, minor and suffix ("", "a" or "f"); None for any."""
        match = _CUDA_ARCH.fullmatch(self.arch) if self.kind == "cuda" else None
        return (int(match[1]), int(match[2]), match[3]) if match else None


def cpu_features() -> frozenset[str]:
    """The features of this processor, and the vector instructions that torch uses.

    ATEN_CPU_CAPABILITY narrows the latter only: compilers told -march=native do not ask it."""
    import torch

    vector = torch.backends.cpu.get_cpu_capability().lower().replace(" ", "")
    levels = {"default": (), "noavx": (), "avx2": ("avx2",), "avx512": ("avx2", "avx512")}.get(vector, (vector,))
    return _listed_features() | {f"vec:{level}" for level in levels}


@functools.cache
def _listed_features() -> frozenset[str]:
    try:
        # The first processor's paragraph; a hostile or odd /proc costs no memory.
        with open("/proc/cpuinfo", "rb") as file:
            paragraph = file.read(1 << 16).decode(errors="replace").partition("\n\n")[0]
    except OSError:
        return frozenset()
    rows = (line.partition(":") for line in paragraph.splitlines())
    words = [word for name, _, text in rows if name.strip() in ("flags", "Features") for word in text.split()]
    return frozenset(word for word in words if _CPU_FEATURE.match(word) and _WORD.fullmatch(word))
