"""Recurrent operators: what lstm, gru and rnn share: attributes, references, cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from toolchain.spec import Attribute, Bound, Case, Input, Operator, Output
from toolchain.spec.cases import Array, Rng, values

# The functions by their numbers, from numbers alpha and beta.
ACTIVATIONS: dict[str, Callable[[Array, float, float], Array]] = {
    "sigmoid": lambda x, a, b: 1 / (1 + np.exp(-x)),
    "tanh": lambda x, a, b: np.tanh(x),
    "relu": lambda x, a, b: np.where(x < 0, 0, x),
    "leaky_relu": lambda x, a, b: np.where(x < 0, a * x, x),
    "thresholded_relu": lambda x, a, b: np.where(x > a, x, 0),
    "hard_sigmoid": lambda x, a, b: np.clip(a * x + b, 0, 1),
    "scaled_tanh": lambda x, a, b: a * np.tanh(b * x),
    "elu": lambda x, a, b: np.where(x < 0, a * np.expm1(x), x),
    "softsign": lambda x, a, b: x / (1 + np.abs(x)),
    "softplus": lambda x, a, b: np.logaddexp(0, x),
    "affine": lambda x, a, b: a * x + b,
}
DIRECTIONS = ("forward", "reverse", "bidirectional")
FLAG: dict[str, Any] = {"default": 0, "minimum": 0, "maximum": 1}
# Cell: the products of x of a row of one step, the states, and what the direction has;
# the new states, of which the first is the output.
Cell = Callable[["Direction", Array, list[Array]], list[Array]]


def attributes(functions: int) -> tuple[Attribute, ...]:
    """Attributes of all three; lists have an entry for each function and direction."""
    return (
        Attribute(
            "activations", default=0, per_unit=functions, choices=tuple(ACTIVATIONS)
        ),
        Attribute("activation_alpha", "float", default=0.0, per_unit=functions),
        Attribute("activation_beta", "float", default=0.0, per_unit=functions),
        Attribute("clip", "float", default=0.0, minimum=0),
        Attribute("direction", default=0, choices=DIRECTIONS),
        Attribute("layout", **FLAG),
    )


class Direction:
    """Weights and functions of one direction. given: the call's attributes."""

    def __init__(
        self,
        at: int,
        given: Mapping[str, Any],
        standard: Sequence[str],
        weights: Sequence[Array | None],
    ) -> None:
        self.given, self.at, self.standard = given, at, standard
        self.w, self.r, self.b, self.p = (None if v is None else v[at] for v in weights)

    def function(self, f: int, x: Array) -> Array:
        """Function f, of what is limited before."""
        limit = self.given.get("clip", 0)
        x = np.clip(x, -limit, limit) if limit else x
        count = len(self.standard)
        names = self.given.get("activations") or [*self.standard] * (self.at + 1)
        zeros = [0.0] * len(names)
        at = self.at * count + f
        alpha, beta = (
            float(np.float32((self.given.get(f"activation_{n}") or zeros)[at]))
            for n in ("alpha", "beta")
        )
        return ACTIVATIONS[names[at]](x, alpha, beta)

    def run(
        self, cell: Cell, x: Array, lens: Array, states: list[Array], back: bool
    ) -> tuple[Array, list[Array]]:
        """Rows of y [T, B, H] and the last states, of x [T, B, I]."""
        steps, batch = x.shape[:2]
        y = np.zeros((steps, *states[0].shape))
        last = [np.array(s) for s in states]
        for b in range(batch):
            now = [s[b] for s in states]
            for s in range(lens[b]):
                t = lens[b] - 1 - s if back else s
                assert self.w is not None
                now = cell(self, self.w @ x[t, b], now)
                y[t, b] = now[0]
            for whole, value in zip(last, now, strict=True):
                whole[b] = value
        return y, last


def reference(
    cell: Cell,
    standard: Sequence[str],
    x: Array,
    weights: Sequence[Array | None],
    lens: Array | None,
    first: Sequence[Array | None],
    given: Mapping[str, Any],
) -> list[Array]:
    """numpy, sequence by sequence. first: the initial states."""
    layout, name = given.get("layout", 0), given.get("direction", "forward")
    x = x.swapaxes(0, 1) if layout else x
    steps, batch, _ = x.shape
    backs = {"forward": [0], "reverse": [1], "bidirectional": [0, 1]}[name]
    assert weights[1] is not None
    zeros = np.zeros((len(backs), batch, weights[1].shape[2]))
    begins = [zeros if f is None else f.swapaxes(0, 1) if layout else f for f in first]
    sizes = np.full(batch, steps) if lens is None else lens
    found = [
        Direction(d, given, standard, weights).run(
            cell, x, sizes, [s[d] for s in begins], bool(back)
        )
        for d, back in enumerate(backs)
    ]
    y = np.stack([f[0] for f in found], 1)
    last = [np.stack(parts) for parts in zip(*(f[1] for f in found), strict=True)]
    if layout:
        return [y.transpose(2, 0, 1, 3), *(s.swapaxes(0, 1) for s in last)]
    return [y, *last]


SIZES = (  # steps, batch, inputs, hidden
    *((1, 1, 1, 1), (5, 1, 7, 9), (3, 2, 4, 8), (2, 5, 17, 33), (70, 1, 3, 5)),
    *((0, 2, 3, 4), (3, 0, 3, 4), (3, 2, 0, 4), (2, 70, 3, 4)),
)


def cases(
    gates: int, states: int, functions: int, own: Sequence[Mapping[str, Any]]
) -> Callable[[tuple[str, ...], Rng], Iterator[Case]]:
    """Sizes, directions, layouts, lengths, functions; own: attributes of its own."""

    def inputs(
        rng: Rng, sizes: Sequence[int], count: int, layout: int, whole: bool
    ) -> list[Array | None]:
        steps, batch, width, hidden = sizes
        shape = (batch, steps, width) if layout else (steps, batch, width)
        state = (batch, count, hidden) if layout else (count, batch, hidden)
        found: list[Array | None] = [
            values(rng, shape, "float32", -2, 2),
            values(rng, (count, gates * hidden, width), "float32", -0.5, 0.5),
            values(rng, (count, gates * hidden, hidden), "float32", -0.5, 0.5),
        ]
        more: list[Array | None] = [
            values(rng, (count, 2 * gates * hidden), "float32", -1, 1),
            rng.integers(0, steps + 1, batch).astype("int32"),
            *(values(rng, state, "float32", -1, 1) for _ in range(states)),
        ]
        if states > 1:
            more.append(values(rng, (count, 3 * hidden), "float32", -1, 1))
        return found + (more if whole else [None] * len(more))

    def all_cases(dtypes: tuple[str, ...], rng: Rng) -> Iterator[Case]:
        for sizes in SIZES:
            for layout in (0, 1):
                for direction in DIRECTIONS:
                    count = 1 + (direction == "bidirectional")
                    for i, more in enumerate(own):
                        given = {"layout": layout, "direction": direction, **more}
                        name = "x".join(map(str, sizes))
                        name += f"-{layout}-{direction}-{i}"
                        for whole in (False, True):
                            tensors = inputs(rng, sizes, count, layout, whole)
                            yield Case(f"{name}-{whole}", tuple(tensors), given)
        for name in ACTIVATIONS:
            tensors = inputs(rng, (4, 2, 5, 6), 2, 0, whole=True)
            given = {
                "direction": "bidirectional",
                "activations": [name] * functions * 2,
                "activation_alpha": [0.3 + 0.1 * i for i in range(functions * 2)],
                "activation_beta": [0.2 - 0.1 * i for i in range(functions * 2)],
                "clip": 1.5,
            }
            yield Case(f"function-{name}", tuple(tensors), given)

    return all_cases


WEIGHTS = (
    Input("x", ""),
    Input("w", ""),
    Input("r", ""),
    Input("b", "", optional=True),
    Input("sequence_lens", "", dtype="int32", optional=True),
    Input("initial_h", "", optional=True),
)


def shapes(call: Any) -> list[Any]:
    """Shapes of y and of the last states, from those of x and r."""
    x, layout = call.shape(0) or (None,) * 3, call.integer("layout")
    directions, _, hidden = call.shape(2) or (None,) * 3
    if layout is None:
        return [(None,) * 3 + (hidden,), *[(None,) * 2 + (hidden,)] * 2]
    batch, steps = x[1 - layout], x[layout]
    y = (batch, steps, directions) if layout else (steps, directions, batch)
    last = (batch, directions) if layout else (directions, batch)
    return [(*y, hidden), *[(*last, hidden)] * 2]


def operator(
    name: str,
    functions: int,
    reference: Callable[..., list[Array]],
    cases: Callable[..., Iterator[Case]],
    *,
    inputs: tuple[Input, ...] = (),
    outputs: tuple[Output, ...] = (),
    own: tuple[Attribute, ...] = (),
) -> Operator:
    """The operator. inputs, outputs, own: beside those of all three."""
    return Operator(
        collapse="own.plain",
        inputs=(*WEIGHTS, *inputs),
        outputs=(Output("y"), Output("y_h"), *outputs),
        attributes=(*attributes(functions), *own),
        units=2,
        dtypes=("float32",),
        source=f"{name}.c",
        shapes=shapes,
        reference=reference,
        cases=cases,
        narrow="products with the largest numbers cancel",
        bound=Bound(ulp=100, absolute=4e-6, why="sums of products, step after step"),
    )
