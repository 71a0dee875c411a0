"""out[i] = 1 where u[i] < x[i], else 0; u as random_uniform has it

Dtypes: x float32, out any.
Edges: 0 for NaN and below, 1 from 1 on.
Source: ONNX Bernoulli-22, whose seed is a float; MindSpore Bernoulli.
"""

from toolchain.spec import DTYPES, Bound, Case, Input, Operator, Output
from toolchain.spec.cases import SHAPES, shape_name, values
from toolchain.spec.random import SEED, doubles


def reference(x, seed):
    return doubles(seed, x.size).reshape(x.shape) < x


def cases(dtypes, rng):
    for shape in SHAPES:
        for seed in (0, -7):
            x = values(rng, shape, "float32", -0.2, 1.2)
            yield Case(f"{shape_name(shape)}-{seed}", (x,), {"seed": seed})


KERNEL = Operator(
    collapse="own.plain",
    shapes=lambda call: [call.shape(0)],
    inputs=(Input("x", ""),),
    outputs=(Output(dtype=1),),
    attributes=(SEED,),
    dtypes=tuple(("float32", d) for d in DTYPES),
    stored_as={"int8": "uint8", "bool": "uint8"},
    source="bernoulli.c",
    reference=reference,
    cases=cases,
    bound=Bound(why="ones and zeros"),
)
