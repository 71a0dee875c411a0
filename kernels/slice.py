"""out[i, ...] = x[starts[0] + i * steps[0], ...]

Shapes: any. Entry j of starts, ends and steps is for axis axes[j], or axis j where
axes is left out; steps is 1 where left out. Axes that are not named stay whole.
Edges: negative starts and ends count from the end, then all are cut to the axis; a
negative step walks backwards; a step of 0 is an error.
Source: ONNX Slice-13, whose lists are tensors; MindSpore StridedSlice (no masks).
"""

from toolchain.spec import Attribute, Case
from toolchain.spec.cases import shape_name, values
from toolchain.spec.movement import view_operator

LARGE = 2**62
SLICED = (  # shape, starts, ends, axes, steps
    *(((n,), [0], [3], [0], [1]) for n in (0, 1, 3, 4, 17)),
    ((17,), [3], [14], [0], [1]),
    ((17,), [-5], [LARGE], [0], [1]),
    ((17,), [16], [-LARGE], [0], [-1]),
    ((17,), [LARGE], [-18], [0], [-5]),
    ((17,), [5], [5], [0], [1]),
    ((17,), [9], [3], [0], [2]),
    ((17, 40), [2, 1], [15, 39], [0, 1], [3, 2]),
    ((17, 40), [1, 15], [39, 2], [-1, -2], [1, -3]),
    ((17, 40), [4], [12], [1], [1]),
    ((2, 0, 3), [0, 1], [1, 3], [1, 2], [1, 1]),
    ((2, 3, 1031), [1], [1030], [2], [1]),
    ((2, 2, 3, 2, 2, 1, 2, 3), [1, 0, 0, 1], [2, 2, 2, 3], [0, 2, 4, 7], [1] * 4),
)


def cases(dtypes, rng):
    for shape, starts, ends, axes, steps in SLICED:
        name = "-".join([shape_name(shape), *(str(s) for s in (starts, ends, steps))])
        given = {"starts": starts, "ends": ends, "axes": axes, "steps": steps}
        x = values(rng, shape, dtypes[0])
        yield Case(name.replace(" ", ""), (x,), given)
    x = values(rng, (4, 5), dtypes[0])
    yield Case("first-axes", (x,), {"starts": [1, 2], "ends": [3, 4]})


def reference(x, starts, ends, axes=None, steps=None):
    index = [slice(None)] * x.ndim
    axes = range(len(starts)) if axes is None else axes
    steps = [1] * len(starts) if steps is None else steps
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = x.shape[axis]
        # numpy counts an end before the first element from the back.
        end = None if step < 0 and end < -size else end
        index[axis] = slice(start, end, step)
    return x[tuple(index)]


KERNEL = view_operator(
    "slice",
    (
        Attribute("starts", per_unit=1, unbounded=True),
        Attribute("ends", per_unit=1, unbounded=True),
        # collapse_view.c knows this default: entry i is for axis i.
        Attribute("axes", default=2**31 - 1, per_unit=1),
        Attribute("steps", default=1, per_unit=1, unbounded=True),
    ),
    reference=reference,
    cases=cases,
)
