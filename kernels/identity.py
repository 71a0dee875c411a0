"""out[i] = x[i].

The kernels are written in C, in identity.c: the specification of what the compiler
emits from a TE definition, and the model for a user's own kernels in C.
Source: ONNX Identity-21; MindSpore Identity.
"""

from toolchain.spec import DTYPES, Bound, Input, Operator
from toolchain.spec.cases import unary

KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    dtypes=DTYPES,
    models=("float64",),
    models_source="doubles.c",
    source="identity.c",
    reference=lambda x: x,
    cases=unary(),
    bound=Bound(why="a copy"),
)
