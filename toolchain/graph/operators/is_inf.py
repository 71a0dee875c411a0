"""out[i] = whether x[i] is an infinity of a sign that is asked for.

Attributes: detect_positive, detect_negative.
Source: ONNX IsInf-20; MindSpore IsInf.
"""

import numpy as np

from toolchain.spec import (
    Attribute,
    Case,
    Input,
    Operator,
    Output,
    pointwise,
    tir,
)
from toolchain.spec.cases import unary


def formula(k, x):
    infinity = tir.const(float("inf"), "float32")
    above = tir.And(tir.EQ(x, infinity), tir.NE(k.detect_positive, 0))
    below = tir.And(tir.EQ(x, -infinity), tir.NE(k.detect_negative, 0))
    return tir.Or(above, below)


def reference(x, detect_negative, detect_positive):
    above, below = np.isposinf(x), np.isneginf(x)
    return (above & bool(detect_positive)) | (below & bool(detect_negative))


def cases(dtypes, rng):
    for negative in (0, 1):
        for positive in (0, 1):
            given = {"detect_negative": negative, "detect_positive": positive}
            for case in unary()(dtypes, rng):
                yield Case(f"{case.name}-{negative}{positive}", case.inputs, given)


KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    outputs=(Output(dtype="bool"),),
    attributes=(
        Attribute("detect_negative", default=1, minimum=0, maximum=1),
        Attribute("detect_positive", default=1, minimum=0, maximum=1),
    ),
    dtypes=("float32",),
    compute=pointwise(formula),
    reference=reference,
    cases=cases,
    absent=dict.fromkeys(("int32", "int8"), "no integer is an infinity"),
)
