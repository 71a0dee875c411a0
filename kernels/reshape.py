"""out[j] = x[j], j the position in memory

Shapes: any; one entry of shape may be -1 and is what is left; an entry of 0 copies
the size of x, or with allowzero=1 is a size of 0.
Edges: a shape with another number of elements is an error.
Source: ONNX Reshape-14, whose shape is a tensor; MindSpore Reshape.
"""

from toolchain.spec import Attribute, Case
from toolchain.spec.cases import shape_name, values
from toolchain.spec.movement import view_operator

RESHAPED: tuple[tuple[tuple[int, ...], list[int], int], ...] = (
    ((), [], 0),
    ((), [1, 1], 0),
    ((1,), [], 0),
    ((17,), [17], 0),
    ((4, 6), [2, -1], 0),
    ((4, 6), [-1], 0),
    ((4, 6), [0, 2, 3], 0),
    ((4, 6), [0, -1, 2], 0),
    ((0, 6), [0, -1], 0),
    ((0, 6), [3, 0], 1),
    ((2, 1, 3, 2, 2, 1, 2, 3), [0, -1, 2, 1, 3], 0),
    ((1031,), [1, 1031], 0),
)


def cases(dtypes, rng):
    for shape, to, allowzero in RESHAPED:
        name = f"{shape_name(shape)}-to-{'_'.join(map(str, to))}"
        if 0 in shape and -1 in to:
            continue  # leaves the size open: an error
        given = {"shape": to, "allowzero": allowzero}
        yield Case(name, (values(rng, shape, dtypes[0]),), given)


def reference(x, shape, allowzero):
    sizes = [
        x.shape[i] if size == 0 and not allowzero else size
        for i, size in enumerate(shape)
    ]
    return x.reshape(sizes)


KERNEL = view_operator(
    "reshape",
    (
        Attribute("allowzero", default=0, minimum=0, maximum=1, kernel=0),
        Attribute("shape", per_unit=1, minimum=-1),
    ),
    reference=reference,
    cases=cases,
)
