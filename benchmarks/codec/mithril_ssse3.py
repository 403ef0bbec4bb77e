from benchmarks.codec.mithril_default import INTO, PACKAGE, prepare

__all__ = ["INTO", "PACKAGE", "prepare"]
NAME = "mithril, ssse3"
ENVIRONMENT = {"MITHRIL_FORCE_ISA": "ssse3"}
