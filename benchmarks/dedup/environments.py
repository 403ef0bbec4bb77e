"""The interpreters of contenders: mithril's own, and one virtual environment per file of requirements."""

import hashlib
import subprocess
import sys
import venv
from functools import cache
from pathlib import Path
from types import ModuleType

from benchmarks import measure

FOLDER = measure.ROOT / "build" / "dedup"


def interpreter(contender: ModuleType) -> str:
    requirements = getattr(contender, "REQUIREMENTS", None)
    return sys.executable if requirements is None else str(environment(requirements))


@cache
def environment(requirements: str) -> Path:
    """The interpreter of the environment with these packages."""
    source = Path(__file__).with_name(requirements)
    folder = FOLDER / source.stem
    python, stamp = folder / "bin" / "python", folder / "made-from"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    if not stamp.exists() or stamp.read_text() != digest:
        print(f"installing {requirements} into {folder}", flush=True)
        venv.create(folder, clear=True, with_pip=True)
        subprocess.run([python, "-m", "pip", "install", "-q", "-r", source], check=True)
        stamp.write_text(digest)
    return python
