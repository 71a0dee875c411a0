"""Report."""

from typing import Any


def report(results: dict[str, Any]) -> str:
    """Page."""
    return ""
