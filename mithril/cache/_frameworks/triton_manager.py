"""The cache manager that Triton loads by TRITON_CACHE_MANAGER, in this process and in Inductor's compile workers.

Triton's own folder is asked first. What is missing there is fetched from the tiers of the process and placed there;
what was compiled is stored when Triton declares its group, one group of files for each kernel. A failure in here is a
miss, and never an error of Triton.
"""

import contextlib
import json
import os
import sysconfig
import time
from pathlib import Path

from triton.runtime.cache import FileCacheManager

from mithril.cache._frameworks.tree_paths import attach_all
from mithril.cache._frameworks.trees import capture, place
from mithril.cache._inductor.host import library_identity
from mithril.cache._tiers import Tiers, log, process_tiers

NAMESPACE = "triton"
_GROUP = "__grp__"
# Files that Triton puts without a group: modules that it compiles with the C compiler, and what autotuning found.
_ALONE = (sysconfig.get_config_var("EXT_SUFFIX") or ".so", ".autotune.json")


class MithrilCacheManager(FileCacheManager):  # type: ignore[misc]
    """Triton's FileCacheManager, with the tiers of this process behind its folder.

    Folders for dumps and overrides are left alone.
    """

    def __init__(self, key: str, override: bool = False, dump: bool = False) -> None:
        super().__init__(key, override=override, dump=dump)
        self._tiers: Tiers | None = None
        self._missed_at: float | None = None
        if not override and not dump:
            try:
                self._tiers = process_tiers()
            except Exception as error:
                log().warning("triton: no cache in this process: %s", error)

    def get_group(self, filename: str) -> dict[str, str] | None:
        """Paths of a kernel's files by name, or None."""
        group = self._local_group(filename)
        if group is None and self._tiers is not None and self._fetch(self.key, last=f"{_GROUP}{filename}"):
            group = self._local_group(filename)
        if group is None:
            self._missed_at = time.perf_counter()
        return group

    def put_group(self, filename: str, group: dict[str, str]) -> str:
        """Declare the files that belong together; the kernel's folder is then stored as one group."""
        path: str = super().put_group(filename, group)
        seconds = 0.0 if self._missed_at is None else time.perf_counter() - self._missed_at
        if self._tiers is not None:
            try:
                self._tiers.put(NAMESPACE, self.key, capture(Path(self.cache_dir)), seconds=seconds)
            except Exception as error:
                log().warning("triton: kernel %s is not stored: %s", self.key, error)
        return path

    def get_file(self, filename: str) -> str | None:
        """Path of a file of this key, or None."""
        path: str | None = super().get_file(filename)
        if path is None and self._tiers is not None and filename.endswith(_ALONE):
            self._fetch(f"{self.key}/{filename}", last=filename)
            path = super().get_file(filename)
        return path

    def put(self, data: bytes | str, filename: str, binary: bool = True) -> str:
        """Keep a file of this key; returns its path."""
        path: str = super().put(data, filename, binary=binary)
        if self._tiers is not None and filename.endswith(_ALONE):
            content = data if isinstance(data, bytes) else str(data).encode()
            key = f"{self.key}/{filename}"
            try:
                self._tiers.put(NAMESPACE, key, {filename: content}, fingerprint=_fingerprint(key))
            except Exception as error:
                log().warning("triton: %s is not stored: %s", key, error)
        return path

    def _local_group(self, filename: str) -> dict[str, str] | None:
        """What Triton finds in its folder; also when the folder was moved, and a damaged group file is a miss."""
        try:
            group: dict[str, str] | None = super().get_group(filename)
        except Exception as error:
            log().debug("triton: group file of %s: %s", self.key, error)
            return None
        return self._moved_group(filename) if group is None else group

    def _moved_group(self, filename: str) -> dict[str, str] | None:
        """The group where its file names another folder, but all of its files are in this one."""
        try:
            with open(self._make_path(f"{_GROUP}{filename}"), "rb") as file:
                children = json.load(file)["child_paths"]
            group = {child: self._make_path(child) for child in children}
            if not group or not all(
                os.path.basename(child) == child and os.path.isfile(group[child]) for child in group
            ):
                return None
        except Exception:
            return None
        with contextlib.suppress(OSError):  # a folder that cannot be written is as good without
            super().put_group(filename, group)
        return group

    def _fetch(self, key: str, *, last: str) -> bool:
        """Place the files that are stored under `key`, the one that makes them valid last."""
        try:
            assert self._tiers is not None
            members = self._tiers.get(NAMESPACE, key, fingerprint=_fingerprint(key))
            if members is None or last not in members:
                return False
            files = attach_all(members, self.cache_dir)
            for name in sorted(files, key=lambda name: (name == last, name)):
                path = Path(self.cache_dir, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                place(path, files[name], replace=True)
        except Exception as error:
            log().warning("triton: %s is not restored: %s", key, error)
            return False
        return True


def _fingerprint(key: str) -> str:
    """Modules of the C compiler belong to a C library; what Triton compiles itself does not."""
    return library_identity() if key.endswith(_ALONE[0]) else ""
