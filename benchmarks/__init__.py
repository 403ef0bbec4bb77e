"""Benchmarks: `python -m benchmarks SCENARIO`. A scenario is a package here, a contender one small module in it."""
