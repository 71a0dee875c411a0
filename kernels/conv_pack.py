"""out[q, (r * S + s) * D + c, i] = w[8 * q + i, c, r, s]: weights for conv_packed.

0 where 8 * q + i is past the last output channel.
Shapes: w [M, D, R, S]; out [ceil(M / 8), R * S * D, 8], panels of 8 output channels,
the same for every target.
Dtypes: float32.
Edges: size 0 gives size 0.
Source: this library's own layout.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from toolchain.spec import Bound, Buffer, Case, Input, Kernel, Operator, Tensor, tir
from toolchain.spec import script as T  # noqa: N812  # TVM's own name for it
from toolchain.spec.cases import Array, Rng, shape_name, values
from toolchain.spec.nest import as_written, ceil_div, nest
from toolchain.spec.panels import PANEL_WIDTH


def compute(k: Kernel) -> Tensor:
    """Unit by unit."""
    shape = (ceil_div(k.M, PANEL_WIDTH), k.R * k.S * k.D, PANEL_WIDTH)

    def emit(ins: list[Buffer], out: Buffer) -> None:
        (w,) = ins
        with (
            T.serial(0, shape[0]) as q,
            T.serial(0, k.R) as r,
            T.serial(0, k.S) as s,
            T.serial(0, k.D) as c,
            T.serial(0, PANEL_WIDTH) as i,
        ):
            m = q * PANEL_WIDTH + i
            zero = tir.const(0, k.dtype)
            value = tir.if_then_else(m < k.M, w[m, c, r, s], zero)
            T.buffer_store(out, value, [q, (r * k.S + s) * k.D + c, i])

    return nest(shape, k.inputs, emit, k.dtype)


def reference(w: Array) -> Array:
    """numpy."""
    panels = -(-w.shape[0] // PANEL_WIDTH)
    full = np.zeros((panels * PANEL_WIDTH, *w.shape[1:]), w.dtype)
    full[: w.shape[0]] = w
    units = w.shape[1] * w.shape[2] * w.shape[3]
    split = full.reshape(panels, PANEL_WIDTH, *w.shape[1:])
    return split.transpose(0, 3, 4, 2, 1).reshape(panels, units, PANEL_WIDTH)


def cases(dtypes: tuple[str, ...], rng: Rng) -> Iterator[Case]:
    """Whole and partial panels."""
    shapes = ((8, 4, 3, 3), (1, 1, 1, 1), (7, 3, 2, 5), (17, 5, 1, 1))
    for shape in (*shapes, (0, 3, 3, 3), (9, 0, 3, 3)):
        yield Case(shape_name(shape), (values(rng, shape, dtypes[0]),))


KERNEL = Operator(
    collapse="exact.plain",
    inputs=(Input("w", "M D R S"),),
    dtypes=("float32",),
    absent={
        "int8": "ONNX has ConvInteger and QLinearConv, with zero points and scales",
        "int32": "no framework has it",
    },
    compute=compute,
    schedule=as_written,
    reference=reference,
    cases=cases,
    bound=Bound(why="moves elements"),
)
