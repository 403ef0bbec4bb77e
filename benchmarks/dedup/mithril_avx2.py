from benchmarks.dedup.mithril_arrow import PACKAGE, TAKES, WORDS, prepare

__all__ = ["PACKAGE", "TAKES", "WORDS", "prepare"]
NAME = "mithril, avx2"
ENVIRONMENT = {"MITHRIL_FORCE_ISA": "avx2"}
