"""out[m, n] = sum_k a[m, k] * b[k, n], numpy's matmul over any batch axes.

Shapes: a [..., M, K], b [..., K, N]; batch axes broadcast, a 1-D a (b) is a row
(column) that leaves the result.
Dtypes: float32 adds up in float32.
Edges: K = 0 gives 0; NaN and infinity propagate as the products have them.
Source: ONNX MatMul-13; MindSpore MatMul, BatchMatMul.
"""

from toolchain.spec import Bound, Input, Operator
from toolchain.spec.panels import Product, as_written, nest, pack_lines, pack_units, panels


def compute(k):
    def emit(ins, out):
        a, b = ins
        Product(
            panels(k, "f32"),
            k.M,
            k.K,
            k.N,
            pack_lines(a, k.K, k.target),
            pack_units(lambda j, kk: b[kk, j]),
            out,
            lambda i, j: [i, j],
            k.N,
        ).emit()

    return nest((k.M, k.N), [k.a, k.b], emit, "float32")


KERNEL = Operator(
    collapse="matmul.plain",
    inputs=(Input("a", "M K"), Input("b", "K N")),
    dtypes=("float32",),
    compute=compute,
    schedule=as_written,
    reference=lambda a, b: a @ b,
    cases=None,
    bound=Bound(ulp=0.5, why="one rounding"),
)
