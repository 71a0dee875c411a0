"""Integer powers by squaring; they wrap as two's complement.

A negative exponent gives the true value cut to an integer: 1^y = 1, (-1)^y = 1 or -1,
else 0, and 0 for 0.
"""

from typing import Any

from toolchain.spec import script, tir
from toolchain.spec.nest import nest


def powers(k: Any) -> Any:
    """The product of the squares x, x^2, x^4, ... that the bits of y choose.

    A loop nest: as bound expressions TVM would write squares of squares in full.
    """
    bits = int(k.dtype.removeprefix("int")) - 1
    zero, one, minus_one = (tir.const(v, k.dtype) for v in (0, 1, -1))

    def emit(ins: Any, out: Any) -> None:
        state = script.alloc_buffer((2,), k.dtype)
        total, square = state[0], state[1]
        with script.serial(0, k.n) as i:
            x, y = ins[0][i], ins[1][i]
            script.buffer_store(state, one, [0])
            script.buffer_store(state, x, [1])
            with script.serial(0, bits) as bit:
                odd = tir.NE((y >> bit.astype(k.dtype)) & one, zero)
                script.buffer_store(state, total * tir.Select(odd, square, one), [0])
                script.buffer_store(state, square * square, [1])
            unit = tir.Or(tir.EQ(x, one), tir.EQ(x, minus_one))
            turned = tir.Select(tir.NE(y & one, zero), x, one)
            below = tir.Select(unit, turned, zero)
            script.buffer_store(out, tir.Select(y < zero, below, total), [i])

    return nest((k.n,), k.inputs, emit, k.dtype)
