"""Loop nests written as statements: the frame around them and what they are made of.

TE computes a tensor element by element; a nest stores elements in any order and calls
micro-kernels (toolchain/micro).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from toolchain.spec.tvm import Buffer, Expr, Schedule, Stmt, Tensor, te, tir
from toolchain.spec.tvm import script as T  # noqa: N812  # TVM's own name for it
from toolchain.targets import Target


def nest(
    shape: Sequence[Expr],
    inputs: Sequence[Tensor],
    emit: Callable[[list[Buffer], Buffer], None],
    dtype: str,
    name: str = "out",
) -> Tensor:
    """A tensor whose elements a loop nest computes: emit(input buffers, out)."""
    from tvm.script.ir_builder import IRBuilder

    def body(ins: list[Buffer], outs: list[Buffer]) -> Stmt:
        # A frame that holds several statements; the attribute itself says nothing.
        with IRBuilder() as builder, T.attr(tir.const(0, "int32"), "nest", "outer"):
            emit(ins, outs[0])
        return builder.get()

    buffers = [
        tir.decl_buffer(t.shape, t.dtype, t.op.name, layout=None) for t in inputs
    ]
    out = tir.decl_buffer(tuple(shape), dtype, name, layout=None)
    return te.extern(
        [tuple(shape)],
        list(inputs),
        body,
        name=name,
        in_buffers=buffers,
        out_buffers=[out],
    )


def as_written(schedule: Schedule, target: Target) -> None:
    """The schedule of an operator whose compute is a `nest`: there is none to add."""


def call(name: str, *arguments: Expr) -> None:
    """Call a micro-kernel."""
    T.evaluate(tir.call_extern("int32", name, *arguments))


def pointer(buffer: Buffer, indices: Sequence[Expr], mode: str) -> Expr:
    """Address of an element."""
    offset: Expr = 0
    for index, size in zip(indices, buffer.shape, strict=True):
        offset = offset * size + index
    return buffer.access_ptr(mode, offset=offset)


def ceil_div(a: Expr, b: Expr) -> Expr:
    """Smallest integer >= a / b, for a >= 0.

    Not by floordiv: TVM's LowerIntrin searches for a proof of signs, for seconds.
    """
    return tir.truncdiv(a + b - 1, b)


def materialized(value: Expr) -> Expr:
    """A variable with an index's value, through memory: LLVM makes a register of it.

    TVM puts a bound expression back wherever its variable is used, and simplifies it
    there in every pass, for seconds; a load it leaves alone.
    """
    if isinstance(value, int):
        return value
    cell = T.alloc_buffer((1,), str(value.expr_ty().dtype))
    T.buffer_store(cell, value, [0])
    return T.Bind(cell[0])


Paths = Sequence[tuple[Expr, Callable[[], None]]]  # what to emit, with its condition


def choose(paths: Paths, otherwise: Callable[[], None]) -> None:
    """Emit the first path whose condition holds."""
    if not paths:
        otherwise()
        return
    (condition, path), *rest = paths
    with T.If(condition):
        with T.Then():
            path()
        with T.Else():
            choose(rest, otherwise)
