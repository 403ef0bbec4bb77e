"""Damages archives at random, many times, and opens, reads and verifies them: a MithrilError or the same data, always.

Flipped bits, overwritten and swapped ranges, cuts, insertions and doubled ranges, one to three at a time, on every
golden archive and on one of trained-like values with hundreds of entries. `verify` must find all damage.
"""

import argparse
import json
import random
import time
from pathlib import Path

from mithril import MithrilError
from mithril._native import core

ROOT = Path(__file__).resolve().parent.parent.parent


def contents(data: bytes) -> list[tuple[str, bytes]]:
    reader = core.ArchiveReader.from_buffer(data)
    return [(reader.entry(number).name, reader.read_bytes(number)) for number in range(len(reader))]


def large() -> bytes:
    writer = core.ArchiveWriter(block_bytes=4096)
    generator = random.Random(1)
    for number in range(200):
        values = b"".join(
            (0x3C00 + generator.randrange(0x400)).to_bytes(2, "little") for _ in range(generator.randrange(1, 2000))
        )
        writer.add(f"layer.{number}", values, "bfloat16", [len(values) // 2])
    writer.finish({"kind": "soak"})
    out = bytearray()
    while part := writer.next_part(1 << 20):
        out += memoryview(part)
    return bytes(out)


def damaged(data: bytes, generator: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(generator.randint(1, 3)):
        at = generator.randrange(len(out)) if out else 0
        size = generator.randint(1, 64)
        match generator.randrange(6):
            case 0 if out:
                out[at] ^= 1 << generator.randrange(8)
            case 1:
                out[at : at + size] = generator.randbytes(len(out[at : at + size]))
            case 2:
                del out[at:]
            case 3:
                out[at:at] = generator.randbytes(size)
            case 4:
                out[at:at] = out[at : at + size]
            case 5:
                other = generator.randrange(len(out)) if out else 0
                out[at : at + size] = out[other : other + size]
    return bytes(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=20261121)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    generator = random.Random(options.seed)
    archives = [path.read_bytes() for path in sorted((ROOT / "fixtures/golden").glob("v*/*.mcp"))] + [large()]
    expected = [contents(data) for data in archives]
    counts = {"rejected": 0, "unchanged": 0}
    failures = []
    start = time.monotonic()
    for turn in range(options.rounds):
        which = generator.randrange(len(archives))
        data = damaged(archives[which], generator)
        if data == archives[which]:
            counts["unchanged"] += 1
            continue
        found = None
        try:
            found = contents(data)
            core.ArchiveReader.from_buffer(data).verify()
        except MithrilError:
            # Bytes that a read does not need may be damaged: what was read is right all the same.
            if found is not None and found != expected[which]:
                failures.append({"turn": turn, "archive": which, "what": "wrong data was read"})
            counts["rejected"] += 1
            continue
        failures.append({"turn": turn, "archive": which, "what": "damage was not found"})
    result = {
        "rounds": options.rounds,
        "seed": options.seed,
        **counts,
        "failures": failures,
        "seconds": round(time.monotonic() - start),
    }
    print({**result, "failures": len(failures)})
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")
    if failures:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
