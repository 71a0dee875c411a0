"""packed[p, k, i] = b[k, 8 * p + i]: weights as matmul_packed takes them.

The last panel's columns past N repeat column N - 1.
Shapes: b [K, N], packed [ceil(N / 8), K, 8], the same on every target.
Source: a panel of BLAS's matrix products.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from toolchain.spec import Bound, Buffer, Case, Input, Kernel, Operator, Tensor
from toolchain.spec.cases import Array, Rng, values
from toolchain.spec.nest import as_written, ceil_div, nest
from toolchain.spec.panels import PANEL_WIDTH, Block, pack_elements


def compute(k: Kernel) -> Tensor:
    """Every panel."""

    def emit(ins: list[Buffer], out: Buffer) -> None:
        (b,) = ins
        pack_elements(lambda j, u: b[u, j])(
            Block(out, PANEL_WIDTH, 0, k.N, k.N, 0, k.K)
        )

    return nest((ceil_div(k.N, PANEL_WIDTH), k.K, PANEL_WIDTH), [k.b], emit, k.dtype)


def pack(b: Array) -> Array:
    """numpy."""
    rows, columns = b.shape
    panels = -(-columns // PANEL_WIDTH)
    if not columns:
        return np.zeros((0, rows, PANEL_WIDTH), b.dtype)
    filled = np.minimum(np.arange(panels * PANEL_WIDTH), columns - 1)
    return b[:, filled].reshape(rows, panels, PANEL_WIDTH).transpose(1, 0, 2)


def cases(dtypes: tuple[str, ...], rng: Rng) -> Iterator[Case]:
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
