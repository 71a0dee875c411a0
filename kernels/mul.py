"""out[i] = a[i] * b[i], with numpy broadcasting.

Edges: integers wrap as two's complement; float32 0 * inf = NaN.
Source: ONNX Mul-14; MindSpore Mul.
"""

from toolchain.spec import Bound, Input, Operator, pointwise
from toolchain.spec.cases import binary

KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("a", "n"), Input("b", "n")),
    dtypes=("float32", "int32", "int8", "uint8", "int64"),
    models=("float64",),
    stored_as={"uint8": "int8"},
    compute=pointwise(lambda k, a, b: a * b),
    reference=lambda a, b: a * b,
    cases=binary(),
    bound=Bound(ulp=0.5, why="one rounding"),
)
