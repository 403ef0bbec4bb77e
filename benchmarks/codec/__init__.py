"""The codec against its peers, in memory on one core. A contender is a module here with these names:

- `NAME`, and `PACKAGE`, the distribution whose version is noted.
- `prepare(dtype)` returns `compress(source) -> blob` and `decompress(blob, out)`, which gives back bytes-like data; a
  contender for which `INTO` is true fills `out` when it is not None, others are never given one.
- `source(view)`, optional, makes of the data what `compress` takes, outside of the time.
- `size(blob)`, optional where a blob is bytes-like: its size in bytes.
- `ROOM(size, dtype)`, optional, says how many bytes the `out` needs that `compress(source, out)` may be given.
- `ENVIRONMENT`, optional: variables of the process that the contender runs in.
- `SAMPLED`, optional: true for one that is so slow (below 50 MB/s) that it gets only a sample of each data set.

One whose package is not installed raises ImportError when imported, and is skipped; so is one whose environment this
build or CPU refuses.
"""
