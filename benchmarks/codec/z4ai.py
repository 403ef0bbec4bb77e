import z4ai

NAME, PACKAGE, INTO = "z4ai", "z4ai", False
SAMPLED = True
source = bytes
NAMES = {"bfloat16": "bf16", "float8_e4m3fn": "fp8_e4m3", "bool": "uint8"}  # others are called as in torch


def prepare(dtype):
    def compress(data):
        return z4ai.compress(data, dtype=NAMES.get(dtype, dtype), threads=1)

    return compress, lambda blob, out: z4ai.decompress(blob)
