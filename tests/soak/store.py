"""Kills processes that use one content store, at random: whatever the time, nothing in it may be damaged.

    python tests/soak/store.py [--rounds N] [--seed N] [--json FILE]

Each round starts eight processes that put, get and delete objects and groups in a store whose quota holds half of what
they put, so that eviction runs all the time, and kills them one after the other. What a process reads must be what was
put; after the round every file must verify, the quota must hold but for one object a process, and gc must repair it.
"""

import argparse
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

sys.path.insert(0, os.fspath(Path(__file__).parents[2]))

from mithril import StorageError
from mithril.cache._content import ContentStore

_PROCESSES = 8
_OBJECTS = 600
_LARGEST = 24_000
_QUOTA = _OBJECTS * _LARGEST // 4  # half of them all, as sizes are even between nothing and the largest
_FILES = 1100
_LONGEST_WAIT = 0.4  # seconds until the last one is killed


def content(number: int) -> bytes:
    """What object `number` holds: of another size and in every byte different from the others."""
    generator = random.Random(number)
    return generator.randbytes(generator.randrange(_LARGEST))


def open_store(folder: Path) -> ContentStore:
    return ContentStore(folder, max_size_bytes=_QUOTA, max_files=_FILES)


def use_forever(folder: Path, seed: int, pipe: Connection) -> None:
    """Reports what went wrong, and first, that it is at work."""
    store = open_store(folder)
    chance = random.Random(seed)
    done = 0
    while True:
        try:
            failure = use(store, chance)
        except StorageError as error:
            failure = f"{type(error).__name__}: {error}"
        done += 1
        if failure is not None:
            pipe.send(failure)
        elif done == 20:
            pipe.send(None)


def use(store: ContentStore, chance: random.Random) -> str | None:
    """One step of any kind; returns what is wrong with its result."""
    number = chance.randrange(_OBJECTS)
    data = content(number)
    address = store.compute_address(data)
    match chance.randrange(10):
        case 0 | 1 | 2:
            store.put(data)
        case 3 | 4 | 5:
            if store.get(address) not in (None, data):
                return f"object {number} is not what was put"
        case 6:
            store.delete(address)
        case 7:
            store.put_group("soak", str(number), {"large": data, "small": data[:1000]})
        case 8:
            group = store.get_group("soak", str(number))
            if group is not None and group.members != {"large": data, "small": data[:1000]}:
                return f"group {number} is not what was put"
        case 9:
            store.delete_group("soak", str(number))
            if chance.randrange(20) == 0:
                store.gc()
    return None


def check(folder: Path) -> tuple[float, list[str]]:
    """By how much the quota is exceeded, in objects of the largest size, and what is wrong with the store."""
    store = open_store(folder)
    failures = []
    stats = store.stats()
    overrun = max(0.0, (stats.bytes - _QUOTA) / _LARGEST)
    if overrun > _PROCESSES or stats.files > _FILES + 3 * _PROCESSES:
        failures.append(f"{stats.bytes} bytes and {stats.files} files of {_QUOTA} and {_FILES}")
    store.gc()
    stats = store.stats()
    if stats.bytes > _QUOTA or stats.files > _FILES:
        failures.append(f"after gc {stats.bytes} bytes and {stats.files} files of {_QUOTA} and {_FILES}")
    verified = store.verify()
    if verified.damaged or verified.unreadable or stats.quarantined:
        failures.append(f"damaged: {verified.damaged}, {verified.unreadable}, in quarantine {stats.quarantined}")
    if not verified.objects or not verified.records:
        failures.append("nothing is stored")
    return overrun, failures


def kill_users(folder: Path, *, rounds: int, seed: int) -> dict[str, Any]:
    """Run the rounds; returns the failures and the largest overrun."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([ContentStore.__module__])
    chance = random.Random(seed)
    failures: list[str] = []
    worst = 0.0
    for number in range(rounds):
        found = kill_round(context, folder, chance)
        overrun, wrong = check(folder)
        worst = max(worst, overrun)
        failures += [f"round {number}: {failure}" for failure in found + wrong]
        remove_temporary(folder)
    return {"rounds": rounds, "failures": failures, "worst_overrun_objects": round(worst, 2)}


def kill_round(context: Any, folder: Path, chance: random.Random) -> list[str]:
    pipes, processes = [], []
    for _ in range(_PROCESSES):
        ours, theirs = context.Pipe(duplex=False)
        processes.append(context.Process(target=use_forever, args=(folder, chance.randrange(1 << 30), theirs)))
        processes[-1].start()
        theirs.close()
        pipes.append(ours)
    messages = [pipe.recv() for pipe in pipes]  # all are at work
    for process in processes:
        time.sleep(chance.uniform(0, _LONGEST_WAIT / _PROCESSES))
        os.kill(process.pid, signal.SIGKILL)
    for process in processes:
        process.join()
    while pipes:
        for pipe in wait(pipes):
            try:
                messages.append(pipe.recv())
            except EOFError:
                pipes.remove(pipe)
    return [message for message in messages if message is not None]


def remove_temporary(folder: Path) -> None:
    """Stands in for the hour after which gc removes what killed processes left."""
    for file in (folder / "tmp").iterdir():
        os.utime(file, (0, 0))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = kill_users(Path(folder, "store"), rounds=options.rounds, seed=options.seed)
    print(json.dumps(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    return len(result["failures"]) > 0


if __name__ == "__main__":
    sys.exit(main())
