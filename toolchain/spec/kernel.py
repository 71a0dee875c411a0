"""What a compute function gets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from toolchain.spec.tvm import Expr, Tensor
from toolchain.targets import Target


class Kernel:
    """An operator for one target and dtype: its inputs, sizes and attributes by name.

    `k.x` is the tensor of Input("x", ...), `k.n` the size n of some input, `k.alpha`
    the attribute of that name (a list if it has several values). dtypes: of the
    operator's variant. dtype: of its first tensor, and output_dtypes: of its outputs,
    as memory has them (bool is uint8). toolchain/lower/te.py makes it.
    """

    target: Target
    dtypes: tuple[str, ...]
    dtype: str
    output_dtypes: list[str]
    inputs: list[Tensor]

    if TYPE_CHECKING:

        def index(self, value: int) -> Expr:
            """A constant of the dtype that sizes have."""

        def __getattr__(self, name: str) -> Any: ...
