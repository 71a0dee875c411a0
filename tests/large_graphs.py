"""Graphs of many nodes, and the time that each pass over them takes.

python tests/large_graphs.py [--nodes N] [KIND ...] prints tables of seconds: of graphs
of known sizes as Relax, then (open_...) of graphs of any sizes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from toolchain.abi import MAX_SIZE
from toolchain.graph import graph as open_graph
from toolchain.graph import passes
from toolchain.graph.arena import arena_bytes
from toolchain.graph.builder import Builder
from toolchain.graph.emit import emit_model
from toolchain.graph.sizes import named
from toolchain.graph.verify import verify as verify_open
from toolchain.model.compile import program_of
from toolchain.model.emit import model_function
from toolchain.model.graph import Graph, from_relax
from toolchain.model.passes import to_kernels
from toolchain.model.verify import verify
from toolchain.targets import TARGETS

if TYPE_CHECKING:
    import tvm
    from tvm import relax

    Body = Callable[[relax.Expr], list[relax.Expr]]

RNG = np.random.default_rng(0)


class Writer:
    """A Relax module under construction."""

    def __init__(self) -> None:
        from tvm import relax

        self.relax, self.op = relax, relax.op
        self.build = relax.BlockBuilder()

    def const(self, *shape: int, dtype: str = "float32") -> relax.Expr:
        data = RNG.integers(-5, 6, shape)
        return self.relax.const(data.astype(dtype), dtype)

    def number(self, value: float, dtype: str = "float32") -> relax.Expr:
        return self.relax.const(np.array(value, dtype), dtype)

    def module(self, shape: tuple[int, ...], body: Body) -> tvm.IRModule:
        x = self.relax.Var("x", self.relax.TensorType(shape, "float32"))
        with self.build.function("main", [x]):
            with self.build.dataflow():
                results = [self.build.emit_output(v) for v in body(x)]
            self.build.emit_func_output(
                results[0] if len(results) == 1 else self.relax.Tuple(results)
            )
        return self.build.get()


def convolutions(n: int) -> tvm.IRModule:
    """Convolutions with a bias and ReLU, one after the other."""
    w = Writer()

    def body(x: relax.Expr) -> list[relax.Expr]:
        for _ in range(n // 3):
            x = w.build.emit(w.op.nn.conv2d(x, w.const(4, 4, 1, 1)))
            x = w.build.emit(w.op.add(x, w.const(1, 4, 1, 1)))
            x = w.build.emit(w.op.nn.relu(x))
        return [x]

    return w.module((1, 4, 6, 6), body)


def sums(n: int) -> tvm.IRModule:
    """Sums of the two before: values that live long are read again."""
    w = Writer()

    def body(x: relax.Expr) -> list[relax.Expr]:
        kept = [x]
        for i in range(n):
            kept.append(w.build.emit(w.op.add(kept[-1], kept[i // 2])))
        return [kept[-1]]

    return w.module((4, 16), body)


def products_(n: int) -> tvm.IRModule:
    """Products by weights, and by each other."""
    w = Writer()

    def body(x: relax.Expr) -> list[relax.Expr]:
        for _ in range(n // 3):
            y = w.build.emit(w.op.matmul(x, w.const(8, 8)))
            y = w.build.emit(w.op.add(y, w.const(8)))
            x = w.build.emit(w.op.matmul(y, x))
        return [x]

    return w.module((8, 8), body)


def quantized_(n: int) -> tvm.IRModule:
    """Layers in ONNX's QDQ form: integers, floats, a product, integers."""
    w = Writer()

    def body(x: relax.Expr) -> list[relax.Expr]:
        emit, op = w.build.emit, w.op
        x = _quantize(w, x)
        for _ in range(n // 16):
            a = _dequantize(w, x)
            b = _dequantize(w, w.const(4, 4, dtype="int8"))
            x = _quantize(w, emit(op.matmul(a, b)))
        return [_dequantize(w, x)]

    return w.module((4, 4), body)


def _dequantize(w: Writer, x: relax.Expr) -> relax.Expr:
    emit, op = w.build.emit, w.op
    wide = emit(op.astype(x, "int32"))
    zero = emit(op.astype(w.number(3, "int8"), "int32"))
    wide = emit(op.astype(emit(op.subtract(wide, zero)), "float32"))
    return emit(op.multiply(wide, w.number(0.1)))


def _quantize(w: Writer, x: relax.Expr) -> relax.Expr:
    emit, op = w.build.emit, w.op
    whole = emit(op.round(emit(op.divide(x, w.number(0.1)))))
    whole = emit(op.add(whole, emit(op.astype(w.number(3, "int8"), "float32"))))
    return emit(op.astype(emit(op.clip(whole, -128.0, 127.0)), "int8"))


def views(n: int) -> tvm.IRModule:
    """Shapes and axes that change again and again."""
    w = Writer()

    def body(x: relax.Expr) -> list[relax.Expr]:
        for _ in range(n // 3):
            x = w.build.emit(w.op.reshape(x, (2, 3, 4)))
            x = w.build.emit(w.op.permute_dims(x, [1, 0, 2]))
            x = w.build.emit(w.op.reshape(x, (4, 6)))
        return [x]

    return w.module((4, 6), body)


def fan(n: int) -> tvm.IRModule:
    """One value that all read; what they make is joined at the end."""
    w = Writer()

    def body(x: relax.Expr) -> list[relax.Expr]:
        emit, op = w.build.emit, w.op
        y = emit(op.nn.relu(x))
        parts = [emit(op.multiply(y, w.const(6))) for _ in range(n // 2)]
        while len(parts) > 1:
            pairs = zip(parts[::2], parts[1::2], strict=False)
            rest = parts[-1:] if len(parts) % 2 else []
            parts = [emit(op.add(a, b)) for a, b in pairs] + rest
        return parts

    return w.module((4, 6), body)


def nested(n: int) -> tvm.IRModule:
    """Values that are read in the opposite order: half of them live at once."""
    w = Writer()

    def body(x: relax.Expr) -> list[relax.Expr]:
        kept = [x]
        for _ in range(n // 2):
            kept.append(w.build.emit(w.op.nn.softmax(kept[-1])))
        x = kept.pop()
        while kept:
            x = w.build.emit(w.op.matmul(x, kept.pop()))
        return [x]

    return w.module((4, 4), body)


def constants(n: int) -> tvm.IRModule:
    """What depends on constants alone."""
    w = Writer()

    def body(x: relax.Expr) -> list[relax.Expr]:
        y = w.const(4, 4)
        for _ in range(n):
            y = w.build.emit(w.op.add(y, w.const(4)))
        return [w.build.emit(w.op.add(x, y))]

    return w.module((4, 4), body)


# -- graphs of any sizes --


class OpenWriter:
    """A graph of any sizes under construction. x: its input."""

    def __init__(self, *shape: int | str) -> None:
        names = [s for s in shape if isinstance(s, str)]
        sizes = tuple(named(s) if isinstance(s, str) else s for s in shape)
        self.x = open_graph.Value("x", "float32", sizes)
        bounds = dict.fromkeys(names, (0, MAX_SIZE))
        self.build = Builder(open_graph.Graph("g", [self.x], sizes=bounds))
        self.call = self.build.call

    def const(self, *shape: int) -> open_graph.Value:
        return self.build.constant(RNG.integers(-5, 6, shape), "float32")

    def graph(self, y: open_graph.Value) -> open_graph.Graph:
        self.build.graph.outputs = [y]
        return self.build.graph


def open_convolutions(n: int) -> open_graph.Graph:
    """Convolutions with a bias and ReLU, one after the other, over any image."""
    w = OpenWriter("batch", 4, "height", "width")
    x = w.x
    for _ in range(n // 3):
        x = w.call("conv", x, w.const(4, 4, 1, 1))
        x = w.call("relu", w.call("add", x, w.const(1, 4, 1, 1)))
    return w.graph(x)


def open_sums(n: int) -> open_graph.Graph:
    """Sums of the two before: values that live long are read again."""
    w = OpenWriter("rows", 16)
    kept = [w.x]
    for i in range(n):
        kept.append(w.call("add", kept[-1], kept[i // 2]))
    return w.graph(kept[-1])


def open_nested(n: int) -> open_graph.Graph:
    """Values that are read in the opposite order: half of them live at once."""
    w = OpenWriter("rows", 4, 4)
    kept = [w.x]
    for _ in range(n // 2):
        kept.append(w.call("softmax", kept[-1]))
    x = kept.pop()
    while kept:
        x = w.call("matmul", x, kept.pop())
    return w.graph(x)


def open_elements(n: int) -> open_graph.Graph:
    """Chains of elementwise nodes, of which each is read once."""
    w = OpenWriter("rows", 16)
    x = w.x
    for _ in range(n // 3):
        x = w.call("mul", w.call("tanh", x), w.const(16))
        x = w.call("add", x, w.const(1))
    return w.graph(x)


def open_views(n: int) -> open_graph.Graph:
    """Shapes that are taken apart and put together, as exporters do."""
    w = OpenWriter("rows", 24)
    x, rest = w.x, w.build.constant([4, 6], "int64")
    for _ in range(n // 4):
        rows = w.build.shape_of(x, 0, 1)
        x = w.build.reshape(x, w.call("concat", rows, rest, axis=0))
        x = w.build.reshape(w.call("transpose", x, perm=[0, 2, 1]), [-1, 24])
    return w.graph(x)


OPEN_KINDS = {
    "open_convolutions": open_convolutions,
    "open_sums": open_sums,
    "open_nested": open_nested,
    "open_elements": open_elements,
    "open_views": open_views,
}


def laps() -> tuple[Callable[[str], None], dict[str, float]]:
    """What ends a lap of a name, and the seconds of CPU time that each name took."""
    taken: dict[str, float] = {}
    start = time.process_time()

    def lap(name: str) -> None:
        nonlocal start
        now = time.process_time()
        taken[name] = taken.get(name, 0.0) + now - start
        start = now

    return lap, taken


def open_times(build: Callable[[], open_graph.Graph]) -> dict[str, float]:
    """Seconds of CPU time to build a graph, of each pass, and of what follows."""
    lap, taken = laps()
    graph = build()
    lap("build")
    for name, run in passes.PASSES.items():
        run(graph)
        graph.remove_dead()
        lap(name)
        verify_open(graph, name)
        lap("verify")
    graph.sizes = dict.fromkeys(graph.sizes, (0, 64))
    arena_bytes(graph)
    lap("arena")
    emit_model(graph)
    lap("emit")
    return taken


KINDS = {
    "convolutions": convolutions,
    "sums": sums,
    "products": products_,
    "quantized": quantized_,
    "views": views,
    "fan": fan,
    "nested": nested,
    "constants": constants,
}


def times(module: tvm.IRModule) -> dict[str, float]:
    """Seconds of CPU time that each pass takes, and that verifying takes."""
    lap, taken = laps()

    def after(graph: Graph, name: str) -> None:
        lap(name)
        verify(graph, name)
        lap("verify")

    graph = from_relax(module, "g", ["y"])
    graph = to_kernels(graph, module, TARGETS["simd128"], after=after)
    program = program_of(graph, external=False)
    lap("plan")
    model_function(program)
    lap("emit")
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND")
    parser.add_argument("--nodes", type=int, default=10000)
    options = parser.parse_args()
    head: list[str] = []
    for kind in options.kinds or [*KINDS, *OPEN_KINDS]:
        if kind in KINDS:
            found = times(KINDS[kind](options.nodes))
        else:
            found = open_times(partial(OPEN_KINDS[kind], options.nodes))
        if head != list(found):
            head = list(found)
            print(f"{'':18}" + "".join(f"{k:>11}" for k in found) + f"{'all':>8}")
        cells = "".join(f"{v:11.2f}" for v in found.values())
        print(f"{kind:18}{cells}{sum(found.values()):8.1f}", flush=True)


if __name__ == "__main__":
    main()
