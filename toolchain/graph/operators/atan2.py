"""out[i] = the angle of the point (x[i], y[i]): atan(y[i] / x[i]) in its quadrant.

Of the smaller over the larger of |x| and |y|, whose angle is at most pi/4.
Edges: as C's atan2: signs of zeros count, +-pi/4 and +-3 pi/4 at two infinities.
Source: MindSpore Atan2; C11, F.10.1.4.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import pi

import numpy as np

from toolchain.spec import Bound, Case, Expr, Input, Kernel, Operator, pointwise, tir
from toolchain.spec.cases import binary, bits
from toolchain.spec.math import Let, absolute, atan, copysign, is_nan


def _formula(k: Kernel, y: Expr, x: Expr) -> Expr:
    let, f32 = Let(), lambda value: tir.const(value, "float32")
    a, b = let(absolute(y)), let(absolute(x))
    steep = let(a > b)
    small, large = let(tir.Select(steep, b, a)), let(tir.Select(steep, a, b))
    equal = tir.Select(large > f32(0), f32(1), f32(0))
    ratio = let(tir.Select(tir.EQ(small, large), equal, small / large))
    angle = let(atan(ratio))
    angle = let(tir.Select(steep, f32(pi / 2) - angle, angle))
    back = copysign(f32(1), x) < f32(0)
    angle = let(tir.Select(back, f32(pi) - angle, angle))
    unknown = tir.Or(is_nan(x), is_nan(y))
    return let.around(tir.Select(unknown, f32(float("nan")), copysign(angle, y)))


def _cases(dtypes: tuple[str, ...], rng: np.random.Generator) -> Iterator[Case]:
    yield from binary()(dtypes, rng)
    yield Case("bits", (bits(rng, 20011), bits(rng, 20011)))


KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("y", "n"), Input("x", "n")),
    dtypes=("float32",),
    compute=pointwise(_formula),
    reference=np.arctan2,
    cases=_cases,
    bound=Bound(ulp=4, why="see toolchain.spec.math.atan; a quotient and two sums"),
    absent=dict.fromkeys(("int32", "int8"), "an angle is no integer"),
)
