"""Benchmarks: what `doit bench` runs."""
