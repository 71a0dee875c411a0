"""Scattered updates: how one joins what is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from toolchain.spec import Attribute

JOINS: dict[str, Callable[[Any, Any], Any]] = {
    "none": lambda a, b: b,
    "add": np.add,
    "mul": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
}
REDUCTION = Attribute("reduction", default=0, choices=tuple(JOINS))
