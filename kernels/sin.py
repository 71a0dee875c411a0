"""out[i] = sin(x[i]), x in radians.

Edges: sin(-0) = -0; NaN at +-inf.
Source: ONNX Sin-22; MindSpore Sin.
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
    compute=function("circular", 0),
    schedule=as_written,
    reference=np.sin,
    cases=turns,
    bound=Bound(ulp=2.5, why="see toolchain.spec.math.circular"),
    absent=dict.fromkeys(("int32", "int8"), "ONNX defines it for floats only"),
)
