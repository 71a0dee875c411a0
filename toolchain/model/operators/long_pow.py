"""out[i] = a[i] ^ b[i] of int64, as kernels/pow.py has it for shorter integers.

Source: ONNX Pow-15.
"""

from typing import Any

from toolchain.spec import Input, Operator
from toolchain.spec.nest import as_written
from toolchain.spec.powers import powers


def reference(a: Any, b: Any) -> Any:
    """Models verify it: an operator of its own it is not."""
    raise NotImplementedError


KERNEL = Operator(
    collapse="elementwise.broadcast",
    inputs=(Input("a", "n"), Input("b", "n")),
    dtypes=("int64",),
    compute=powers,
    schedule=as_written,
    reference=reference,
    cases=lambda dtypes, rng: (),
)
