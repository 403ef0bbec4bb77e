"""Fuzzes everything that reads untrusted bytes, under the address and undefined behaviour sanitizers.

    python tests/soak/fuzz.py [--rounds N] [--seed N] [--targets NAME ...] [--json FILE]

Needs clang with libFuzzer. Builds the targets of tests/fuzz in build/fuzz and runs each on its share of the rounds, one
target to a core. What libFuzzer finds interesting is kept in build/fuzz/corpus, where the next run goes on; inputs that
fail are kept in build/fuzz/failures: build/fuzz/fuzz_TARGET FILE runs one once more.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, os.fspath(ROOT))

from benchmarks.measure import commit, machine  # noqa: E402

BUILD = ROOT / "build" / "fuzz"
# The longest to run first.
SHARES = {
    "round_trip": 0.005,
    "stream": 0.385,
    "table": 0.3,
    "archive": 0.1,
    "index": 0.13,
    "dedup_index": 0.05,
    "json_lines": 0.03,
}
MORE_SEEDS = {"archive": ["fixtures/golden/v1", "fixtures/malformed"]}
LIMITS = ["-timeout=30", "-rss_limit_mb=2048"]  # seconds for one input; memory in all, and for one allocation


def check_compiler(compiler: str) -> None:
    """Compile and link a target that does nothing."""
    source = b'#include <cstddef>\nextern "C" int LLVMFuzzerTestOneInput(const unsigned char*, size_t) { return 0; }'
    command = [compiler, "-fsanitize=fuzzer,address,undefined", "-x", "c++", "-", "-o", os.devnull]
    if shutil.which(compiler) is None or subprocess.run(command, input=source, capture_output=True).returncode:
        sys.exit("fuzz: needs clang with libFuzzer; on Debian or Ubuntu: apt-get install clang libclang-rt-dev")


def build(compiler: str) -> None:
    configure = ["cmake", "--log-level=WARNING", "-S", ROOT, "-B", BUILD, "-G", "Ninja", "-DMITHRIL_FUZZ=ON"]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}  # for ninja
    subprocess.run([*configure, f"-DCMAKE_CXX_COMPILER={compiler}"], check=True, env=environment)
    subprocess.run(["cmake", "--build", BUILD], check=True, env=environment)


def fuzz(target: str, rounds: int, seed: int) -> dict[str, Any]:
    corpus, failures = BUILD / "corpus" / target, BUILD / "failures" / target
    for folder in (corpus, failures):
        folder.mkdir(parents=True, exist_ok=True)
    earlier = set(failures.iterdir())
    folders = (f"tests/fuzz/corpus/{target}", f"tests/fuzz/found/{target}", *MORE_SEEDS.get(target, ()))
    seeds = [ROOT / folder for folder in folders if (ROOT / folder).is_dir()]
    options = [f"-runs={rounds}", f"-seed={seed}", f"-artifact_prefix={failures}/", "-print_final_stats=1", *LIMITS]
    start = time.monotonic()
    run = subprocess.run(
        [BUILD / f"fuzz_{target}", *options, corpus, *seeds],
        env=os.environ | {"UBSAN_OPTIONS": "print_stacktrace=1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    seconds = time.monotonic() - start
    executions = int((re.findall(r"number_of_executed_units: (\d+)", run.stdout) or [0])[-1])
    counters = (re.findall(r"cov: (\d+) ft: (\d+) corp: (\d+)/", run.stdout) or [(0, 0, 0)])[-1]
    crashes = sorted(path.name for path in set(failures.iterdir()) - earlier)
    if run.returncode:
        crashes = crashes or [f"exit status {run.returncode}"]
        print(f"== {target} failed", *run.stdout.splitlines()[-60:], sep="\n")
    return {
        "executions": executions,
        "seconds": round(seconds, 1),
        "executions_per_second": round(executions / seconds),
        "coverage": dict(zip(("edges", "features", "inputs"), map(int, counters), strict=True)),
        "crashes": crashes,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10_000_000, help="executions of all targets together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--targets", nargs="+", choices=SHARES, default=list(SHARES))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    compiler = "clang++"
    check_compiler(compiler)
    build(compiler)
    shares = {target: share for target, share in SHARES.items() if target in options.targets}
    rounds = {target: round(options.rounds * share / sum(shares.values())) + 1 for target, share in shares.items()}
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        results = dict(
            zip(rounds, pool.map(lambda target: fuzz(target, rounds[target], options.seed), rounds), strict=True)
        )
    for target, result in results.items():
        print(f"{target}: {result}")
    executions = sum(result["executions"] for result in results.values())
    failed = any(result["crashes"] for result in results.values())
    print(f"{executions} executions, {'FAILED' if failed else 'no failure'}")
    if options.json:
        result = {"machine": machine(), "commit": commit(), "seed": options.seed, "executions": executions}
        options.json.write_text(json.dumps({**result, "targets": results}, indent=1) + "\n")
    sys.exit(failed)


if __name__ == "__main__":
    main()
