"""The job, stage by stage. The process that runs it holds references and counts, a few for each block, actor and
partition.

sketch → twins → fill the index → rounds → components (if asked for) → verdicts. Sketches and the states of
partitions are values in the object store; a round in which an index actor was lost is played again from them.
"""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar
from uuid import uuid4

import ray
import ray.data
from ray.exceptions import RayError, UserCodeException

from mithril._errors import MithrilError
from mithril.dedup._config import DedupConfig
from mithril.dedup._ray._blocks import Blocks, Partitions, annotate, blocks_of
from mithril.dedup._ray._buckets import MAX_PER_KEY
from mithril.dedup._ray._index import Index, references
from mithril.dedup._ray._partition import Counts
from mithril.dedup._ray._rounds import ComponentsActor, absorb, contest, edges, link, settle, undecided
from mithril.dedup._ray._shelf import Comparer, Contents, Shelf
from mithril.dedup._ray._sketches import Columns, blame, sketch
from mithril.dedup._ray._twins import begin, find_twins, split_hashes
from mithril.dedup._ray._verdicts import answer_twins, ask_for_twins, conclude

__all__ = ["Job", "Progress"]

Progress = Callable[[str, int, int], None]

_log = logging.getLogger("mithril.dedup")
_MOST_LOSSES = 8
"""So often one step is tried again because actors were lost."""

_T = TypeVar("_T")


class Job:
    """One run of `mithril.dedup.ray.deduplicate`."""

    def __init__(
        self, texts: Blocks, partitions: Partitions, columns: Columns, config: DedupConfig, progress: Progress
    ) -> None:
        self._texts = texts
        self._partitions = partitions
        self._columns = columns
        self._config = config
        self._progress = progress
        self._name = f"mithril-dedup-{uuid4().hex[:12]}"  # of the actors, for whoever looks at the cluster
        self._sketches: list[Any] = []
        self._shelves: list[Any] = []
        self._comparer: Any = None

    def run(self, num_index_actors: int) -> list[Any]:
        """References to the blocks with the verdicts added, in order."""
        index = None
        try:
            self._sketch()
            states = self._find_twins()
            index = Index(f"{self._name}-index", num_index_actors, self._sketches, self._partitions, self._config)
            states = self._retry(index, states, partial(self._fill, index, states))
            states = self._play(index, states)
            if self._config.clusters == "components":
                states = self._connect(states)
            return self._conclude(states)
        finally:
            if index is not None:
                index.close()
            for shelf in self._shelves:
                ray.kill(shelf)

    def _sketch(self) -> None:
        """Make the sketches, and the actors that texts and sketches are asked for."""
        make = partial(sketch, columns=self._columns, config=self._config)
        texts = ray.data.from_arrow_refs(self._texts.refs)
        mapped = texts.map_batches(make, batch_format="pyarrow", batch_size=None, zero_copy_batch=True)
        try:
            sketches = blocks_of(mapped)
        except UserCodeException:
            firsts = self._texts.starts[:-1].tolist()
            for block, first in zip(self._texts.refs, firsts, strict=True):
                ray.get(blame.remote(block, first, self._columns, self._config))
            raise
        if sketches.starts.tolist() != self._texts.starts.tolist():
            raise MithrilError("Ray Data did not give one block of sketches for each block of texts")
        self._sketches = sketches.refs
        contents = []
        for number, run in enumerate(self._partitions.runs, 1):
            blocks = slice(run.start, run.stop)
            texts_of_run = Blocks(self._texts.refs[blocks], self._texts.starts[run.start : run.stop + 1])
            contents.append(ray.put(Contents(texts_of_run, self._sketches[blocks], self._columns.text)))
            self._shelves.append(Shelf.options(name=f"{self._name}-shelf-{number}").remote())
        self._comparer = ray.put(Comparer(self._shelves, contents, self._partitions.bounds, self._config))
        self._progress("sketch", self._partitions.rows, self._partitions.rows)

    def _find_twins(self) -> list[Any]:
        """The states of the partitions before all rounds."""
        count = len(self._partitions)
        sketches = [self._sketches[run.start : run.stop] for run in self._partitions.runs]
        firsts = self._partitions.bounds[:-1].tolist()
        hashes = [
            references(split_hashes, count)(count, first, self._config, *own)
            for first, own in zip(firsts, sketches, strict=True)
        ]
        find = references(find_twins, count)
        twins = [find(self._partitions.bounds, *part) for part in _transpose(hashes)]
        return [
            begin.remote(first, self._config, count, *found, *own)
            for first, found, own in zip(firsts, _transpose(twins), sketches, strict=True)
        ]

    def _fill(self, index: Index, states: list[Any]) -> list[Any]:
        """Fill the index; documents that share no key with others are kept."""
        contested = _transpose(index.fill(states))
        after = [contest.remote(state, *rows) for state, rows in zip(states, contested, strict=True)]
        ray.get([undecided.remote(state) for state in after])
        return after

    def _play(self, index: Index, states: list[Any]) -> list[Any]:
        """Rounds, until nothing is left to decide."""
        heard: list[Any] = []
        number, left, total = 0, 1, Counts(0)
        while left:
            states, heard, counts = self._retry(index, states, partial(self._round, index, states, number, heard))
            number, left = number + 1, sum(count.undecided for count in counts)
            total = sum(counts, total)
            self._progress("match", max(self._partitions.rows - left, 0), self._partitions.rows)
        _log.info(
            "%d rounds: %d pairs proposed, %d compared, %d near duplicates",
            *(number, total.proposed, total.compared, total.near),
        )
        full = index.full()
        if full:
            _log.warning("%d times a document was left out of a band, whose key had %d already", full, MAX_PER_KEY)
        return states

    def _round(
        self, index: Index, states: list[Any], number: int, heard: list[Any]
    ) -> tuple[list[Any], list[Any], list[Counts]]:
        """States, announcements and counts after one more round. If it fails, nothing has changed."""
        task = settle if self._config.clusters == "star" else link
        reports = _transpose(index.propose(number, heard))
        after = [
            task.remote(state, self._comparer, len(heard), *heard, *own)
            for state, own in zip(states, reports, strict=True)
        ]
        counts = ray.get([counts for _, _, counts in after])
        return [state for state, _, _ in after], [announced for _, announced, _ in after], counts

    def _retry(self, index: Index, states: list[Any], step: Callable[[], _T]) -> _T:
        """What the step returns; it is tried again after index actors were lost."""
        for _ in range(_MOST_LOSSES):
            try:
                return step()
            except RayError:
                if not index.mend(states):
                    raise
        return step()

    def _connect(self, states: list[Any]) -> list[Any]:
        """Of each connected component keep the most preferred document."""
        components = ComponentsActor.remote()
        try:
            for state in states:  # one after another, as edges are many
                ray.get(components.add.remote(edges.remote(state)))
            bounds = self._partitions.bounds.tolist()
            after = [
                absorb.remote(state, self._comparer, components.removed.remote(first, last))
                for state, first, last in zip(states, bounds[:-1], bounds[1:], strict=True)
            ]
            ray.wait(after, num_returns=len(after), fetch_local=False)
            return after
        finally:
            ray.kill(components)

    def _conclude(self, states: list[Any]) -> list[Any]:
        count, starts = len(self._partitions), self._partitions.starts
        asked = [references(ask_for_twins, count)(state, self._partitions.bounds) for state in states]
        answer = references(answer_twins, count)
        answers = [answer(state, *rows) for state, rows in zip(states, _transpose(asked), strict=True)]
        verdicts = [
            verdict
            for run, state, own in zip(self._partitions.runs, states, _transpose(answers), strict=True)
            for verdict in references(conclude, len(run))(state, starts[run.start : run.stop + 1], self._config, *own)
        ]
        blocks = [annotate.remote(block, verdict) for block, verdict in zip(self._texts.refs, verdicts, strict=True)]
        ray.wait(blocks, num_returns=len(blocks), fetch_local=False)
        return blocks


def _transpose(references: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """By partition, what is by actor or by partition asked; and the other way round."""
    return [list(row) for row in zip(*references, strict=True)]
