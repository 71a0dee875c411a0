"""out[i] = a[i] << b[i] (LEFT) or a[i] >> b[i] (RIGHT), with numpy broadcasting.

Edges: shifts outside 0..bits-1 leave 0, or to the right of a number below 0 -1; to the
right, signed numbers keep their sign.
Source: ONNX BitShift-11, of unsigned numbers; MindSpore LeftShift, RightShift.
"""

import numpy as np

from toolchain.spec import Attribute, Case, Input, Operator, pointwise, tir
from toolchain.spec.cases import binary, values
from toolchain.spec.math import Let

DIRECTION = Attribute("direction", default=0, choices=("LEFT", "RIGHT"))


def formula(k, a, b):
    let, bits = Let(), 8 * np.dtype(k.dtype).itemsize
    zero, most = tir.const(0, k.dtype), tir.const(bits - 1, k.dtype)
    outside = let(tir.Or(b < zero, b > most))
    wide = let(tir.Select(outside, most, b))
    shift = tir.max(tir.min(wide, most), zero)
    left = tir.Select(outside, zero, a << shift)
    # The most that an integer is shifted leaves its sign; of unsigned ones a bit.
    right = a >> shift
    if k.dtype == "uint8":
        right = tir.Select(outside, zero, right)
    return let.around(tir.Select(tir.EQ(k.direction, 0), left, right))


def reference(a, b, direction):
    bits = 8 * a.itemsize
    outside = (b < 0) | (b >= bits)
    shift = np.where(outside, bits - 1, b).astype(a.dtype)
    if direction == "LEFT":
        return np.where(outside, 0, np.left_shift(a, shift))
    gone = np.where(a < 0, -1, 0)
    return np.where(outside, gone, np.right_shift(a, shift))


def cases(dtypes, rng):
    for direction in DIRECTION.choices:
        given = {"direction": direction}
        for case in binary()(dtypes, rng):
            yield Case(f"{case.name}-{direction}", case.inputs, given)
        a, b = values(rng, (1031,), dtypes[0]), rng.integers(-2, 70, 1031)
        yield Case(f"small-{direction}", (a, b.astype(dtypes[0])), given)


KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("a", "n"), Input("b", "n")),
    attributes=(DIRECTION,),
    dtypes=("int32", "int8", "uint8", "int64"),
    compute=pointwise(formula),
    reference=reference,
    cases=cases,
    absent={"float32": "floats have no bits in ONNX"},
)
