"""Scalar float32 functions as TE expressions: arithmetic, selects and bit patterns.

No function calls a libm, loops or reads a table, so LLVM's loop vectoriser turns
`te.compute((n,), lambda i: exp(x[i]))` into SIMD; on a target without SIMD the same
expressions are scalar code.

**Bounds** are the worst error seen against float64 rounded once to float32, over every
61st float32 bit pattern (70 million) and the neighbourhoods named in the docstrings,
with multiply-adds fused and not fused; denormal results and operands included. NaN
gives NaN; -0 gives -0 where the function is odd.
**Coefficients** were fitted for this file with mpmath: minimax in relative error
(Lawson-weighted least squares), each rounded to float32 in turn and the rest fitted
again. The error of each fit stands beside it.
**Bindings**: results hold `tirx.Let` nodes, so that an argument is computed once and
no select holds a load (TVM would make that select a branch). An expression that is
needed twice goes through `bind`; used twice bare (or inlined twice by a schedule) it
defines a variable twice: `tvm.s_tir.Schedule` refuses that until
`tirx.transform.ConvertSSA` has renamed one.
**Short forms** leave out what operands within limits do not need, like clamps and the
second of two scalings. Arrays go through them by blocks where SIMD is (see
lower/functions.py), so they give the full form's bits, or depend on a whole row.
**Integer arithmetic** stays inside int32, because TVM marks it as free of overflow;
bits are dropped only by shifts and masks.
"""

from toolchain.spec.math.comparisons import (
    clamp,
    is_nan,
    maximum,
    minimum,
)
from toolchain.spec.math.definitions import (
    SYMBOL,
    Definition,
    Let,
    Limit,
    bind,
    definition,
    has_short,
)
from toolchain.spec.math.error_function import erf, gelu, gelu_tanh
from toolchain.spec.math.exponentials import (
    EXP_SCALED_BITS,
    elu,
    exp,
    exp_difference,
    exp_relative,
    exp_scaled,
    expm1,
    relative_rest,
)
from toolchain.spec.math.hyperbolic import acosh, asinh, atanh, cosh, sinh, tanh
from toolchain.spec.math.instructions import (
    absolute,
    ceil,
    copysign,
    floor,
    rint,
    sqrt,
    trunc,
)
from toolchain.spec.math.inverses import acos, asin, atan
from toolchain.spec.math.logistic import mish, sigmoid, silu, softplus
from toolchain.spec.math.powers import log, pow, pow_wide
from toolchain.spec.math.trigonometry import circular, cos, sin, tan

__all__ = [
    "EXP_SCALED_BITS",
    "SYMBOL",
    "Definition",
    "Let",
    "Limit",
    "absolute",
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "bind",
    "ceil",
    "circular",
    "clamp",
    "copysign",
    "cos",
    "cosh",
    "definition",
    "elu",
    "erf",
    "exp",
    "exp_difference",
    "exp_relative",
    "exp_scaled",
    "expm1",
    "floor",
    "gelu",
    "gelu_tanh",
    "has_short",
    "is_nan",
    "log",
    "maximum",
    "minimum",
    "mish",
    "pow",
    "pow_wide",
    "relative_rest",
    "rint",
    "sigmoid",
    "silu",
    "sin",
    "sinh",
    "softplus",
    "sqrt",
    "tan",
    "tanh",
    "trunc",
]
