"""out[i] = x[i] where condition[i], else y[i], with numpy broadcasting of all three.

Dtypes: condition is bool; elements of one width share a kernel.
Source: ONNX Where-16; MindSpore Select.
"""

from collections.abc import Iterator

import numpy as np

from toolchain.spec import SAME_WIDTH, Case, Input, Operator, pointwise, tir
from toolchain.spec.cases import BROADCASTS, SIZES, shape_name, special, values

SCALAR = ((1,), (), ())


def _cases(dtypes: tuple[str, ...], rng: np.random.Generator) -> Iterator[Case]:
    plain = [((n,), (n,), (n,)) for n in SIZES]
    pairs = [(a, b, a) for a, b in BROADCASTS] + [(b, a, (1,)) for a, b in BROADCASTS]
    for c, x, y in (*plain, *pairs, SCALAR, ((), (5,), (3, 1))):
        condition = values(rng, c, "bool")
        operands = (values(rng, x, dtypes[0]), values(rng, y, dtypes[0]))
        name = "-".join(map(shape_name, (c, x, y)))
        yield Case(name, (condition, *operands))
    edge = special(dtypes[0])
    yield Case("special", (np.arange(edge.size) % 2 == 0, edge, edge[::-1].copy()))


KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("condition", "n", dtype="bool"), Input("x", "n"), Input("y", "n")),
    dtypes=("float32", "int32", "int8", "uint8", "int64", "bool"),
    models=("float64",),
    stored_as=SAME_WIDTH,
    compute=pointwise(lambda k, condition, x, y: tir.Select(condition != 0, x, y)),
    reference=np.where,
    cases=_cases,
    aliases=("Select",),
)
