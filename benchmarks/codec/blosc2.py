import blosc2

from benchmarks.codec.dtypes import WIDTHS

NAME, PACKAGE, INTO = "blosc2 shuffle + zstd", "blosc2", True


def prepare(dtype):
    options = {"codec": blosc2.Codec.ZSTD, "clevel": 3, "filters": [blosc2.Filter.SHUFFLE], "nthreads": 1}

    def compress(data):
        return blosc2.compress2(data, typesize=WIDTHS[dtype], **options)

    def decompress(blob, out):
        whole = blosc2.decompress2(blob, dst=out, nthreads=1)
        return whole if out is None else out

    return compress, decompress
