import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint._extension import ZStandard

NAME = "dcp.save + ZStandard extension"


def save(state, folder):
    dcp.save(state, storage_writer=dcp.FileSystemWriter(folder, _extensions=[ZStandard()]))


def load(state, folder):
    dcp.load(state, storage_reader=dcp.FileSystemReader(folder))
