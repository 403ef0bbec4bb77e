from benchmarks.dedup.mithril_arrow import PACKAGE, TAKES, WORDS, prepare

__all__ = ["PACKAGE", "TAKES", "WORDS", "prepare"]
NAME = "mithril, scalar"
ENVIRONMENT = {"MITHRIL_FORCE_ISA": "scalar"}
