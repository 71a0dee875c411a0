"""MindSpore's primitives: a rule for each writes nodes of a graph."""
