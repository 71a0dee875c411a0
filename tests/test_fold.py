"""What numpy folds of a model's graph, beside what kernels compute."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from large_graphs import Writer

from toolchain.model.fold import FUNCTIONS, fold_constants
from toolchain.model.graph import from_relax
from toolchain.model.verify import verify

if TYPE_CHECKING:
    from tvm import relax


def _foldable(w: Writer) -> dict[str, relax.Expr]:
    """A call of every function of fold, over constants."""
    op, rng = w.op, np.random.default_rng(0)
    x = w.relax.const(rng.standard_normal((3, 4)).astype("float32") * 3)
    y = w.relax.const(rng.standard_normal((4,)).astype("float32") * 3)
    p = w.relax.const(rng.uniform(0.1, 9, (3, 4)).astype("float32"))
    i = w.relax.const(np.array([[7, -7, 6], [0, -5, 9]], "int32"))
    j = w.relax.const(np.array([2, 2, -4], "int32"))
    b = w.relax.const(np.array([True, False, True, True]))
    indices = w.relax.const(np.array([2, 0], "int64"))
    pairs: tuple[str, ...] = (
        "add",
        "subtract",
        "multiply",
        "divide",
        "maximum",
        "minimum",
        "equal",
    )
    pairs += ("not_equal", "less", "less_equal", "greater", "greater_equal")
    calls: dict[str, relax.Expr] = {n: getattr(op, n)(x, y) for n in pairs}
    calls |= {f"{n}:int32": getattr(op, n)(i, j) for n in pairs}
    whole = ("abs", "negative", "floor", "ceil", "round", "exp", "tanh", "sigmoid")
    calls |= {n: getattr(op, n)(x) for n in whole}
    calls |= {n: getattr(op, n)(p) for n in ("sqrt", "rsqrt", "log")}
    for name in ("sum", "mean", "max", "min"):
        calls[name] = getattr(op, name)(x, axis=[1], keepdims=True)
        calls[f"{name}:all"] = getattr(op, name)(x)
    calls |= {
        "nn.relu": op.nn.relu(x),
        "clip": op.clip(x, -1.0, 1.0),
        "astype": op.astype(x, "int32"),
        "astype:float": op.astype(i, "float32"),
        "astype:narrow": op.astype(w.relax.const(np.array([300, -1], "int32")), "int8"),
        "where": op.where(b, x, y),
        "logical_and": op.logical_and(b, op.logical_not(b)),
        "logical_or": op.logical_or(b, op.logical_not(b)),
        "logical_not": op.logical_not(b),
        "reshape": op.reshape(x, (2, 6)),
        "expand_dims": op.expand_dims(x, 1),
        "squeeze": op.squeeze(op.reshape(x, (3, 1, 4)), 1),
        "flatten": op.flatten(x),
        "permute_dims": op.permute_dims(x),
        "permute_dims:axes": op.permute_dims(op.reshape(x, (2, 3, 2)), [2, 0, 1]),
        "broadcast_to": op.broadcast_to(y, (2, 4)),
        "zeros": op.zeros((2, 3), "float32"),
        "ones": op.ones((2, 3), "int64"),
        "zeros_like": op.zeros_like(x),
        "ones_like": op.ones_like(x),
        "concat": op.concat([x, p], 1),
        "strided_slice": op.strided_slice(x, [1, 0], [3, 1], [0, 3], [-2, 1]),
        "strided_slice:plain": op.strided_slice(x, [-1], [-3], [100]),
        "take": op.take(x, indices, 0),
        "take:all": op.take(y, indices),
        "matmul": op.matmul(x, op.permute_dims(p)),
        "matmul:int32": op.matmul(i, j),
    }
    return calls


def test_what_numpy_folds_is_what_kernels_compute() -> None:
    import tvm
    from tvm import relax

    w = Writer()
    calls = _foldable(w)
    assert {n.partition(":")[0] for n in calls} == FUNCTIONS.keys()
    with w.build.function("main", []):
        with w.build.dataflow():
            made = [w.build.emit_output(w.build.emit(c)) for c in calls.values()]
        w.build.emit_func_output(w.relax.Tuple(made))
    module = w.build.get()
    graph = from_relax(module, "g", list(calls))
    native = relax.VirtualMachine(tvm.compile(module, target="llvm"), tvm.cpu())
    wanted = [t.numpy() for t in native["main"]()]
    fold_constants(graph)
    assert not graph.nodes
    for name, value, want in zip(calls, graph.outputs, wanted, strict=True):
        assert value.data is not None
        assert (want.shape, want.dtype) == (value.data.shape, value.data.dtype), name
        if want.dtype == np.float32:
            np.testing.assert_array_max_ulp(value.data, want, 16)
        else:
            np.testing.assert_array_equal(value.data, want, name)


def test_what_numpy_does_not_know_stays() -> None:
    w = Writer()

    def body(x: relax.Expr) -> list[relax.Expr]:
        image = w.build.emit(w.op.nn.conv2d(w.const(1, 2, 3, 3), w.const(2, 2, 1, 1)))
        none = w.build.emit(
            w.op.divide(w.const(2, dtype="int32"), w.number(0, "int32"))
        )
        known = w.build.emit(w.op.add(w.const(2), w.const(2)))
        return [image, none, w.build.emit(w.op.add(x, known))]

    graph = from_relax(w.module((2,), body), "g", ["a", "b", "c"])
    fold_constants(graph)
    assert ["nn.conv2d", "divide", "add"] == [n.op for n in graph.nodes]
    verify(graph, "fold")
