"""What an output was made from, and how it is replaced."""
