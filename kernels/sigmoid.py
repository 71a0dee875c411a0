"""out[i] = 1 / (1 + exp(-x[i])).

Edges: sigmoid(-inf) = 0, denormal below -87.33.
Source: ONNX Sigmoid-13; MindSpore Sigmoid.
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
    compute=function("sigmoid"),
    schedule=as_written,
    reference=lambda x: 1 / (1 + np.exp(-x)),
    cases=unary_all(-104, 20),
    bound=Bound(ulp=2.5, why="see toolchain.spec.math.sigmoid"),
    absent=dict.fromkeys(("int32", "int8"), "ONNX defines it for floats only"),
)
