"""out[o, m, k] = data[o, indices[m], k]

Shapes: `axis` of data is replaced by the axes of indices.
Dtypes: indices int32 or int64.
Edges: negative indices count from the end; an index outside the axis is an error that
names it, and nothing is read.
Source: ONNX Gather-13; MindSpore Gather.
"""

import numpy as np

from toolchain.spec import DTYPES, SAME_WIDTH, Attribute, Case, Input, Operator, tir
from toolchain.spec import script as T  # noqa: N812  # TVM's own name for it
from toolchain.spec.cases import shape_name, values
from toolchain.spec.nest import as_written, nest

TAKEN = (  # shape, axis, shape of the indices
    *(((n,), 0, (5,)) for n in (1, 3, 17)),
    ((17,), 0, ()),
    ((17,), 0, (0,)),
    ((0,), 0, (0,)),
    ((7, 5), 0, (3, 2)),
    ((7, 33), 0, (1031,)),
    ((7, 33), 1, (17,)),
    ((7, 33), -1, (1,)),
    ((4, 3, 5), -2, (2, 2)),
    ((4, 3, 0), 1, (2,)),
    ((2, 1, 3, 2, 2, 1), 2, (2, 1, 3)),
)


def compute(k):
    def emit(inputs, out):
        data, indices = inputs

        def source(j):
            index = indices[j].astype("int32")
            return index + tir.Select(index < 0, k.n, tir.const(0, "int32"))

        with T.If(k.k == 1):
            with T.Then(), T.serial(0, k.o) as i, T.serial(0, k.m) as j:
                T.buffer_store(out, data[i, source(j), 0], [i, j, 0])
            with (
                T.Else(),
                T.serial(0, k.o) as i,
                T.serial(0, k.m) as j,
                T.serial(0, k.k) as c,
            ):
                T.buffer_store(out, data[i, source(j), c], [i, j, c])

    return nest((k.o, k.m, k.k), [k.data, k.indices], emit, k.dtype)


def cases(dtypes, rng):
    for shape, axis, wanted in TAKEN:
        size = shape[axis]
        indices = rng.integers(-size, max(size, 1), wanted).astype(dtypes[1])
        data = values(rng, shape, dtypes[0])
        name = f"{shape_name(shape)}-axis{axis}-{shape_name(wanted)}"
        yield Case(name, (data, indices), {"axis": axis})


KERNEL = Operator(
    collapse="gather.axis",
    inputs=(Input("data", "o n k"), Input("indices", "m", dtype=1)),
    attributes=(Attribute("axis", default=0, kernel=0),),
    dtypes=tuple((d, i) for d in DTYPES for i in ("int32", "int64")),
    models=(("float64", "int32"), ("float64", "int64")),
    stored_as=SAME_WIDTH,
    compute=compute,
    schedule=as_written,
    reference=lambda data, indices, axis: np.take(data, indices, axis),
    cases=cases,
)
