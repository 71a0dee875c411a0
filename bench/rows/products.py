"""Rows of matrix products."""

from __future__ import annotations

import math

import numpy as np
from ops_wasm32.convert import Array

from bench.row import (
    ORT_WEB,
    Case,
    Goal,
    Onnx,
    Ours,
    Pack,
    Row,
    Tfjs,
    byte_count,
    floats,
    in_float64,
)


def matmul(
    sizes: tuple[int, ...], goals: tuple[Goal, ...], packed: bool = False
) -> Row:
    """sizes: M, N, K, before them the batch."""
    *batch, m, n, k = sizes
    left, right = (*batch, m, k), (*batch, k, n)

    def make() -> Case:
        a, b = floats(left, right)
        operator, attributes, pack = "matmul", {}, None
        if packed:
            operator, pack = "matmul_packed", Pack("matmul_pack", 1)
            attributes = {"columns": n}
        return Case(
            Ours(operator, (a, b), attributes, pack),
            Onnx("MatMul", (a, b), constants=(1,) if packed else ()),
            Tfjs("matMul", (a, b), unpack=None if packed or batch else 1),
            lambda: a @ b,
            in_float64(np.matmul, a, b),
        )

    flop = 2 * math.prod(batch) * m * n * k
    cube = m == n == k
    label = f"{m}³" if cube else "×".join(map(str, sizes))
    return Row(
        f"matmul {label}" + (", weights packed ahead" if packed else ""),
        "matmul_packed" if packed else "matmul",
        make,
        goals,
        "flop",
        flop,
        flop,
        byte_count(left, right, (*batch, m, n)),
        ("read", 4 * k * n) if m == 1 else None,
        note="" if packed or batch else "packed per call",
    )


def integers(a: str, b: str, size: int) -> Row:
    """A product of 8-bit matrices of these dtypes, size × size."""

    def make() -> Case:
        rng = np.random.default_rng(size)
        left, right = (
            rng.integers(np.iinfo(d).min, np.iinfo(d).max + 1, (size, size)).astype(d)
            for d in (a, b)
        )
        theirs: tuple[Array, ...] = (left, right)
        if a == "int8":
            # Its fast kernels take uint8 on the left: 80 Gop/s against 5.
            shifted = (left.astype(np.int16) + 128).astype(np.uint8)
            theirs = (shifted, right, np.array(128, np.uint8))
        return Case(
            Ours("matmul_integer", (left, right)),
            Onnx("MatMulInteger", theirs, constants=tuple(range(2, len(theirs)))),
            reference=in_float64(np.matmul, left, right),
            tolerance=0,
        )

    work = 2 * size**3
    return Row(
        f"matmul_integer {a}×{b} {size}³",
        "matmul_integer",
        make,
        (Goal(ORT_WEB, 1.4, 1.15),),
        "int8",
        work,
        work,
        2 * size * size + 4 * size * size,
        note="ONNX Runtime: uint8 with zero point 128" if a == "int8" else "",
    )
