from functools import partial

from benchmarks.codec import zstd1

NAME, PACKAGE, INTO = "zstd 3", zstd1.PACKAGE, zstd1.INTO
prepare = partial(zstd1.prepare, level=3)
