"""out[i] = cos(x[i]), x in radians.

Edges: cos(+-0) = 1; NaN at +-inf.
Source: ONNX Cos-22; MindSpore Cos.
"""

import numpy as np

from toolchain.spec import Bound, Input, Operator
from toolchain.spec.arrays import function
from toolchain.spec.cases import turns
from toolchain.spec.nest import as_written

KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    dtypes=("float32",),
    models=("float64",),
    models_source="doubles.c",
    compute=function("circular", 1),
    schedule=as_written,
    reference=np.cos,
    cases=turns,
    bound=Bound(ulp=2.5, why="see toolchain.spec.math.circular"),
    absent=dict.fromkeys(("int32", "int8"), "ONNX defines it for floats only"),
)
