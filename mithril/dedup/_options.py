"""DedupConfig → the options of the native core."""

from functools import lru_cache

from mithril._native import core
from mithril.dedup._config import DedupConfig

__all__ = ["options_of"]


@lru_cache(maxsize=64)
def options_of(config: DedupConfig) -> core.DedupOptions:
    return core.DedupOptions(
        threshold=config.threshold,
        permutations=config.num_permutations,
        ngram_size=config.ngram_size,
        bands=config.num_bands or 0,
        rows=config.num_rows or 0,
        measure=config.measure,
        verify=config.verify,
        clusters=config.clusters,
        form=config.normalization,
        fold_case=config.fold_case,
        ignore_punctuation=config.ignore_punctuation,
        empty=config.empty,
        seed=config.seed,
        threads=config.num_threads or 0,
    )
