"""out[i] = tanh(x[i]).

Edges: tanh(-0) = -0; 1 from 9.02.
Source: ONNX Tanh-13; MindSpore Tanh.
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
    compute=function("tanh"),
    schedule=as_written,
    reference=np.tanh,
    cases=unary_all(-10, 10),
    bound=Bound(ulp=3.5, why="see toolchain.spec.math.tanh"),
    absent=dict.fromkeys(("int32", "int8"), "ONNX defines it for floats only"),
)
