"""Benchmarks of whole models: what `doit bench models` runs."""
