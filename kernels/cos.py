"""out[i] = cos(x[i]), x in radians.

Edges: cos(+-0) = 1; NaN at +-inf. From |x| = 2^28 on the argument loses digits:
the result stays within [-1, 1] and is no longer near the true value.
Source: ONNX Cos-22; MindSpore Cos.
"""

import numpy as np

from toolchain.spec import Bound, Input, Operator, math, pointwise
from toolchain.spec.cases import turns

KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    dtypes=("float32",),
    compute=pointwise(lambda k, x: math.cos(x)),
    reference=np.cos,
    cases=turns,
    bound=Bound(ulp=2.5, why="see toolchain.spec.math.cos; |x| < 2^28"),
    absent=dict.fromkeys(("int32", "int8"), "ONNX defines it for floats only"),
)
