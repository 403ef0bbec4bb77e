import numpy as np
import zstandard

from benchmarks.codec.dtypes import WIDTHS

NAME, PACKAGE, INTO = "byte planes + zstd 3", "zstandard", True


def prepare(dtype):
    width = WIDTHS[dtype]
    compressor, decompressor = zstandard.ZstdCompressor(level=3), zstandard.ZstdDecompressor()

    def compress(data):
        elements = np.frombuffer(data, np.uint8).reshape(-1, width)
        return [compressor.compress(np.ascontiguousarray(elements[:, i])) for i in range(width)]

    def decompress(blobs, out):
        planes = [np.frombuffer(decompressor.decompress(blob), np.uint8) for blob in blobs]
        out = np.empty(width * len(planes[0]), np.uint8) if out is None else out
        for i, plane in enumerate(planes):
            out.reshape(-1, width)[:, i] = plane
        return out

    return compress, decompress


def size(blobs):
    return sum(map(len, blobs))
