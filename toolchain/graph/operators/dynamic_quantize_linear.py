"""y = saturate(round(x / y_scale) + y_zero), y_scale = range of x and 0 / 255, y_zero

y_zero is what 0 becomes: round(-least / y_scale). A range of nothing has scale 1.
Shapes: y as x; y_scale and y_zero [].
Edges: NaN counts as 0; halves round to even.
Source: ONNX DynamicQuantizeLinear-11.
"""

import numpy as np

from toolchain.spec import Bound, Case, Input, Operator, Output
from toolchain.spec.cases import SHAPES, shape_name, values


def reference(x):
    x = np.nan_to_num(x.astype("f4"), nan=0, posinf=np.inf, neginf=-np.inf)
    low, high = np.min(x, initial=0), np.max(x, initial=0)
    scale = np.float32((high - low) / np.float32(255))
    scale = scale if scale > 0 else np.float32(1)
    ratio = np.nan_to_num(np.append(x.ravel(), -low) / scale, nan=0)
    whole = np.rint(ratio)
    zero = np.clip(whole[-1], 0, 255)
    return [np.clip(whole[:-1].reshape(x.shape) + zero, 0, 255), scale, zero]


def cases(dtypes, rng):
    for i, shape in enumerate((*SHAPES, (3, 1031))):
        low, high = ((-3, 5), (1, 5), (-5, -1))[i % 3]
        yield Case(shape_name(shape), (values(rng, shape, "float32", low, high),))
    yield Case("zeros", (np.zeros(9, "f4"),))
    yield Case("nan", (np.array([1, np.nan, -2, 0.5] * 5, "f4"),))
    yield Case("infinite", (np.array([1, np.inf, -2, 0.5] * 5, "f4"),))
    halves = np.arange(-127, 129).astype("f4") / np.float32(2)
    yield Case("ties", (np.append(halves, np.float32(191.5)),))


KERNEL = Operator(
    collapse="own.plain",
    inputs=(Input("x", ""),),
    outputs=(
        Output("y", dtype="uint8"),
        Output("y_scale"),
        Output("y_zero", dtype="uint8"),
    ),
    dtypes=("float32",),
    source="dynamic_quantize_linear.c",
    shapes=lambda call: [call.shape(0), (), ()],
    reference=reference,
    cases=cases,
    bound=Bound(why="one division"),
)
