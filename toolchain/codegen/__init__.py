"""From an operator to an object."""
