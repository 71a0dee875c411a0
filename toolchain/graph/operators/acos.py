"""out[i] = acos(x[i]).

Edges: acos(1) = 0; NaN beyond +-1.
Source: ONNX Acos-22; MindSpore ACos.
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
    compute=function("acos"),
    schedule=as_written,
    reference=np.arccos,
    cases=unary_all(-1, 1),
    bound=Bound(ulp=3.5, why="see toolchain.spec.math.acos"),
    absent=dict.fromkeys(("int32", "int8"), "ONNX defines it for floats only"),
)
