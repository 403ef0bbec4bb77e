"""Real ranks for tests: a pool of processes in one gloo group, started once and given one function after the other."""

import atexit
import datetime
import functools
import multiprocessing
import os
import tempfile
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.distributed as dist

T = TypeVar("T")

_COLLECTIVE_SECONDS = 60
_SPAWN = multiprocessing.get_context("spawn")


class Ranks:
    """`run` calls a module-level function with the same arguments on every rank and returns what each rank returned."""

    def __init__(self, world: int) -> None:
        self._world = world
        self._pipes: list[Connection] = []
        self._processes: list[Any] = []
        atexit.register(self.stop)

    def run(self, function: Callable[..., T], *args: Any, timeout: float = 120) -> list[T]:
        if not self._processes:
            self._start()
        for pipe in self._pipes:
            pipe.send((function, args))
        answers = [_answer(pipe, timeout) for pipe in self._pipes]
        failures = [f"rank {rank}: {what}" for rank, (what, _) in enumerate(answers) if what is not None]
        if failures:
            self.stop()  # what they are waiting for will not come
            raise AssertionError("\n".join(failures))
        return [result for _, result in answers]

    def stop(self) -> None:
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.join()
        self._processes, self._pipes = [], []

    def _start(self) -> None:
        store = Path(tempfile.mkdtemp()) / "store"
        for rank in range(self._world):
            ours, theirs = _SPAWN.Pipe()
            process = _SPAWN.Process(target=_serve, args=(rank, self._world, str(store), theirs))
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)


@functools.cache
def ranks(world: int) -> Ranks:
    """The pool of that size."""
    return Ranks(world)


def _answer(pipe: Connection, timeout: float) -> tuple[str | None, Any]:
    try:
        answer: tuple[str | None, Any] = pipe.recv() if pipe.poll(timeout) else ("no answer", None)
    except EOFError:
        return "died", None
    return answer


def _serve(rank: int, world: int, store: str, pipe: Connection) -> None:
    os.environ.update(RANK=str(rank), WORLD_SIZE=str(world), LOCAL_RANK=str(rank), LOCAL_WORLD_SIZE=str(world))
    os.environ.update(MASTER_ADDR="localhost", GLOO_SOCKET_IFNAME="lo")
    torch.set_num_threads(1)
    timeout = datetime.timedelta(seconds=_COLLECTIVE_SECONDS)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world, timeout=timeout)
    while True:
        try:
            function, args = pipe.recv()
        except EOFError:  # the tests are over
            return
        try:
            pipe.send((None, function(*args)))
        except BaseException:
            pipe.send((traceback.format_exc(), None))
