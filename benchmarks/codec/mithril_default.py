from functools import partial

from benchmarks.codec import archive
from mithril import CompressionConfig

NAME, PACKAGE, INTO = "mithril", "mithril", True
ROOM = archive.room
prepare = partial(archive.prepare, CompressionConfig())
