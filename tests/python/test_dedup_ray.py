"""mithril.dedup.ray: on real actors and processes, the result of one machine to the bit."""

import itertools
import os
import pickle
import random
import signal
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from mithril import CorruptError, InvalidArgumentError
from mithril.dedup import DedupConfig, Deduplicator

pa = pytest.importorskip("pyarrow")
ray = pytest.importorskip("ray")
ray_data = pytest.importorskip("ray.data")

from mithril.dedup._ray import _index  # noqa: E402  (only where Ray is)
from mithril.dedup.ray import deduplicate  # noqa: E402

pytestmark = [
    pytest.mark.distributed,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of Ray Data, about options of its own
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # log files of Ray that are open to the end
]


def make_texts(count: int, seed: int) -> list[str]:
    """Random texts with exact and near copies, in chains too, and texts of no or few words."""
    source = random.Random(seed)
    words = [f"word{i}" for i in range(4000)]
    texts = [" ".join(source.choices(words, k=60)) for _ in range(20)]
    while len(texts) < count:
        kind = source.random()
        if kind < 0.5:
            text = " ".join(source.choices(words, k=source.randint(1, 90)))
        elif kind < 0.55:
            text = source.choice(["", " ... ", "one two", "a b c d e"])
        elif kind < 0.65:
            text = source.choice(texts)
        else:
            copy = source.choice(texts[-300:]).split() or ["lone"]
            for _ in range(source.randint(0, len(copy) // 40 + 1)):
                copy[source.randrange(len(copy))] = source.choice(words)
            text = " ".join(copy).upper() if source.random() < 0.2 else " ".join(copy)
        texts.append(text)
    return texts


TEXTS = make_texts(2500, 1)
NUMBERS = np.random.default_rng(0)
SCORES = NUMBERS.integers(-2, 3, len(TEXTS)).astype(np.float64)
SOURCES = NUMBERS.choice(["books", "web", "code"], len(TEXTS)).tolist()


def table(start: int, stop: int) -> Any:
    return pa.table(
        {
            "row": list(range(start, stop)),
            "text": pa.array(TEXTS[start:stop], pa.string()),
            "score": SCORES[start:stop],
            "source": pa.array(SOURCES[start:stop], pa.string()),
        }
    )


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    ray.init(
        num_cpus=3,
        include_dashboard=False,
        object_store_memory=100 << 20,
        log_to_driver=False,
        logging_level="ERROR",
    )
    ray_data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def dataset(cluster: None) -> Any:
    """Blocks of many sizes, one of them without rows."""
    cuts = [0, 1, 400, 401, 1200, 1200, 1900, len(TEXTS)]
    return ray_data.from_arrow([table(a, b) for a, b in itertools.pairwise(cuts)])


def rows_of(dataset: Any) -> Any:
    return pa.concat_tables(ray.get(dataset.to_arrow_refs()))


def assert_same(marked: Any, config: DedupConfig) -> None:
    """All that one machine finds, similarities to the bit, and the rows as they were."""
    want = Deduplicator(config).deduplicate(
        TEXTS,
        scores=SCORES if config.keep == "score" else None,
        sources=SOURCES if config.keep == "source" else None,
    )
    assert want.stats.duplicate_count > 500
    rows = rows_of(marked)
    assert rows["row"].to_pylist() == list(range(len(TEXTS)))
    assert rows["text"].to_pylist() == TEXTS
    keep = rows["keep"].to_numpy()
    assert np.flatnonzero(~keep).tolist() == want.remove_indices.tolist()
    removed = rows.filter(pa.array(~keep))
    assert removed["kept_id"].to_pylist() == want.removed_by.tolist()
    assert removed["cluster_id"].to_pylist() == want.removed_by.tolist()
    assert removed["similarity"].to_numpy().tobytes() == want.similarities.tobytes()
    kept = rows.filter(pa.array(keep))
    assert kept["cluster_id"].to_pylist() == kept["row"].to_pylist()
    assert kept["kept_id"].null_count == kept["similarity"].null_count == len(kept)


def watch_values(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all values that come from the cluster into this process from now on."""
    sizes: list[int] = []
    get = ray.get

    def watched(*args: Any, **kwargs: Any) -> Any:
        values = get(*args, **kwargs)
        sizes.append(len(pickle.dumps(values)))
        return values

    monkeypatch.setattr(ray, "get", watched)
    return sizes


@pytest.mark.parametrize(
    "config",
    [
        DedupConfig(keep="longest", empty="remove", verify=False),
        DedupConfig(keep="source", measure="containment"),
        DedupConfig(keep="score", clusters="components", threshold=0.7, ngram_size=3),
    ],
    ids=["estimated", "containment", "components"],
)
def test_equals_one_machine(dataset: Any, config: DedupConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    got = watch_values(monkeypatch)
    marked = deduplicate(
        dataset,
        config=config,
        score_column="score" if config.keep == "score" else None,
        source_column="source" if config.keep == "source" else None,
        num_index_actors=2,
        num_partitions=2,
    )
    monkeypatch.undo()
    assert sum(got) < 8 * len(TEXTS), "as much as the numbers of all documents came to the driver"
    assert_same(marked, config)


def pid_of(actor: Any) -> int:
    return int(ray.get(actor.__ray_call__.remote(lambda self: os.getpid())))


def test_killed_actors_are_survived(
    dataset: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the first round one index actor is killed, after the second both, and both shelves. They fill in four
    passes."""
    monkeypatch.setattr(_index, "_MEMBERS_A_PASS", 5000)
    killed: list[int] = []

    def kill(stage: str, done: int, total: int) -> None:
        if stage == "match" and len(killed) < 5:
            assert done < total
            names = sorted(ray.util.list_named_actors())
            assert [name.split("-")[-2] for name in names] == ["index", "index", "shelf", "shelf"]
            for name in names if killed else names[:1]:
                killed.append(pid_of(ray.get_actor(name)))
                os.kill(killed[-1], signal.SIGKILL)

    config = DedupConfig()
    assert_same(deduplicate(dataset, config=config, num_index_actors=2, num_partitions=2, progress=kill), config)
    assert len(set(killed)) == 5
    assert sum("was lost" in record.message for record in caplog.records) == 3


def test_rows_are_numbered_in_order_of_the_dataset(dataset: Any) -> None:
    """The first block is ready last."""

    def wait(block: Any) -> Any:
        time.sleep(1 if 0 in block["row"].to_pylist() else 0)
        return block

    config = DedupConfig(clusters="components")
    late = dataset.map_batches(wait, batch_format="pyarrow", batch_size=None)
    assert_same(deduplicate(late, config=config), config)
    assert not late.context.execution_options.preserve_order


def test_damaged_text_is_the_callers_error(cluster: None) -> None:
    damaged = pa.Array.from_buffers(
        pa.string(), 2, [None, pa.py_buffer(np.array([0, 4, 8], np.int32)), pa.py_buffer(b"fine\xff\xfe\xfd\xfc")]
    )
    with pytest.raises(CorruptError, match="row 1: text is not UTF-8"):
        deduplicate(ray_data.from_arrow(pa.table({"text": damaged})))


def test_what_cannot_be_is_refused(dataset: Any) -> None:
    small = dataset.limit(3)
    with pytest.raises(InvalidArgumentError, match="'body' is not there"):
        deduplicate(small, column="body")
    with pytest.raises(InvalidArgumentError, match="'keep' is there already"):
        deduplicate(small.rename_columns({"row": "keep"}))
    with pytest.raises(InvalidArgumentError, match="score_column is needed"):
        deduplicate(small, config=DedupConfig(keep="score"))
    with pytest.raises(InvalidArgumentError, match="num_partitions 0"):
        deduplicate(small, num_partitions=0)
    with pytest.raises(InvalidArgumentError, match="not string"):
        deduplicate(small, column="row")
