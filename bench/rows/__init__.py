"""Rows: what `doit bench` measures, with every goal, as data.

A row names a call of ours, the same computation in the peers' terms, what it is
counted in and what it is to reach. Inputs are made when a row is measured.
"""

from __future__ import annotations

from bench.errors import UnknownOperatorError
from bench.row import NCHW, NHWC, ORT_WEB, Goal, Row, both
from bench.rows.convolutions import CONVS, conv, depthwise
from bench.rows.elements import binary, unary
from bench.rows.movement import max_pool, resize, transpose
from bench.rows.products import integers, matmul
from bench.rows.reductions import REDUCTIONS, along_rows, reduce


def _elementwise() -> list[Row]:
    goals = (both("stream", 0.85), both("best peer", 1.0))
    found = []
    for count, label in ((1000, "1K"), (100_000, "100K"), (4_000_000, "4M")):
        for operator in ("add", "mul"):
            same = ((count,), (count,))
            found.append(binary(operator, same, label, goals))
            row = ((count // 100, 100), (100,))
            found.append(binary(operator, row, f"{label}, row-broadcast", goals))
        found.append(unary("relu", count, label, goals))
    return found


def _all() -> list[Row]:
    ahead = both("best peer", 1.0)
    packed = (Goal("ceiling", 0.85, 0.82, 0.92), Goal("best peer", 1.7, 1.2))
    per_call = (Goal("ceiling", 0.80, 0.78), Goal("best peer", 1.5, 1.15))
    odd = (Goal("ceiling", 0.75, 0.72), Goal("best peer", 1.4, 1.1))
    thin = both("best peer", 1.2)
    vector = Goal("stream", 0.80, 0.80, or_rate=25e9)
    nchw = (Goal("ceiling", 0.78, 0.75), Goal("best peer", 1.4, 1.15))
    nchw_1 = (Goal("ceiling", 0.75, 0.72), Goal("best peer", 1.35, 1.1))
    nhwc = (Goal("ceiling", 0.85, 0.80), Goal("best peer", 1.6, 1.2))
    four, two = (both("best peer", 4),), (both("best peer", 2.5),)
    five, rows = both(ORT_WEB, 5), both("best peer", 1.7)
    cubes = (256, 512, 1024)
    return [
        *(matmul((n, n, n), packed, packed=True) for n in cubes),
        *(matmul((n, n, n), per_call) for n in cubes),
        *(matmul(s, odd) for s in ((127, 251, 509), (1000,) * 3, (12, 128, 128, 64))),
        matmul((1, 1024, 1024), (vector, thin), packed=True),
        matmul((8, 768, 3072), (both("ceiling", 0.40), thin)),
        matmul((8, 768, 3072), (both("ceiling", 0.40), thin), packed=True),
        *(matmul((n, n, n), (ahead,)) for n in (16, 32, 64)),
        *(conv(c, False, nchw_1 if c[0] == "1" else nchw) for c in CONVS),
        *(conv(c, True, nhwc) for c in CONVS),
        *(
            depthwise(s, c, k, nhwc)
            for nhwc in (False, True)
            for s, c in ((56, 64), (112, 32))
            for k in (1, 2)
        ),
        binary("add", ((16,), (16,)), "16", (ahead,)),
        *_elementwise(),
        *(unary(f, 1_000_000, "1M", four) for f in ("exp", "tanh")),
        *(unary(f, 1_000_000, "1M", two) for f in ("sigmoid", "erf", "gelu")),
        *(
            along_rows(f, s, (rows, five) if f == "softmax" else (five,))
            for f in ("softmax", "layer_normalization", "rms_normalization")
            for s in ((1000, 1000), (12, 128, 128))
        ),
        *(
            reduce(f, *where)
            for f in REDUCTIONS
            for where in (
                ("last", (1000, 1000), 1),
                ("first", (1000, 1000), 0),
                ("middle", (100, 100, 100), 1),
            )
        ),
        transpose("1000×1000", (1000, 1000), (1, 0)),
        transpose("1024×1024", (1024, 1024), (1, 0)),
        transpose("NCHW→NHWC 56×56×64", (1, 64, 56, 56), NHWC),
        transpose("NHWC→NCHW 56×56×64", (1, 56, 56, 64), NCHW),
        max_pool(112, 64),
        resize(56, 64),
        *(integers(a, "int8", n) for a in ("uint8", "int8") for n in cubes),
    ]


ROWS = _all()


def select(names: list[str]) -> list[Row]:
    """Rows of the operators named; all for none. Errors: UnknownOperatorError."""
    known = sorted({row.operator for row in ROWS})
    if unknown := [n for n in names if n not in known]:
        raise UnknownOperatorError(
            f"operator {unknown[0]!r} has no row; use {', '.join(known)}, or models "
            "and their names"
        )
    return [row for row in ROWS if not names or row.operator in names]
