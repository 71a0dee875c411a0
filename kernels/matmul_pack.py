"""packed[p, k, i] = b[k, 8 * p + i]: weights as matmul_packed takes them.

The last panel's columns past N repeat column N - 1.
Shapes: b [K, N], packed [ceil(N / 8), K, 8], the same on every target.
Source: a panel of BLAS's matrix products.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from toolchain.spec import Bound, Case, Input, Operator
from toolchain.spec.cases import values
from toolchain.spec.nest import as_written, ceil_div, nest
from toolchain.spec.panels import WIDTH, Block, pack_elements


def compute(k: Any) -> Any:
    """Every panel."""

    def emit(ins: Any, out: Any) -> None:
        (b,) = ins
        pack_elements(lambda j, u: b[u, j])(Block(out, WIDTH, 0, k.N, k.N, 0, k.K))

    return nest((ceil_div(k.N, WIDTH), k.K, WIDTH), [k.b], emit, k.dtype)


def pack(b: Any) -> Any:
    """numpy."""
    rows, columns = b.shape
    panels = -(-columns // WIDTH)
    if not columns:
        return np.zeros((0, rows, WIDTH), b.dtype)
    filled = np.minimum(np.arange(panels * WIDTH), columns - 1)
    return b[:, filled].reshape(rows, panels, WIDTH).transpose(1, 0, 2)


def cases(dtypes: Any, rng: Any) -> Iterator[Case]:
    """About whole panels."""
    for k, n in ((0, 5), (3, 0), (1, 1), (3, 7), (5, 8), (7, 9), (31, 64), (129, 71)):
        yield Case(f"{k}x{n}", (values(rng, (k, n), "float32"),))


KERNEL = Operator(
    collapse="exact.plain",
    inputs=(Input("b", "K N"),),
    dtypes=("float32",),
    absent={"int32": "see matmul", "int8": "see matmul_integer"},
    compute=compute,
    schedule=as_written,
    reference=pack,
    cases=cases,
    bound=Bound(why="moves elements"),
)
