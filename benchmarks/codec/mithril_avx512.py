from benchmarks.codec.mithril_default import INTO, PACKAGE, ROOM, prepare

__all__ = ["INTO", "PACKAGE", "ROOM", "prepare"]
NAME = "mithril, avx512"
ENVIRONMENT = {"MITHRIL_FORCE_ISA": "avx512"}
