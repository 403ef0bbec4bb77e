"""Near-duplicate removal on a Ray cluster: the result of `Deduplicator`, from datasets that no machine holds.

    from mithril.dedup import DedupConfig
    from mithril.dedup.ray import deduplicate

    marked = deduplicate(ray.data.read_parquet("s3://…"), column="text", config=DedupConfig(threshold=0.85))
    marked.filter(expr="keep").write_parquet("s3://…")

Needs `ray[data]` and `pyarrow`. How it works, and what it takes for how many documents: docs/dedup-ray.md.
"""

from collections.abc import Callable
from dataclasses import replace

from mithril._errors import InvalidArgumentError, MithrilError, UnsupportedError
from mithril.dedup._config import DedupConfig

try:
    import ray
    import ray.data
    from ray.exceptions import RayError
except ImportError as error:
    raise UnsupportedError(f"mithril.dedup.ray needs Ray Data: pip install 'ray[data]' ({error})") from error

from mithril.dedup._ray._blocks import ADDED_COLUMNS, blocks_of, column_names, partitions_of
from mithril.dedup._ray._job import Job
from mithril.dedup._ray._sketches import Columns, sources_of

__all__ = ["deduplicate"]

_ROWS_AN_ACTOR = 5_000_000
_ROWS_A_PARTITION = 1_000_000


def deduplicate(
    dataset: "ray.data.Dataset",
    *,
    column: str = "text",
    config: DedupConfig | None = None,
    score_column: str | None = None,
    source_column: str | None = None,
    num_index_actors: int | None = None,
    num_partitions: int | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> "ray.data.Dataset":
    """Mark the near duplicates of a dataset.

    The dataset is executed; its blocks stay in the object store until the result is no longer needed. No document
    passes through this process. The result is that of `Deduplicator` on the same texts in the same order, to the bit,
    whatever the blocks, actors and partitions. An index actor that is lost is made again; texts and sketches that are
    lost are made again by Ray.

    Args:
        dataset: Documents, one a row. Their order is that of the dataset.
        column: The column of texts: Arrow strings.
        config: What counts as a near duplicate, and what stays. `num_threads` is of no account: Ray runs a task a core.
        score_column: With `keep="score"`, numbers.
        source_column: With `keep="source"`, the name of each document's source. The name that comes first is preferred;
        the names
            of all sources pass through this process.
        num_index_actors: Actors that the band keys are spread over; by default one for 5 million documents, at most
            one a core.
        num_partitions: Runs of documents that are decided together, by one task a round; by default one for a million
            documents, at most one a core.
        progress: Called now and then with a stage ("sketch", "match"), the number of documents done and of all.

    Returns:
        The dataset, materialized, in order, with four columns more: `keep` (bool); `cluster_id` (int64), the row of the
        kept document of its cluster, its own when it is kept; `kept_id` (int64) and `similarity` (float32), the row of
        the document that explains the removal and their exact similarity, null where the document is kept. A removed
        text without words names itself.

    Raises:
        InvalidArgumentError: A column is missing or of the wrong type, or there already.
        CorruptError: A text is not UTF-8.
    """
    config = config or DedupConfig()
    columns = Columns(column, score_column, source_column)
    _check_policy(columns, config)
    _check_counts(num_index_actors=num_index_actors, num_partitions=num_partitions)
    try:
        texts = blocks_of(dataset)
        if not texts.refs:
            return dataset
        _check_columns(column_names(texts), columns)
        if columns.source is not None:
            columns = replace(columns, sources=sources_of(texts.refs, columns.source))
        cores, rows = _cores(), int(texts.starts[-1])
        partitions = partitions_of(texts.starts, num_partitions or min(cores, 1 + rows // _ROWS_A_PARTITION))
        job = Job(texts, partitions, columns, config, progress or _be_silent)
        return ray.data.from_arrow_refs(job.run(num_index_actors or min(cores, 1 + rows // _ROWS_AN_ACTOR)))
    except RayError as error:
        cause = _own_cause(error)
        if cause is None:
            raise
        raise cause from error


def _check_policy(columns: Columns, config: DedupConfig) -> None:
    for needed, given, name in (
        (config.keep == "score", columns.score, "score_column"),
        (config.keep == "source", columns.source, "source_column"),
    ):
        if needed != (given is not None):
            raise InvalidArgumentError(f"{name} is {'needed' if needed else 'of no use'} with keep={config.keep!r}")


def _check_columns(there: list[str], columns: Columns) -> None:
    for name in (columns.text, columns.score, columns.source):
        if name is not None and name not in there:
            raise InvalidArgumentError(f"column {name!r} is not there; there are {', '.join(there)}")
    for name in ADDED_COLUMNS:
        if name in there:
            raise InvalidArgumentError(f"column {name!r} is there already; rename it")


def _check_counts(**counts: int | None) -> None:
    for name, count in counts.items():
        if count is not None and count < 1:
            raise InvalidArgumentError(f"{name} {count} is less than 1")


def _cores() -> int:
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return max(1, int(resources.get("CPU", 1)))


def _be_silent(stage: str, done: int, total: int) -> None:
    """No progress is wanted."""


def _own_cause(error: BaseException | None) -> MithrilError | None:
    """The error of mithril's that one of Ray's was made from, in a task or actor."""
    while error is not None:
        cause = getattr(error, "cause", None)
        for one in (error, cause):
            if isinstance(one, MithrilError) and not isinstance(one, RayError):
                return one
        error = cause if isinstance(cause, BaseException) else error.__cause__
    return None
