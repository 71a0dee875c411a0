"""out = the slices of x along axis whose condition is true, one after the other

Attributes: axis is a list of one axis, or empty: then x is one axis.
Shapes: condition [c], bool; slices from c on are left out, as are conditions beyond x.
Source: ONNX Compress-11; MindSpore MaskedSelect.
"""

import numpy as np

from toolchain.spec import DTYPES, Attribute, Bound, Case, Input, Operator, Output
from toolchain.spec.cases import shape_name, values

TAKEN = (  # shape, axis, conditions
    *(((17,), [0], n) for n in (0, 5, 17, 20)),
    *(((7, 5), axis, n) for axis in ([], [0], [1], [-1]) for n in (4, 9, 40)),
    ((300, 33), [0], 300),
    ((1031,), [], 1031),
    ((3, 0), [0], 3),
    ((0, 3), [0], 3),
    ((), [], 1),
    ((2, 1, 3, 2, 2, 1, 2, 3), [2], 3),
)


def reference(x, condition, axis=()):
    size = x.shape[axis[0]] if axis else x.size
    return np.compress(condition[:size], x, axis[0] if axis else None)


def cases(dtypes, rng):
    for shape, axis, count in TAKEN:
        x, condition = values(rng, shape, dtypes[0]), values(rng, (count,), "bool")
        name = f"{shape_name(shape)}-axis{axis}-{count}"
        yield Case(name, (x, condition), {"axis": axis})
        for all_of in (0, 1):
            same = np.full(count, all_of, bool)
            yield Case(f"{name}-all{all_of}", (x, same), {"axis": axis})


def shapes(call):
    x, axes = call.shape(0), call.numbers("axis")
    if axes == []:
        return [(None,)]
    if x is None or axes is None or not isinstance(axes[0], int):
        return [None]
    axis = call.axis_of("axis", axes[0], len(x))
    return [(*x[:axis], None, *x[axis + 1 :])]


KERNEL = Operator(
    collapse="own.plain",
    inputs=(Input("x", ""), Input("condition", "", dtype="bool")),
    outputs=(Output(late=True),),
    attributes=(Attribute("axis", default=0, per_unit=1),),
    units=1,
    dtypes=DTYPES,
    source="compress.c",
    shapes=shapes,
    reference=reference,
    cases=cases,
    bound=Bound(why="elements of x"),
)
