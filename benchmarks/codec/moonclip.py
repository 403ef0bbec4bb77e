"""A checkpoint manager, which knows only files: a full snapshot of one tensor, in a folder in memory, without fsync."""

import tempfile
from pathlib import Path

import torch
from moonclip import MoonclipManager

NAME, PACKAGE, INTO = "moonclip", "moonclip", False
ENVIRONMENT = {"MOONCLIP_THREADS": "1", "MOONCLIP_FSYNC": "0"}
MEMORY = Path("/dev/shm")


def prepare(dtype):
    def compress(data):
        # Each in a folder of its own: a second snapshot beside the first would be a delta.
        folder = tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None)
        manager = MoonclipManager(folder.name, async_save=False, keep_base_in_memory=False)
        manager.save_tensors(0, {"tensor": torch.frombuffer(data, dtype=getattr(torch, dtype))})
        return manager, folder

    return compress, lambda blob, out: blob[0].load_latest()[1]["tensor"]


def size(blob):
    """Of the compressed tensor, without manifest and padding to pages."""
    return blob[0].describe_latest()["tensors"][0]["compressed_size"]
