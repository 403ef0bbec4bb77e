import torch.distributed.checkpoint as dcp

NAME = "plain dcp.save"


def save(state, folder):
    dcp.save(state, storage_writer=dcp.FileSystemWriter(folder))


def load(state, folder):
    dcp.load(state, storage_reader=dcp.FileSystemReader(folder))
