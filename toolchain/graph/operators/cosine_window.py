"""out[i] = a0 - a1 * cos(2 pi i / n) + a2 * cos(4 pi i / n), i < size

Attributes: kind hann (1/2, 1/2, 0), hamming (25/46, 21/46, 0) or blackman (0.42, 0.5,
0.08); n is size, or with periodic=0 size - 1.
Dtypes: computed in float64, rounded once.
Edges: with n = 0 all cosines are 1.
Source: ONNX HannWindow-17, HammingWindow-17, BlackmanWindow-17, whose size is a tensor.
"""

import numpy as np

from toolchain.spec import Attribute, Bound, Case, Operator

WEIGHTS = {
    "hann": (0.5, 0.5, 0.0),
    "hamming": (25 / 46, 21 / 46, 0.0),
    "blackman": (0.42, 0.5, 0.08),
}


def reference(size, kind, periodic):
    a, b, c = WEIGHTS[kind]
    turn = 2 * np.pi * np.arange(size) / ((size if periodic else size - 1) or np.inf)
    return a - b * np.cos(turn) + c * np.cos(2 * turn)


def cases(dtypes, rng):
    for kind in WEIGHTS:
        for size in (0, 1, 2, 3, 4, 5, 16, 17, 400, 1031):
            for periodic in (0, 1):
                given = {"size": size, "kind": kind, "periodic": periodic}
                yield Case(f"{kind}-{size}-{periodic}", (), given)


KERNEL = Operator(
    collapse="own.plain",
    shapes=lambda call: [(call.number("size"),)],
    inputs=(),
    attributes=(
        Attribute("size", minimum=0),
        Attribute("kind", default=0, choices=tuple(WEIGHTS)),
        Attribute("periodic", default=1, minimum=0, maximum=1),
    ),
    dtypes=("float32",),
    source="cosine_window.c",
    reference=reference,
    reference_scale=lambda size, kind, periodic: np.full(size, 1e-8),
    cases=cases,
    bound=Bound(ulp=1, absolute=1e-15, why="one rounding; near 0 of float64's sums"),
)
