"""What of this machine and this torch compiled code depends on."""

import functools
import os
import platform
import subprocess
import sys
import sysconfig
from pathlib import Path

from blake3 import blake3


@functools.cache
def cpu_tag() -> str:
    """Twelve hexadecimal digits for the processor's features, as the kernel lists them, and what narrows them.

    A folder of compiled code that carries this tag is never read on another kind of processor.
    """
    wanted = ("vendor_id", "model name", "flags", "Features", "CPU part", "CPU implementer")
    lines = []
    try:
        # The first processor's paragraph; a hostile or odd /proc costs no memory.
        with open("/proc/cpuinfo", "rb") as file:
            paragraph = file.read(1 << 16).decode(errors="replace").partition("\n\n")[0]
        lines = [line for line in paragraph.splitlines() if line.partition(":")[0].strip() in wanted]
    except OSError:
        lines = [platform.processor()]
    lines += [platform.machine(), os.environ.get("ATEN_CPU_CAPABILITY", "")]
    return blake3("\n".join(lines).encode()).hexdigest()[:12]


@functools.cache
def compiler_identity(compiler: str) -> str:
    """What the compiler is, and what `-march=native` means to it here: its predefined macros, hashed. Costs 10 ms.

    Two hosts that agree in it make the same code of the same source and flags. Empty when it cannot be asked.
    """
    for march in (["-march=native"], []):
        command = [compiler, *march, "-dM", "-E", "-x", "c++", os.devnull]
        try:
            done = subprocess.run(command, capture_output=True, timeout=30, env={**os.environ, "LC_ALL": "C"})
        except (OSError, subprocess.SubprocessError):
            return ""
        if done.returncode == 0:
            return blake3(b"\n".join(sorted(done.stdout.splitlines()))).hexdigest()
    return ""


@functools.cache
def library_identity() -> str:
    """The C library and the Python that extension modules link against."""
    return f"{' '.join(platform.libc_ver())} {sysconfig.get_config_var('SOABI')} {platform.machine()}"


def without_places(text: str) -> str:
    """`text` with the folders of this torch and this Python replaced by names, so that a moved environment agrees."""
    for place, name in _places():
        text = text.replace(place, name)
    return text


@functools.cache
def _places() -> tuple[tuple[str, str], ...]:
    import torch

    places = {str(Path(torch.__file__).parent): "<torch>"}
    for path, name in (
        (sysconfig.get_path("include"), "<include>"),
        (sysconfig.get_path("purelib"), "<packages>"),
        (sys.prefix, "<prefix>"),
        (sys.base_prefix, "<base>"),
    ):
        places.setdefault(path, name)
    for path, name in list(places.items()):
        places.setdefault(os.path.realpath(path), name)
    # Longest first: /venv/include before /venv. A prefix like /usr says nothing that would move.
    return tuple(sorted(((p, n) for p, n in places.items() if p.count("/") > 1), key=lambda pair: -len(pair[0])))


def torch_fingerprint() -> str:
    """Which torch, Python and architecture compiled graphs belong to."""
    import torch

    version = f"{torch.__version__} {torch.version.git_version}"
    return f"torch {version}; python {sys.version_info[0]}.{sys.version_info[1]}; {platform.machine()}"
