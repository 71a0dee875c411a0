"""out[i] = x[i] * tanh(log(1 + exp(x[i]))).

Edges: mish(-0) = -0; NaN at -inf, as IEEE products say.
Source: ONNX Mish-22; MindSpore Mish.
"""

import numpy as np

from toolchain.spec import Bound, Input, Operator
from toolchain.spec.arrays import function
from toolchain.spec.cases import unary_all
from toolchain.spec.nest import as_written

KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    dtypes=("float32",),
    compute=function("mish"),
    schedule=as_written,
    reference=lambda x: x * np.tanh(np.logaddexp(0, x)),
    cases=unary_all(-20, 10),
    bound=Bound(ulp=4.5, why="see toolchain.spec.math.mish"),
    absent=dict.fromkeys(("int32", "int8"), "ONNX defines it for floats only"),
)
