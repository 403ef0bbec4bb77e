"""Its four stages over JSON Lines: signatures, buckets, clusters, filter; one worker. Nothing is verified."""

import json
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.dedup.contender import BANDS, NGRAM, ROWS, Clock, Found

NAME, PACKAGE, TAKES, REQUIREMENTS = "datatrove", "datatrove", "jsonl", "requirements-datatrove.txt"
LARGE, MEGABYTES = False, 5


def prepare():
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.utils.logging import logger

    logger.remove()
    return partial(run, partial(LocalPipelineExecutor, workers=1))


def stages(source: Path, folder: str) -> dict[str, tuple[list[Any], int]]:
    """The pipeline of each stage and its number of tasks."""
    from datatrove.pipeline import dedup
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers.jsonl import JsonlWriter
    from datatrove.utils.hashing import HashConfig

    config = dedup.minhash.MinhashConfig(
        n_grams=NGRAM, num_buckets=BANDS, hashes_per_bucket=ROWS, hash_config=HashConfig(precision=64)
    )
    reader = partial(JsonlReader, str(source.parent), glob_pattern=source.name, doc_progress=False)
    signatures, buckets, removed = (f"{folder}/{name}" for name in ("signatures", "buckets", "removed"))
    kept = JsonlWriter(f"{folder}/kept", compression=None)
    return {
        "sketch": ([reader(), dedup.MinhashDedupSignature(signatures, config=config, language="eng")], 1),
        "index": ([dedup.MinhashDedupBuckets(signatures, buckets, config=config)], BANDS),
        "cluster": ([dedup.MinhashDedupCluster(buckets, removed, config=config)], 1),
        "filter": ([reader(), dedup.MinhashDedupFilter(removed), kept], 1),
    }


def run(executor: Any, path: str, clock: Clock) -> Found:
    with tempfile.TemporaryDirectory() as folder:
        for stage, (pipeline, tasks) in stages(Path(path), folder).items():
            executor(pipeline=pipeline, tasks=tasks, logging_dir=f"{folder}/log-{stage}").run()
            clock.lap(stage)
        with open(path) as lines:
            kept = np.zeros(sum(1 for _ in lines), bool)
        for part in Path(folder, "kept").iterdir():
            with part.open() as lines:
                kept[[int(json.loads(line)["id"].removeprefix("doc-")) for line in lines]] = True
        clock.lap("set-up")
    return Found(kept)
