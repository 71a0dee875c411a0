"""Operators that fill the arrays of the runtime, as text of their files."""

from __future__ import annotations

# 6 inputs, 32 sizes, 16 attributes with 64 values, 64 slots without those of matmul.
MANY = """'''out[i] = sum_j a_j[0, ...] * (j + 1) + sum_k v_k * (k + 1) + l[6].'''
from toolchain.spec import Attribute, Bound, Input, Operator, Output, te, tir
DIMS = [" ".join(f"s{i}_{j}" for j in range(6 if i < 5 else 2)) for i in range(6)]


def compute(k):
    total = k.l[0]
    for j, x in enumerate(k.inputs):
        there = tir.all(*(size > 0 for size in x.shape))
        first = tir.if_then_else(there, x(*[0] * len(x.shape)), 0.0)
        total = total + first * (j + 1)
    for i in range(15):
        total = total + getattr(k, f"v{i}") * (i + 1)
    return te.compute((k.s0_0,), lambda i: total, name="out")


KERNEL = Operator(
    collapse="exact.plain",
    inputs=tuple(Input(f"a{i}", d) for i, d in enumerate(DIMS)),
    dtypes=("float32",),
    bound=Bound(why="not asked"),
    attributes=(
        *(Attribute(f"v{i}", "float", 0.0) for i in range(15)),
        Attribute("l", "float", 0.0, per_unit=7, kernel=7),
    ),
    units=7,
    compute=compute,
    reference=None,
    cases=None,
)
"""
# 64 sizes of outputs: ten of rank 6 and one of rank 4.
OUTPUTS = """'''out_k[...] = x[...] * (k + 1).'''
from toolchain.spec import Attribute, Bound, Input, Operator, Output, te, tir


def compute(k):
    def scaled(o):
        shape = tuple(k.x.shape[: 6 if o < 10 else 4])
        rest = (0,) * (6 - len(shape))

        def element(*i):
            there = tir.all(k.e > 0, k.f > 0)
            return tir.if_then_else(there, k.x(*i, *rest), 0.0) * (o + 1)

        return te.compute(shape, element, name=f"o{o}")

    return [scaled(o) for o in range(11)]


KERNEL = Operator(
    collapse="exact.plain",
    inputs=(Input("x", "a b c d e f"),),
    outputs=tuple(Output(f"o{i}") for i in range(11)),
    dtypes=("float32",),
    bound=Bound(why="not asked"),
    compute=compute,
    reference=None,
    cases=None,
)
"""
# 8 outputs of rows, along any axis.
ROWS = """'''out_k[o, i] = x[o, i] * (k + 1).'''
from toolchain.spec import Attribute, Bound, Input, Operator, Output, te


def compute(k):
    def scaled(o):
        return te.compute(
            (k.o, k.n), lambda i, j: k.x[i, j] * (o + 1), name=f"o{o}"
        )

    return [scaled(o) for o in range(8)]


KERNEL = Operator(
    collapse="rows.axis",
    inputs=(Input("x", "o n"),),
    outputs=tuple(Output(f"o{i}") for i in range(8)),
    attributes=(Attribute("axis", default=-1),),
    dtypes=("float32",),
    bound=Bound(why="not asked"),
    compute=compute,
    reference=None,
    cases=None,
)
"""
# An output of more bytes than its input, along any axis; what is added may be absent.
WIDER = """'''out[o, i] = x[o, i] + more[i], as int64.'''
from toolchain.spec import Attribute, Bound, Input, Operator, Output, te


KERNEL = Operator(
    collapse="rows.axis",
    inputs=(Input("x", "o n"), Input("more", "n", optional=True, fill=7)),
    outputs=(Output(dtype="int64"),),
    attributes=(Attribute("axis", default=-1),),
    dtypes=("int8",),
    bound=Bound(why="not asked"),
    compute=lambda k: te.compute(
        (k.o, k.n),
        lambda i, j: k.x[i, j].astype("int64") + k.more[j].astype("int64"),
        name="out",
    ),
    reference=None,
    cases=None,
)
"""
# 4 inputs that are broadcast.
FOUR = """'''out[i] = a[i] + 10 * b[i] + 100 * c[i] + 1000 * d[i].'''
from toolchain.spec import Attribute, Bound, Input, Operator, Output, te


KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=tuple(Input(n, "n", optional=n == "d", fill=3.0) for n in "abcd"),
    dtypes=("float32",),
    bound=Bound(why="not asked"),
    compute=lambda k: te.compute(
        (k.n,),
        lambda i: k.a[i] + k.b[i] * 10.0 + k.c[i] * 100.0 + k.d[i] * 1000.0,
        name="out",
    ),
    reference=None,
    cases=None,
)
"""


# An attribute after the sizes of a product.
SCALED = """'''out[m, n] = alpha * sum_k a[m, k] * b[k, n].'''
from toolchain.spec import Attribute, Bound, Input, Operator, Output, te


def compute(k):
    j = te.reduce_axis((0, k.K), "j")
    return te.compute(
        (k.M, k.N),
        lambda m, n: te.sum(k.a[m, j] * k.b[j, n] * k.alpha, axis=j),
        name="out",
    )


KERNEL = Operator(
    collapse="matmul.plain",
    inputs=(Input("a", "M K"), Input("b", "K N")),
    attributes=(Attribute("alpha", "float", 1.0),),
    dtypes=("float32",),
    bound=Bound(why="not asked"),
    compute=compute,
    reference=None,
    cases=None,
)
"""
# A size that only an absent first input has.
FIRST = """'''out[i] = y[i] + x[0].'''
from toolchain.spec import Attribute, Bound, Input, Operator, Output, te, tir


KERNEL = Operator(
    collapse="exact.plain",
    inputs=(Input("x", "n", optional=True, fill=2.0), Input("y", "m")),
    dtypes=("float32",),
    bound=Bound(why="not asked"),
    compute=lambda k: te.compute(
        (k.m,),
        lambda i: k.y[i] + tir.if_then_else(k.n > 0, k.x[0], 0.0),
        name="out",
    ),
    reference=None,
    cases=None,
)
"""
# Defaults at the ends of int64, which descriptors hold as float64.
ENDS = """'''out[i] = x[i] + (low if i == 0 else high).'''
from toolchain.spec import Attribute, Bound, Input, Operator, Output, te, tir

WIDE = {"dtype": "int64", "unbounded": True}
KERNEL = Operator(
    collapse="exact.plain",
    inputs=(Input("x", "n"),),
    attributes=(
        Attribute("low", default=-(2**63), **WIDE),
        Attribute("high", default=2**63 - 1, **WIDE),
    ),
    dtypes=("int64",),
    compute=lambda k: te.compute(
        (k.n,), lambda i: k.x[i] + tir.Select(i == 0, k.low, k.high), name="out"
    ),
    reference=None,
    cases=None,
)
"""
SOURCES = {
    "ends": ENDS,
    "first": FIRST,
    "many": MANY,
    "outputs": OUTPUTS,
    "by_rows": ROWS,
    "wider": WIDER,
    "four": FOUR,
    "scaled": SCALED,
}
