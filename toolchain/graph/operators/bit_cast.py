"""out[i] = the bits of x[i] as another dtype of their width.

Source: ONNX BitCast-26; MindSpore BitCast.
"""

from toolchain.spec import Bound, Input, Operator, Output, pointwise, tir
from toolchain.spec.cases import unary

KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("x", "n"),),
    outputs=(Output(dtype=1),),
    dtypes=(
        *(("float32", "int32"), ("int32", "float32")),
        *(("float64", "int64"), ("int64", "float64")),
        *(("int8", "uint8"), ("uint8", "int8")),
    ),
    compute=pointwise(lambda k, x: tir.reinterpret(k.dtypes[1], x)),
    reference=lambda x, dtypes: x.astype(dtypes[0]).view(dtypes[1]),
    cases=unary(),
    bound=Bound(why="the same bits"),
)
