"""An independent reader and writer of the archive format in plain Python; see docs/format.md."""
