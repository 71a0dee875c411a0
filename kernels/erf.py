"""out[i] = erf(x[i]) = 2/sqrt(pi) * integral of exp(-t^2) from 0 to x[i].

Edges: erf(-0) = -0; 1 from 3.92.
Source: ONNX Erf-13; MindSpore Erf.
"""

import math

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
    compute=function("erf"),
    schedule=as_written,
    reference=np.vectorize(math.erf, otypes=["f8"]),
    cases=unary_all(-5, 5),
    bound=Bound(ulp=3.5, why="see toolchain.spec.math.erf"),
    absent=dict.fromkeys(("int32", "int8"), "ONNX defines it for floats only"),
)
