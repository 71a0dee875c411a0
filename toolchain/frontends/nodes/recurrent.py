"""Rules of LSTM, GRU and RNN."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from toolchain.frontends.nodes.rules import Call, rule
from toolchain.graph.graph import Value
from toolchain.graph.operators import operator
from toolchain.spec import SpecError

# What activations are without numbers of their own.
_ALPHA = {"leaky_relu": 0.01, "hard_sigmoid": 0.2, "elu": 1.0, "thresholded_relu": 1.0}
_ALPHA |= {"affine": 1.0, "scaled_tanh": 1.0}
_BETA = {"hard_sigmoid": 0.5, "scaled_tanh": 1.0}


@rule("LSTM", "GRU", "RNN")
def recurrent(c: Call) -> Sequence[Value]:
    """The library's."""
    name = c.name.lower()
    found = operator(name)
    given: dict[str, Any] = {}
    for a in found.attributes:
        value = c.get(a.name)
        if value is not None and not a.per_unit:
            given[a.name] = value
    if names := c.attributes.get("activations"):  # the standard's are the library's
        given |= _activations(c, [_snake(n) for n in names])
    inputs = [c.optional(i) for i in range(len(found.inputs))]
    outputs = len(found.outputs)
    return c.builder.calls(name, *inputs, dtypes=None, outputs=outputs, **given)


def _snake(name: str) -> str:
    return "_".join(re.findall(r"[A-Z][a-z]*", name)).lower() or name.lower()


def _activations(c: Call, names: Sequence[str]) -> dict[str, Any]:
    """Names, and the numbers that the standard hands out to those that take them."""
    alphas = list(c.get("activation_alpha") or [])
    betas = list(c.get("activation_beta") or [])
    known = operator(c.name.lower()).attributes[0].choices
    for name in names:
        if name not in known:
            raise SpecError(f"has activation {name}; use {', '.join(known)}")
    return {
        "activations": list(names),
        "activation_alpha": [_next(alphas, _ALPHA, n) for n in names],
        "activation_beta": [_next(betas, _BETA, n) for n in names],
    }


def _next(numbers: list[float], defaults: dict[str, float], name: str) -> float:
    if name not in defaults:
        return 0.0
    return numbers.pop(0) if numbers else defaults[name]
