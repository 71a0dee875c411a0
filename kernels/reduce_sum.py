"""out[o] = sum_i x[o, i]

Shapes: rows o of n elements, those of `axes`; keepdims=1 leaves axes of size 1.
Dtypes: float32 in 16 partial sums of float32; integers in their own width, which
gives the bits that a wider accumulator would be cut to.
Edges: 0 for an empty row; integers wrap as two's complement.
Source: ONNX ReduceSum-13; MindSpore ReduceSum.
"""

import numpy as np

from toolchain.spec import Bound, Input, Operator, te
from toolchain.spec.cases import reductions
from toolchain.spec.rows import REDUCE_AXES, SUM, fold_columns, row_sum, unsigned


def rows(k):
    total = row_sum(k, lambda i, r: unsigned(k.x[i, r]), "total")
    return te.compute((k.o,), lambda i: total[i].astype(k.dtype), "out")
