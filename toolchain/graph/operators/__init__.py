"""Operators that models alone call."""
