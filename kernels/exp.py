"""out[i] = e ^ x[i].

Edges: exp(-inf) = 0; inf above 88.72, denormal below -87.33, 0 below -103.97.
Source: ONNX Exp-13; MindSpore Exp.
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
    models=("float64",),
    models_source="doubles.c",
    compute=function("exp"),
    schedule=as_written,
    reference=np.exp,
    cases=unary_all(-104, 89),
    bound=Bound(ulp=1.5, why="see toolchain.spec.math.exp"),
    absent=dict.fromkeys(("int32", "int8"), "ONNX defines it for floats only"),
)
