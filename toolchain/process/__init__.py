"""Running programs, and the command line."""
