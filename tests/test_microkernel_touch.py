"""Micro-kernel that reads ahead."""

from __future__ import annotations

import numpy as np
from microkernels import In, Kernel, Out, Suite

from toolchain.micro.touch import LINE
from toolchain.tuning.table import TABLE

SUITE = Suite(("micro_touch",), ("micro_touch",))
STEP = TABLE["touch.step"].value


@SUITE.each("micro_touch")
def test_touch(kernel: Kernel) -> None:
    for size in (STEP, STEP + 1, STEP + 4, 2 * STEP - 1, 2 * STEP, 5 * STEP + 60):
        x = kernel.rng.integers(0, 256, size, "uint8")
        blocks = [min(k, size - STEP) for k in range(0, size, STEP)]
        places = [k + line for k in blocks for line in range(0, STEP, LINE)]
        words = [x[p : p + 4].copy().view("int32") for p in places]
        want = np.bitwise_xor.reduce(words)
        kernel.check(In(x), Out(np.full(1, 7, "int32"), want), size)
