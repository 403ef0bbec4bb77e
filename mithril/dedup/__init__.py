"""Near-duplicate removal for training text: sketches propose, the exact similarity of the texts decides.

Needs NumPy; Parquet and Arrow need pyarrow. docs/dedup.md describes it.
"""

from typing import TYPE_CHECKING

from mithril._lazy import lazy

if TYPE_CHECKING:
    from mithril.dedup._bloom import BloomIndex
    from mithril.dedup._config import DedupConfig
    from mithril.dedup._deduplicator import Deduplicator
    from mithril.dedup._files import deduplicate_files
    from mithril.dedup._files_result import FilesResult, LargeCluster, RemovedExample
    from mithril.dedup._index import Index, IndexMatches, IndexResult
    from mithril.dedup._result import DedupResult, DedupStats, RemovedPair
    from mithril.dedup._sketcher import Sketcher, Sketches

__all__ = [
    "BloomIndex",
    "DedupConfig",
    "DedupResult",
    "DedupStats",
    "Deduplicator",
    "FilesResult",
    "Index",
    "IndexMatches",
    "IndexResult",
    "LargeCluster",
    "RemovedExample",
    "RemovedPair",
    "Sketcher",
    "Sketches",
    "deduplicate_files",
]

_HOMES = {
    "_bloom": ("BloomIndex",),
    "_config": ("DedupConfig",),
    "_deduplicator": ("Deduplicator",),
    "_files": ("deduplicate_files",),
    "_files_result": ("FilesResult", "LargeCluster", "RemovedExample"),
    "_index": ("Index", "IndexMatches", "IndexResult"),
    "_result": ("DedupResult", "DedupStats", "RemovedPair"),
    "_sketcher": ("Sketcher", "Sketches"),
}

__getattr__, __dir__ = lazy(
    __name__, {name: f"{__name__}.{module}" for module, names in _HOMES.items() for name in names}
)
