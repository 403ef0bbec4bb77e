"""What saving and loading cost and survive: memory, large tensors, threads, forks."""

import hashlib
import threading

import pytest
import torch

from mithril import load_file, open_archive, save_file

MEASURE = """
import sys, threading, time
import torch
import mithril

def anonymous():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) << 10 for line in status if line.startswith("RssAnon:"))

def growth(action):
    peak, done = 0, threading.Event()
    def sample():
        nonlocal peak
        while not done.is_set():
            peak = max(peak, anonymous())
            time.sleep(0.001)
    before = anonymous()
    sampler = threading.Thread(target=sample, daemon=True)
    sampler.start()
    result = action()
    done.set()
    sampler.join()
    return max(peak, anonymous()) - before

def slices():
    with mithril.open_archive(path) as archive:
        part = archive.get_slice("x")
        for at in range(0, part.get_shape()[0], 1 << 10):
            part[at : at + 16]

path, what = sys.argv[1:]
mithril.save_file({"x": torch.randn(1 << 20)}, path + ".warm")  # starts threads: not what is measured
mithril.load_file(path + ".warm")
if what == "save":
    tensor = torch.randn(1 << 28).view(1 << 14, 1 << 14)
    print(growth(lambda: mithril.save_file({"x": tensor, "transposed": tensor.t()}, path)))
elif what == "compress":
    data = torch.randn(1 << 29).bfloat16()
    mithril.CheckpointCompressor().compress(data[:1000], "bfloat16")
    blobs = []
    used = growth(lambda: blobs.append(mithril.CheckpointCompressor().compress(data, "bfloat16")))
    print(used - len(blobs[0]))
elif what == "op":
    import mithril.ops
    data = torch.randn(1 << 29).bfloat16()
    blobs = []
    used = growth(lambda: blobs.append(mithril.ops.compress(data)))
    print(used - blobs[0].nbytes)
elif what == "load":
    print(growth(lambda: mithril.load_file(path)) - (2 << 30))
else:
    print(growth(slices))
"""


@pytest.mark.slow
def test_saving_and_loading_a_gigabyte_copies_nothing(tmp_path, run_python) -> None:
    path = tmp_path / "x.mcp"
    limit = 64 << 20
    assert int(run_python(MEASURE, path, "save")) < limit
    assert int(run_python(MEASURE, path, "load")) < limit
    assert int(run_python(MEASURE, path, "slice")) < limit


@pytest.mark.slow
@pytest.mark.parametrize("what", ["compress", "op"])
def test_compressing_a_gigabyte_needs_little_more_than_the_result(tmp_path, run_python, what: str) -> None:
    assert int(run_python(MEASURE, tmp_path / "x", what)) < 64 << 20


@pytest.mark.slow
def test_a_tensor_beyond_32_bits(tmp_path) -> None:
    size = 5 << 30
    marks = [0, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 32, size - 1]
    tensor = torch.empty(size, dtype=torch.uint8).fill_(7)
    for value, mark in enumerate(marks):
        tensor[mark] = 100 + value
    save_file({"x": tensor}, tmp_path / "x.mcp")
    del tensor
    with open_archive(tmp_path / "x.mcp") as archive:
        lazy = archive.get_slice("x")
        assert lazy.get_shape() == [size]
        assert [lazy[mark].item() for mark in marks] == [100 + value for value in range(len(marks))]
        around = lazy[(1 << 32) - 3 : (1 << 32) + 3]
        assert around.tolist() == [7, 7, 103, 104, 7, 7]
    loaded = load_file(tmp_path / "x.mcp")["x"]
    assert [loaded[mark].item() for mark in marks] == [100 + value for value in range(len(marks))]
    loaded[marks] = 7
    assert all((piece == 7).all() for piece in loaded.split(1 << 28))


def test_the_thread_count_changes_no_byte(tmp_path, run_python, trained_path) -> None:
    program = """
import sys, mithril
from safetensors.torch import load_file
mithril.save_file(load_file(sys.argv[1]), sys.argv[2], {"a": "b"})
"""
    digests = set()
    for threads in ("1", "2"):
        run_python(program, trained_path, tmp_path / threads, MITHRIL_NUM_THREADS=threads)
        digests.add(hashlib.sha256((tmp_path / threads).read_bytes()).hexdigest())
    assert len(digests) == 1


def test_threads_of_one_process(tmp_path) -> None:
    tensors = [{"x": torch.randn(200_000), "y": torch.arange(i)} for i in range(6)]
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for _ in range(3):
                path = tmp_path / f"{number}.mcp"
                save_file(tensors[number], path)
                loaded = load_file(path)
                assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors[number].items())
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    assert not failures


def test_threads_share_an_archive(tmp_path) -> None:
    tensors = {str(i): torch.full((100_000,), float(i)) for i in range(8)}
    save_file(tensors, tmp_path / "x.mcp")
    with open_archive(tmp_path / "x.mcp") as archive:
        loaded: dict[str, torch.Tensor] = {}
        threads = [
            threading.Thread(target=lambda name=name: loaded.update({name: archive.get_tensor(name)}))
            for name in tensors
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())


ROUND_TRIP = """
import os, sys, threading, torch
from mithril import load_file, save_file

def round_trip(path):
    # Without torch's own threads: OpenMP does not survive a fork.
    data = bytearray(range(250)) * 8000
    save_file({"x": torch.frombuffer(data, dtype=torch.int32)}, path)
    assert load_file(path)["x"].numpy().tobytes() == data
"""


def test_forked_children_can_save_and_load(tmp_path, run_python) -> None:
    program = """
round_trip(sys.argv[1])
children = []
for number in range(3):
    child = os.fork()
    if child == 0:
        round_trip(sys.argv[1] + str(number))
        grandchild = os.fork()
        if grandchild == 0:
            round_trip(sys.argv[1] + str(number) + "g")
            os._exit(0)
        os._exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]))
    children.append(child)
round_trip(sys.argv[1])
assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0, 0]
"""
    run_python(ROUND_TRIP + program, tmp_path / "x")


def test_a_child_forked_while_the_parent_saves(tmp_path, run_python) -> None:
    program = """
round_trip(sys.argv[1])  # torch sets things up in its first calls, and a fork in the middle of that leaves them locked
busy = threading.Thread(target=lambda: [round_trip(sys.argv[1]) for _ in range(20)])
busy.start()
for number in range(5):
    child = os.fork()
    if child == 0:
        round_trip(sys.argv[1] + str(number))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
busy.join()
"""
    run_python(ROUND_TRIP + program, tmp_path / "x")


def test_daemon_processes(tmp_path, run_python) -> None:
    program = """
import multiprocessing
for method in ("spawn", "forkserver", "fork"):
    context = multiprocessing.get_context(method)
    process = context.Process(target=load_file, args=(sys.argv[1],), daemon=True)
    round_trip(sys.argv[1])
    process.start()
    process.join(100)
    assert process.exitcode == 0, (method, process.exitcode)
"""
    run_python(ROUND_TRIP + "if __name__ == '__main__':" + program.replace("\n", "\n    "), tmp_path / "x")
