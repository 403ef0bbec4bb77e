"""The method of mithril.dedup.ray without Ray: rounds of buckets and partitions against one document after another."""

import itertools
import random
from typing import Any

import numpy as np
import pytest

from mithril.dedup._ray._buckets import MAX_PER_KEY, Buckets
from mithril.dedup._ray._components import Components
from mithril.dedup._ray._messages import EMPTY, GONE, TWIN, Announcement, Array, Report, decided, sort_places
from mithril.dedup._ray._partition import Partition


def one_after_another(keys: Array, places: Array, near: Any) -> tuple[dict[int, tuple[int, float]], int]:
    """What removes each removed document, and how often a bucket was full."""
    removed: dict[int, tuple[int, float]] = {}
    buckets: dict[tuple[int, int], list[int]] = {}
    order, full = sort_places(places), 0
    place_of = {int(document): place for place, document in enumerate(order)}
    for document in order.tolist():
        mine = [(band, int(key)) for band, key in enumerate(keys[document])]
        candidates = {other for key in mine for other in buckets.get(key, [])}
        for other in sorted(candidates, key=place_of.__getitem__):
            if similarity := float(near(np.array([document]), np.array([other]))[0]):
                removed[document] = (other, similarity)
                break
        else:
            for key in mine:
                bucket = buckets.setdefault(key, [])
                full += len(bucket) == MAX_PER_KEY
                bucket.extend([document] if len(bucket) < MAX_PER_KEY else [])
    return removed, full


def in_rounds(
    keys: Array, places: Array, near: Any, actors: int, cuts: Array, limit: int, lose: random.Random
) -> tuple[dict[int, tuple[int, float]], int]:
    """The same by buckets and partitions, of which buckets are lost and rounds are asked for again at random."""
    numbered = keys.astype(np.uint64) | np.arange(keys.shape[1], dtype=np.uint64) << np.uint64(32)
    none = np.empty(0, np.int64)
    parts = [
        Partition.begin(int(a), np.zeros(b - a, np.uint8), none, none, places.shape[1])
        for a, b in itertools.pairwise(cuts)
    ]

    def fill(actor: int) -> Buckets:
        status = np.concatenate([part.status for part in parts])
        mine = (numbered % np.uint64(actors) == actor) & ~np.isin(status, (GONE, TWIN, EMPTY))[:, None]
        who, band = np.nonzero(mine)
        return Buckets(numbered[who, band], places[who], status[who], star=True)

    def cut(of: Any, a: int, b: int) -> Report:
        own, waiting = (of.rows >= a) & (of.rows < b), (of.waiting >= a) & (of.waiting < b)
        return Report(of.rows[own], of.places[own], of.kept[own], of.waiting[waiting])

    index = [fill(actor) for actor in range(actors)]
    rows = np.concatenate([buckets.rows for buckets in index])
    parts = [
        part.contest(rows[(rows >= a) & (rows < b)]) for part, a, b in zip(parts, cuts[:-1], cuts[1:], strict=True)
    ]
    heard = decided(())
    losses = 5
    while any(part.counts().undecided for part in parts):
        if losses and lose.random() < 0.3:
            losses, lost = losses - 1, lose.randrange(actors)
            index[lost] = fill(lost)
        for buckets in index:
            buckets.apply(heard)
        proposals = [buckets.propose(limit) for buckets in index]
        if lose.random() < 0.3:
            proposals = [buckets.propose_again(limit) for buckets in index]
        told: list[Announcement] = []
        for p, part in enumerate(parts):
            reports = [cut(proposal, cuts[p], cuts[p + 1]) for proposal in proposals]
            parts[p], announcement, _ = part.settle(reports, heard, near)
            told.append(announcement)
        heard = decided(told)
    for buckets in index:
        buckets.apply(heard)
        assert not len(buckets)
    removed = {
        int(document) + part.first_row: (int(by), float(similarity))
        for part in parts
        for document, by, similarity in zip(part.removed, part.removed_by, part.similarities, strict=True)
    }
    return removed, sum(buckets.full for buckets in index)


@pytest.mark.parametrize("shape", ["chains", "crowds", "strangers"])
@pytest.mark.parametrize("columns", [1, 3])
def test_rounds_equal_one_after_another(shape: str, columns: int) -> None:
    """Points, near when they are close: in a chain, in heaps, or nearly none, so that buckets fill up."""
    for seed in range(4):
        source = np.random.default_rng([seed, columns])
        count, bands = int(source.integers(1, 500)), int(source.integers(1, 4))
        keys = source.integers(0, source.choice([2, 20, 200]), (count, bands))
        spread = {"chains": None, "crowds": 3, "strangers": 60}[shape]
        points = source.random((count, 2)) * spread if spread else np.arange(2 * count).reshape(-1, 2)[::-1] * 0.2

        def near(a: Array, b: Array, points: Array = points) -> Array:
            distance = np.abs(points[a.astype(int)] - points[b.astype(int)]).sum(axis=1)
            return np.where(distance <= 1, 1 - distance / 10, 0).astype(np.float32)

        rows = np.arange(count, dtype=np.uint64)
        scores, hashes = source.integers(0, 4, count), source.permutation(count)
        places = rows[:, None] if columns == 1 else np.stack([scores, hashes, rows], axis=1).astype(np.uint64)
        cuts = np.linspace(0, count, int(source.integers(2, 5))).astype(np.int64)
        limit = int(source.choice([1000, 1 << 24]))
        got = in_rounds(keys, places, near, int(source.integers(1, 4)), cuts, limit, random.Random(seed))
        assert got == one_after_another(keys, places, near), f"seed {seed}"


def test_full_buckets_are_counted() -> None:
    """200 strangers under one key: 72 are not entered; 10 copies of the last are not found through it."""
    places = np.arange(210, dtype=np.uint64)[:, None]
    keys = np.zeros((210, 1), np.int64)

    def near(a: Array, b: Array) -> Array:
        return (np.minimum(a, 199) == np.minimum(b, 199)).astype(np.float32)

    assert in_rounds(keys, places, near, 1, np.array([0, 210]), 1 << 24, random.Random(0)) == ({}, 82)
    assert one_after_another(keys, places, near) == ({}, 82)


def test_components_whatever_the_order_of_edges() -> None:
    source = np.random.default_rng(3)
    count = 400
    places = np.stack([source.permutation(count), np.arange(count)], axis=1).astype(np.uint64)
    a, b = source.integers(0, count, (2, 300))
    later = np.where(places[a, 0] > places[b, 0], a, b)
    earlier = np.where(places[a, 0] > places[b, 0], b, a)
    apart = later != earlier
    later, earlier = later[apart].astype(np.uint64), places[earlier[apart]]
    label = np.arange(count)
    for _ in range(count):  # the plain way: both ends take the more preferred label
        for one, other in zip(later.astype(int), earlier[:, 1].astype(int), strict=True):
            best = min(label[one], label[other], key=lambda row: places[row, 0])
            label[one] = label[other] = best
    expected = {row: int(label[row]) for row in range(count) if label[row] != row}
    for pieces in (1, 7):
        components = Components()
        for piece in np.array_split(source.permutation(len(later)), pieces):
            components.add(later[piece], earlier[piece])
        halves = [components.removed(0, 150), components.removed(150, count)]
        found = {int(row): int(root) for rows, roots in halves for row, root in zip(rows, roots, strict=True)}
        assert found == expected
