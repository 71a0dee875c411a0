"""Micro-kernels that pack rows into panels."""

from __future__ import annotations

from microkernels import At, In, Kernel, Out, Suite, in_turn, integers

from toolchain.spec.microkernels import PACK, SPLAT

SUITE = Suite(
    simd=(
        *(f"micro_pack_4_{width}" for width in (4, 6, 8)),
        "micro_pack_2_6",
        "micro_splat_4",
    ),
    scalar=("micro_pack_1_2", "micro_pack_1_8"),
)


@SUITE.each("micro_(pack|splat)")
def test_packing(kernel: Kernel) -> None:
    rows, width = shape_of(kernel.name)
    lanes = kernel.lanes if SPLAT.parse(kernel.name) else 1
    rng = kernel.rng
    jumps = (0, 20, 4)
    cases = [(d, r) for d in (0, 1, 2, 3, 4, 5, 7, 8, 9, 31) for r in (1, 2, 5)]
    for (depth, runs), jump in in_turn(cases, jumps):
        places = [0, *rng.integers(-9, 9, rows - 1)]
        first, last = min(places), max(places)
        size = last - first + (runs - 1) * jump // 4 + depth
        source = integers(rng, size, "int32")
        before = integers(rng, (runs * depth, width, lanes), "int32")
        want = before.copy()
        for r in range(runs):
            for i, place in enumerate(places):
                at = place - first + r * jump // 4
                values = source[at : at + depth]
                want[r * depth : (r + 1) * depth, i] = values[:, None]
        end = max(before.size - (width - rows) * lanes, 0)
        out = Out(before.reshape(-1)[:end], want.reshape(-1)[:end])
        sizes = (depth, runs, jump, *(int(p) * 4 for p in places[1:]))
        kernel.check(At(In(source), -first), out, *sizes)


def shape_of(name: str) -> tuple[int, int]:
    """Rows that are packed together, and columns of the panel."""
    if values := PACK.parse(name):
        return int(values[0]), int(values[1])
    (width,) = SPLAT.parse(name) or ()
    return int(width), int(width)
