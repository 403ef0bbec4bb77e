from benchmarks.dedup.mithril_arrow import PACKAGE, TAKES, WORDS, prepare

__all__ = ["PACKAGE", "TAKES", "WORDS", "prepare"]
NAME = "mithril, ssse3"
ENVIRONMENT = {"MITHRIL_FORCE_ISA": "ssse3"}
