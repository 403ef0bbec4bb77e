import torch.distributed as dist
from moonclip import MoonclipManager
from moonclip.pytorch import flatten_state_dict, unflatten_state_dict

from benchmarks.dcp import shards

NAME = "moonclip, a folder per rank"


def save(state, folder):
    # Each rank its own store, as its documents have it for FSDP; async_save would leave the work for after the time.
    store = MoonclipManager(str(folder / f"rank-{dist.get_rank()}"), async_save=False, keep_base_in_memory=False)
    store.save_tensors(0, flatten_state_dict(shards.of(state), "state", as_tensors=True)[0])


def load(state, folder):
    store = MoonclipManager(str(folder / f"rank-{dist.get_rank()}"), async_save=False, keep_base_in_memory=False)
    shards.fill(state, unflatten_state_dict(store.load_latest()[1])["state"])
