from benchmarks.dedup.mithril_arrow import PACKAGE, WORDS, prepare

__all__ = ["PACKAGE", "WORDS", "prepare"]
NAME, TAKES = "mithril, list of str", "list"
