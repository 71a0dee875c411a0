"""out[i] = x[i] as another dtype.

Dtypes: every pair of two different ones; the kernel is cast_<from>_<to>.
Edges: float32 to integers drops the fraction and saturates, NaN gives 0 (ONNX and
MindSpore leave both open). Integers to narrower ones wrap. To bool: x != 0, so true
for NaN. From bool: 0 or 1. Integers to float32 round to the nearest, ties to even.
Source: ONNX Cast-13; MindSpore Cast.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import numpy as np

from toolchain.spec import (
    DTYPES,
    Bound,
    Case,
    Expr,
    Input,
    Kernel,
    Operator,
    Output,
    pointwise,
    tir,
)
from toolchain.spec.cases import Array, unary, unary_all
from toolchain.spec.math import clamp, is_nan


def _narrow(k: Kernel, x: Expr, *ends: int) -> Expr:
    number = tir.Select(is_nan(x), tir.const(0, "float32"), x)
    least, most = (tir.const(v, "float32") for v in ends)
    return clamp(number, least, most, k.target.has("simd128")).astype("int32")


def _cast(k: Kernel, x: Expr) -> Expr:
    to = k.dtypes[1]
    if to == "bool":
        # Not x != 0, which in TVM is false for NaN.
        zero, one = tir.const(0, "uint8"), tir.const(1, "uint8")
        return tir.Select(tir.EQ(x, tir.const(0, k.dtype)), zero, one)
    if k.dtype != "float32":
        return x
    if to == "int8":
        return _narrow(k, x, -128, 127)
    if to == "uint8":
        return _narrow(k, x, 0, 255)
    return tir.call_llvm_pure_intrin(to, "llvm.fptosi.sat", x)


def _reference(x: Array, dtypes: tuple[str, ...]) -> Array:
    to = np.dtype(dtypes[1])
    if x.dtype.kind != "f" or to.kind not in "iu":
        return x.astype(np.float64 if to.kind == "f" and x.itemsize < 8 else to)
    ends = np.iinfo(to)
    inside = (x > ends.min) & (x < float(ends.max))
    cut = np.where(inside, x, 0).astype(to)
    low = np.where(x <= ends.min, ends.min, cut)
    return np.where(x >= float(ends.max), ends.max, low)


def _cases(dtypes: tuple[str, ...], rng: np.random.Generator) -> Iterator[Case]:
    yield from unary(-300, 300)(dtypes, rng)
    if dtypes[0] == "float32":
        yield from list(unary_all(-300, 300)(dtypes, rng))[-3:]
        powers = np.float32(2) ** np.array([7, 8, 31, 32, 63, 64], np.float32)
        near = np.concatenate([powers, np.nextafter(powers, np.float32(0)), powers - 1])
        yield Case("ends", (np.concatenate([near, -near, near + 0.5]).astype("f4"),))


KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    outputs=(Output(dtype=1),),
    dtypes=tuple(permutations(DTYPES, 2)),
    compute=pointwise(_cast),
    reference=_reference,
    cases=_cases,
    bound=Bound(ulp=0.5, why="one rounding"),
)
