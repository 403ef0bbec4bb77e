"""Triton, vLLM and SGLang: their kernels and trees of compiled code, in and out of the store."""
