"""Graph: a model as nodes, each an operator of the library, over values of any size."""
