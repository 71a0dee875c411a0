"""out[t, b] = x[sequence_lens[b] - 1 - t, b] where t < sequence_lens[b], else x[t, b]

Shapes: x [T, B, ...] with time_axis 0 and batch_axis 1, or [B, T, ...];
sequence_lens [B], int64.
Errors: a length outside 0..T, by its place and value; nothing is written then.
Source: ONNX ReverseSequence-10; MindSpore ReverseSequence.
"""

import numpy as np

from toolchain.spec import DTYPES, Attribute, Bound, Case, Input, Operator
from toolchain.spec.cases import shape_name, values


def reference(x, sequence_lens, batch_axis, time_axis):
    del batch_axis
    out = np.moveaxis(x, time_axis, 0).copy()
    for b, size in enumerate(sequence_lens):
        out[:size, b] = out[:size, b][::-1]
    return np.moveaxis(out, 0, time_axis)


def cases(dtypes, rng):
    for shape in ((4, 3), (17, 5, 3), (1, 1), (0, 3), (3, 0, 2), (2, 3, 2, 1, 2)):
        for time in (0, 1):
            lens = rng.integers(0, shape[time] + 1, shape[1 - time])
            given = {"batch_axis": 1 - time, "time_axis": time}
            x = values(rng, shape, dtypes[0])
            yield Case(f"{shape_name(shape)}-{time}", (x, lens), given)


KERNEL = Operator(
    collapse="own.plain",
    inputs=(Input("x", ""), Input("sequence_lens", "", dtype="int64")),
    attributes=(
        Attribute("batch_axis", default=1, minimum=0, maximum=1),
        Attribute("time_axis", default=0, minimum=0, maximum=1),
    ),
    dtypes=DTYPES,
    source="reverse_sequence.c",
    shapes=lambda call: [call.shape(0)],
    reference=reference,
    cases=cases,
    bound=Bound(why="elements of x"),
)
