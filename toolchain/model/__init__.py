"""Models: a graph of operators becomes one operator of a module."""
