"""out[i] = log(x[i]), to base e.

Edges: log(0) = -inf, also of -0; NaN below 0.
Source: ONNX Log-13; MindSpore Log.
"""

import numpy as np

from toolchain.spec import Bound, Input, Operator, math, pointwise
from toolchain.spec.cases import unary_all

KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    dtypes=("float32",),
    models=("float64",),
    models_source="doubles.c",
    compute=pointwise(lambda k, x: math.log(x)),
    reference=np.log,
    cases=unary_all(0.25, 4),
    bound=Bound(ulp=1.5, why="see toolchain.spec.math.log"),
    absent=dict.fromkeys(("int32", "int8"), "ONNX defines it for floats only"),
)
