"""Random tries of what must hold for any input: `doit fuzz`.

Each kind is a module with `run(seeds, build)`: it tries one case for each seed and
gives, for those that failed, the seed and what was wrong. A seed gives the same case
each time, so that `--seed N --count 1` repeats it.
"""
