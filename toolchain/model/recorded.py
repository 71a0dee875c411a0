"""Recorded: the kernels of a node as the runtime calls it, their numbers constant.

Calls that differ by as many bytes from one to the next become one kernel that is run
several times.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import TypeAlias

from toolchain.dtypes import DTYPES
from toolchain.graph.graph import Node
from toolchain.graph.operators import operator
from toolchain.graph.record import Called, Copied, Place, Recording
from toolchain.model.elementwise import Strided
from toolchain.model.kernels import Batched, Instance

Kernel: TypeAlias = Instance | Batched | Strided
_PLANE = ("m", "n", "sm", "sn", "om")
# Elements from which planes are transposed by a kernel of 1.2 KB.
PLANE = 4096
# What moves elements of so many bytes.
_MOVED = {1: "uint8", 2: "int16", 4: "int32", 8: "int64"}


@dataclass(frozen=True)
class Run:
    """A kernel with its pointers: inputs, then outputs."""

    kernel: Kernel
    places: tuple[Place, ...]


def runs_of(node: Node, recording: Recording) -> list[Run]:
    """What a node does, as few runs as there can be."""
    known: dict[object, Instance] = {}
    found = operator(node.op)
    dtypes = found.stored(node.dtypes)

    def run(call: Called | Copied) -> Run:
        if isinstance(call, Copied):
            return moved(call.places, call.shape, call.strides, call.itemsize)
        key = call.numbers, call.columns
        if key not in known:
            numbers = dict(call.numbers)
            known[key] = Instance.of(node.op, numbers, dtypes, call.columns)
        return Run(known[key], call.places)

    return [_small(r) for r in folded(map(run, recording.calls))]


def _small(run: Run) -> Run:
    """Loops for a few elements of a transposed plane: the kernel has 1.2 KB."""
    kernel, axes = run.kernel, []
    while isinstance(kernel, Batched):
        axes.append((kernel.count, *kernel.strides))
        kernel = kernel.kernel
    assert isinstance(kernel, Instance)
    numbers = {name: int(n) for name, n in kernel.constants if name in _PLANE}
    if "om" not in numbers or numbers["sm"] != 1 or numbers["sn"] <= 1:
        return run
    size = DTYPES[kernel.dtypes[0]].bits // 8
    axes = [(n, source // size, result // size) for n, source, result in axes]
    axes += [(numbers["m"], 1, numbers["om"]), (numbers["n"], numbers["sn"], 1)]
    axes = sorted(axes, key=lambda axis: -axis[2])
    sizes, strides, steps = zip(*axes, strict=True)
    compact = all(s == prod(sizes[i + 1 :]) for i, s in enumerate(steps))
    if not compact or prod(sizes) >= PLANE or min(strides) < 0:
        return run
    return Run(Strided(kernel.dtypes[0], sizes, strides), run.places)


def folded(runs: Iterable[Run]) -> list[Run]:
    """Runs of one kernel that follow each other in equal steps are one, and so on."""
    left, before = list(runs), -1
    while len(left) != before:
        before = len(left)
        left = _once(left)
    return left


def _once(runs: list[Run]) -> list[Run]:
    found, at = [], 0
    while at < len(runs):
        end, steps = at + 1, None
        while end < len(runs):
            step = _step(runs[end - 1], runs[end])
            if step is None or steps not in (None, step):
                break
            steps, end = step, end + 1
        if steps is None:
            found.append(runs[at])
        else:
            kernel = runs[at].kernel
            assert not isinstance(kernel, Strided)
            kernel = Batched(kernel, end - at, steps)
            found.append(Run(kernel, runs[at].places))
        at = end
    return found


def _step(a: Run, b: Run) -> tuple[int, ...] | None:
    """Bytes from each pointer of a run to that of the next; None for another kernel."""
    if a.kernel != b.kernel:
        return None
    pairs = list(zip(a.places, b.places, strict=True))
    if any((x.kind, x.index) != (y.kind, y.index) for x, y in pairs):
        return None
    return tuple(y.offset - x.offset for x, y in pairs)


def moved(
    places: Sequence[Place],
    shape: Sequence[int],
    strides: Sequence[int],
    itemsize: int,
    pitch: int = 0,
) -> Run:
    """A copy of a view, by the kernel of transpose; strides in elements.

    pitch: elements from row to row of the result, along the first axis; 0: compact.
    """
    axes = _merged(shape, strides, pitch)
    if axes and axes[-1][2] != 1:  # rows of one element, a pitch apart
        axes.append((1, 1, 1))
    *outer, (n, sn, _) = axes or [(1, 1, 1)]
    second = next((a for a in outer[::-1] if a[1] == 1 and abs(sn) > 1), None)
    second = second or (outer[-1] if outer else (1, 0, 0))
    outer = [a for a in outer if a is not second]
    m, sm, om = second
    reach = [abs(s) * (size - 1) for size, s in zip(shape, strides, strict=True)]
    extent = max(sum(reach) + 1, prod(shape), pitch * (shape[0] if shape else 1))
    sizes = {"extent": extent, "m": m, "n": n, "sm": sm, "sn": sn, "om": om}
    kernel: Instance | Batched = Instance.of("transpose", sizes, (_MOVED[itemsize],))
    for size, source, result in reversed(outer):
        kernel = Batched(kernel, size, (source * itemsize, result * itemsize))
    return Run(kernel, tuple(places))


def _merged(
    shape: Sequence[int], strides: Sequence[int], pitch: int
) -> list[tuple[int, int, int]]:
    """Size, stride of the source and of the result of each axis, as few as possible."""
    steps = [prod(shape[i + 1 :]) for i in range(len(shape))]
    if pitch:
        steps[0] = pitch
    axes: list[tuple[int, int, int]] = []
    for size, source, result in zip(shape, strides, steps, strict=True):
        if size == 1:
            continue
        if axes and axes[-1][1:] == (source * size, result * size):
            axes[-1] = (axes[-1][0] * size, source, result)
        else:
            axes.append((size, source, result))
    return axes
