"""out[i] = x[i] as another dtype, of those that models alone have.

Dtypes: float16 from and to float32; float64 from and to every other one but float16;
the kernel is convert_<from>_<to>. kernels/cast.py has the other pairs.
Edges: float64 to integers drops the fraction and saturates, NaN gives 0; to bool:
x != 0, so true for NaN. Floats to narrower ones round to the nearest, ties to even;
beyond the largest they become infinite.
Source: ONNX Cast-13.
"""

from __future__ import annotations

from collections.abc import Iterator

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
from toolchain.spec.cases import Array, values
from toolchain.spec.math import Let

NEAR = (0, 1, 7, 8, 127, 128, 255, 256, 2**31, 2**32, 2**53, 2**63, 2**64)


def _u32(value: int) -> Expr:
    return tir.const(value, "uint32")


def _i32(value: int) -> Expr:
    return tir.const(value, "int32")


def _from_half(let: Let, half: Expr) -> Expr:
    """The exponent moves from 5 bits to 8 by a product, which is exact."""
    bits = let(half.astype("uint32"))
    moved = tir.reinterpret("float32", (bits & _u32(0x7FFF)) << _u32(13))
    scaled = tir.reinterpret("uint32", moved * tir.const(2.0**112, "float32"))
    found = let(scaled)
    infinite = tir.EQ(bits & _u32(0x7C00), _u32(0x7C00))
    whole = tir.Select(infinite, found | _u32(0x7F800000), found)
    return tir.reinterpret("float32", whole | ((bits & _u32(0x8000)) << _u32(16)))


def _to_half(let: Let, x: Expr) -> Expr:
    """Bits of x rounded to half: denormals by a sum, others by their bits."""
    bits = let(tir.reinterpret("int32", x))
    size = let(bits & _i32(0x7FFFFFFF))
    half = tir.const(0.5, "float32")  # whose last bit is that of the least half
    shifted = tir.reinterpret("float32", size) + half
    small = tir.reinterpret("int32", shifted) - _i32(126 << 23)
    odd = (size >> _i32(13)) & _i32(1)
    normal = (size - _i32(112 << 23) + _i32(0xFFF) + odd) >> _i32(13)
    nan = tir.Select(size > _i32(0x7F800000), _i32(0x7E00), _i32(0x7C00))
    finite = tir.Select(size < _i32(113 << 23), small, normal)
    found = tir.Select(size >= _i32(143 << 23), nan, finite)
    return (found | ((bits >> _i32(16)) & _i32(0x8000))).astype("uint16")


def _formula(k: Kernel, x: Expr) -> Expr:
    let, (before, after) = Let(), k.dtypes
    if before == "float16":
        return let.around(_from_half(let, x))
    if after == "float16":
        return let.around(_to_half(let, x))
    if after == "bool":
        zero, one = tir.const(0, "uint8"), tir.const(1, "uint8")
        return tir.Select(tir.EQ(x, tir.const(0, before)), zero, one)
    if before != "float64" or after == "float32":
        return x.astype(after)
    sign = "u" if after == "uint8" else "s"
    return tir.call_llvm_pure_intrin(after, f"llvm.fpto{sign}i.sat", x)


def _reference(x: Array, dtypes: tuple[str, ...]) -> Array:
    to = np.dtype(dtypes[1])
    if x.dtype.kind != "f" or to.kind not in "iu":
        return x.astype(to)
    ends = np.iinfo(to)
    inside = (x > ends.min) & (x < float(ends.max))
    cut = np.where(inside, x, 0).astype(to)
    low = np.where(x <= ends.min, ends.min, cut)
    return np.where(x >= float(ends.max), ends.max, low)


def _cases(dtypes: tuple[str, ...], rng: np.random.Generator) -> Iterator[Case]:
    kind = np.dtype(dtypes[0])
    for size in (0, 1, 7, 64, 1031):
        wide = kind if kind.itemsize > 2 else np.dtype("float32")
        yield Case(f"n{size}", (values(rng, (size,), wide.name).astype(kind),))
    if dtypes[0] == "float16":
        yield Case("all", (np.arange(1 << 16, dtype="uint16").view("float16"),))
    elif kind.kind == "f":
        near = np.array(NEAR, kind)
        near = np.concatenate([near, np.nextafter(near, kind.type(0)), near - 0.5])
        yield Case("ends", (np.concatenate([near, -near, [np.nan, np.inf, -np.inf]]),))
    if dtypes == ("float32", "float16"):
        halves = np.arange(1 << 15, dtype="uint16").view("float16").astype("float32")
        next_ = np.concatenate([halves[1:], [np.nan]]).astype("float32")
        middle = (halves.astype("float64") + next_) / 2
        ties = middle[np.isfinite(middle)].astype("float32")
        above = np.nextafter(ties, np.float32(np.inf))
        yield Case("ties", (np.concatenate([ties, -ties, above, halves]),))


KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    outputs=(Output(dtype=1),),
    dtypes=(
        *(("float16", "float32"), ("float32", "float16")),
        *((d, "float64") for d in DTYPES),
        *(("float64", d) for d in DTYPES),
    ),
    compute=pointwise(_formula),
    reference=_reference,
    cases=_cases,
    bound=Bound(ulp=0.5, why="one rounding"),
)
