"""Near-duplicate removal for training text: sketches propose, the exact similarity of the texts decides.

Needs NumPy; Parquet and Arrow need pyarrow. docs/dedup.md describes it.
"""

from mithril.dedup._config import DedupConfig
from mithril.dedup._deduplicator import Deduplicator
from mithril.dedup._result import DedupResult, DedupStats, RemovedPair

__all__ = ["DedupConfig", "DedupResult", "DedupStats", "Deduplicator", "RemovedPair"]
