"""out[indices[i]] = x[i], else 0: what MaxPool with indices took, put back

Shapes: x [N, C, axes...], one to three of them, indices the same; out's axes have
(size - 1) * stride + kernel - pads, or what output_shape has of them (0: that).
Indices: into all of what was pooled, whose axes have those sizes also where
output_shape is larger.
Errors: an index outside, by its place and value; nothing is written then.
Source: ONNX MaxUnpool-22, whose output_shape is a tensor of all axes; MindSpore
MaxUnpool2D.
"""

import numpy as np

from toolchain.spec import Attribute, Bound, Case, Input, Operator, window_shapes
from toolchain.spec import windows as w
from toolchain.spec.cases import shape_name, values

TAKEN = (  # shape, kernel_shape, strides, pads, more of the output's axes
    ((1, 1, 2, 2), [2, 2], [2, 2], [0, 0, 0, 0], 0),
    ((1, 1, 2, 2), [2, 2], [2, 2], [0, 0, 0, 0], 1),
    ((2, 3, 5, 4), [3, 2], [2, 1], [1, 0, 1, 0], 0),
    ((2, 3, 5, 4), [3, 2], [2, 1], [1, 0, 1, 0], 3),
    ((2, 3, 17), [2], [2], [0, 0], 0),
    ((1, 2, 3, 4, 5), [2, 2, 2], [2, 2, 2], [0] * 6, 1),
    ((0, 2, 3, 4), [2, 2], [2, 2], [0] * 4, 0),
)


def sizes(x, kernel_shape, strides, pads):
    ends = np.add(*np.split(np.array(pads), 2))
    return (np.array(x.shape[2:]) - 1) * strides + kernel_shape - ends


def reference(x, indices, kernel_shape, strides, pads, ceil_mode, output_shape=None):
    del ceil_mode
    pooled = sizes(x, kernel_shape, strides, pads)
    out = np.zeros((*x.shape[:2], *pooled), x.dtype)
    out.reshape(-1)[indices.ravel()] = x.ravel()
    wanted = [g or s for g, s in zip(output_shape or pooled, pooled, strict=True)]
    more = [(0, g - s) for g, s in zip(wanted, pooled, strict=True)]
    return np.pad(out, [(0, 0), (0, 0), *more])


def cases(dtypes, rng):
    for shape, kernel, strides, pads, more in TAKEN:
        x = values(rng, shape, dtypes[0])
        given = {"kernel_shape": kernel, "strides": strides, "pads": pads}
        axes = sizes(x, **given)
        total = int(np.prod([*shape[:2], *axes]))
        indices = rng.permutation(total)[: x.size].reshape(shape)
        if more:
            given["output_shape"] = (axes + more).tolist()
        yield Case(f"{shape_name(shape)}-{more}", (x, indices), given)


KERNEL = Operator(
    collapse="own.plain",
    shapes=window_shapes.unpooled,
    inputs=(Input("x", ""), Input("indices", "", dtype="int64")),
    attributes=(
        *(w.CEIL_MODE, w.KERNEL_SHAPE, w.STRIDES, w.PADS, w.DILATIONS),
        Attribute("output_shape", default=0, minimum=0, per_unit=1),
    ),
    units=3,
    dtypes=("float32",),
    source="max_unpool.c",
    reference=reference,
    cases=cases,
    bound=Bound(why="elements of x"),
)
