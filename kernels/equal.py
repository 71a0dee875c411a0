"""out[i] = a[i] == b[i], as bool, with numpy broadcasting.

Edges: false where either is NaN; -0 equals +0.
Source: ONNX Equal-19; MindSpore Equal.
"""

from toolchain.spec import Input, Operator, Output, pointwise, tir
from toolchain.spec.cases import binary

KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("a", "n"), Input("b", "n")),
    outputs=(Output(dtype="bool"),),
    dtypes=("float32", "int32", "int8", "uint8", "int64", "bool"),
    models=("float64",),
    stored_as={"uint8": "int8", "bool": "int8"},
    compute=pointwise(lambda k, a, b: tir.EQ(a, b)),
    reference=lambda a, b: a == b,
    cases=binary(),
)
