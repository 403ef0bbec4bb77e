from benchmarks.codec.mithril_default import INTO, PACKAGE, prepare

__all__ = ["INTO", "PACKAGE", "prepare"]
NAME = "mithril, avx2"
ENVIRONMENT = {"MITHRIL_FORCE_ISA": "avx2"}
