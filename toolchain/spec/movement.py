"""Loops that only move elements: strided views, and the operators built on them.

Every operator of this kind has a kernel for each width of elements (`SAME_WIDTH`).
"""

from __future__ import annotations

from typing import Any

from toolchain.spec import SAME_WIDTH, Attribute, Input, Operator, Output, tir
from toolchain.spec import script as T  # noqa: N812  # TVM's own name for it
from toolchain.spec.panels import as_written, ceil_div, nest

ALL = ("float32", "int32", "int8", "uint8", "int64", "bool")
# Shorter rows go in tiles: a memory.copy for each takes longer (wasmtime).
SHORT_ROW = 16
# Elements of a tile: 32 lines of 64 bytes stay in L1 while a transpose crosses them.
TILE = 32


def view(k: Any) -> Any:
    """out[b, m, n] = x[b * sb + m * sm + n * sn], as collapse_view.c calls it.

    Rows of the output that are contiguous in x are copied, those of one element
    are filled, and the rest goes in tiles, since it may be a transpose.
    """

    def emit(inputs: list[Any], out: Any) -> None:
        (x,) = inputs

        def row(b: Any, m: Any) -> Any:
            return b * k.sb + m * k.sm

        def by_rows(step: int) -> None:
            with T.serial(0, k.b) as b, T.serial(0, k.m) as m, T.serial(0, k.n) as n:
                T.buffer_store(out, x[row(b, m) + n * step], [b, m, n])

        def by_tiles() -> None:
            with (
                T.serial(0, k.b) as b,
                T.serial(0, ceil_div(k.m, TILE)) as mt,
                T.serial(0, ceil_div(k.n, TILE)) as nt,
                T.serial(0, tir.min(k.m - mt * TILE, TILE)) as mi,
                T.serial(0, tir.min(k.n - nt * TILE, TILE)) as ni,
            ):
                m, n = mt * TILE + mi, nt * TILE + ni
                T.buffer_store(out, x[row(b, m) + n * k.sn], [b, m, n])

        with T.If(tir.And(k.sn == 1, k.n >= SHORT_ROW)):
            with T.Then():
                by_rows(1)
            with T.Else(), T.If(k.sn == 0):
                with T.Then():
                    by_rows(0)
                with T.Else():
                    by_tiles()

    return nest((k.b, k.m, k.n), [k.x], emit, k.dtype)


def view_operator(
    rule: str,
    attributes: tuple[Attribute, ...],
    outputs: tuple[Output, ...] = (Output(),),
    **rest: Any,
) -> Operator:
    """An operator whose output is a view of its input, by a rule of collapse_view.c."""
    return Operator(
        collapse=f"view.{rule}",
        inputs=(Input("x", "extent"),),
        outputs=outputs,
        sizes=("b", "m", "n", "sb", "sm", "sn"),
        attributes=attributes,
        dtypes=ALL,
        carriers=SAME_WIDTH,
        kernels="view",
        compute=view,
        schedule=as_written,
        **rest,
    )
