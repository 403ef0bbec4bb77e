"""Near-duplicate removal on Ray. docs/dedup-ray.md says how; `_buckets` and `_partition` are the method and know no
Ray."""
