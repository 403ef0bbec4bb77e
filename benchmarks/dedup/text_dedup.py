"""`python -m text_dedup.minhash` on JSON Lines, one process."""

import tempfile
from functools import partial
from typing import Any

import numpy as np

from benchmarks.dedup.contender import BANDS, NGRAM, PERMUTATIONS, ROWS, THRESHOLD, Clock, Found

NAME, PACKAGE, TAKES, REQUIREMENTS = "text-dedup", "text-dedup", "jsonl", "requirements-text-dedup.txt"
LARGE = False


def prepare():
    from datasets import disable_progress_bar, load_from_disk
    from text_dedup.minhash import main

    disable_progress_bar()
    return partial(run, main, load_from_disk)


def run(main: Any, load_from_disk: Any, path: str, clock: Clock) -> Found:
    with tempfile.TemporaryDirectory() as folder:
        source = f"--path json --data_files {path} --split train --column text --cache_dir {folder}/cache"
        choice = f"--ngram {NGRAM} --min_length 0 --num_perm {PERMUTATIONS} --b {BANDS} --r {ROWS}"
        rest = f"--threshold {THRESHOLD} --hash_func xxh3 --num_proc 1 --output {folder}/out"
        main(f"{source} {choice} {rest}".split(), standalone_mode=False)
        clock.lap("deduplicate")
        with open(path) as lines:
            kept = np.zeros(sum(1 for _ in lines), bool)
        kept[[int(name.removeprefix("doc-")) for name in load_from_disk(f"{folder}/out")["id"]]] = True
        clock.lap("set-up")
    return Found(kept)
