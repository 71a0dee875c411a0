"""Errors that end a run with a plain message."""


class BenchError(Exception):
    """What was wrong, where, and what to do."""


class UnknownOperatorError(BenchError):
    """An operator that has no row."""


class UnknownModelError(BenchError):
    """A model that has no row."""


class MissingError(BenchError):
    """Something that must be there before a run."""


class PeerError(BenchError):
    """Peers that cannot be installed."""


class BuildError(BenchError):
    """A part of the library that could not be built."""


class MismatchError(BenchError):
    """Results of ours that are wrong, or differ between engines."""


class TableError(BenchError):
    """A page without markers or rows, or results that are not of every row."""
