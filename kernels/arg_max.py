"""out[o] = the i with the largest x[o, i]

Shapes: rows o of n elements along `axis`; keepdims=1 leaves the axis with size 1.
Dtypes: no arithmetic; out is int64.
Edges: of equal elements the first, or with select_last_index=1 the last; the first
(last) NaN if a row has NaN, as in numpy; an axis of size 0 is an error.
Source: ONNX ArgMax-13; MindSpore Argmax.
"""

import numpy as np

from toolchain.spec import Attribute, Input, Operator, Output
from toolchain.spec.arg_reductions import arg_reduction
from toolchain.spec.cases import arg_rows, first_or_last
from toolchain.spec.nest import as_written
from toolchain.spec.rows import MAXIMUM, REDUCE_AXIS

rows, columns = arg_reduction(MAXIMUM)

KERNEL = Operator(
    collapse="rows.reduce_axis",
    inputs=(Input("x", "o n"),),
    outputs=(Output(dtype="int64"),),
    attributes=(
        *REDUCE_AXIS,
        Attribute("select_last_index", default=0, minimum=0, maximum=1),
    ),
    dtypes=("float32", "int32", "int8", "uint8", "int64"),
    models=("float64",),
    models_source="doubles.c",
    compute=rows,
    columns=columns,
    schedule=as_written,
    reference=first_or_last(np.argmax),
    cases=arg_rows,
    aliases=("Argmax",),
)
