"""Nests: what statements of a te.extern read, store and divide by is proved.

Of operators of users alone: nests of this project call micro-kernels, which get
addresses, and are tested case by case. A statement of a kind that is not known here is
refused, as is an address that goes to a function other than a micro-kernel or one of
toolchain.spec.math.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from toolchain.lower.proofs import Checker, Fault
from toolchain.lower.terms import (
    constant,
    dtype_of,
    is_call,
    key_of,
    kind_of,
    made_by,
    name_of,
    negated,
)
from toolchain.spec import math
from toolchain.spec.tvm import Buffer, Expr, Stmt, Tensor, Var, tir

_Condition = Callable[[Expr], Expr]
_OURS = ("micro_", math.SYMBOL)  # micro-kernels, functions of arrays
_LOAD = "TensorLoad"  # of a buffer
_ADDRESSES = ("tvm_access_ptr", "address_of")
_EXTERN = ("call_extern", "call_pure_extern")


class NestChecker(Checker):
    """Proves nests. in_place: whether an output may be an input's memory."""

    def __init__(
        self, known: list[Expr], attributes: Iterable[Var], in_place: bool
    ) -> None:
        super().__init__(known, attributes)
        self.in_place = in_place
        self.inputs: set[Any] = set()  # buffers
        self.read: list[tuple[Expr, Expr]] = []  # loads of them, their variables

    def nests(self, outputs: list[Tensor]) -> Iterator[Fault]:
        """Faults of all te.extern that outputs are made of."""
        for tensor in made_by(outputs, "ExternOp"):
            op = tensor.op
            # What is read is as its tensor: TVM checks that.
            for buffer in op.output_placeholders:
                yield from self._declared(buffer)
            self.inputs = {key_of(b) for b in op.input_placeholders}
            yield from self._statement(op.body)

    def _declared(self, buffer: Buffer) -> Iterator[Fault]:
        """Elements lie one after the other, from the output's start."""
        if (
            buffer.strides
            or kind_of(buffer.elem_offset) != "IntImm"
            or int(buffer.elem_offset)
        ):
            yield Fault(
                buffer, f"{buffer.name} has strides or an offset; declare it without"
            )

    def _statement(self, s: Stmt) -> Iterator[Fault]:
        kind = kind_of(s)
        if kind == "SeqStmt":
            for each in s.seq:
                yield from self._statement(each)
        elif kind == "For":
            yield from self._for(s)
        elif kind == "IfThenElse":
            yield from self._if(s)
        elif kind == "BufferStore":
            yield from self._store(s)
        elif kind == "Bind":
            yield from self.faults(s.value)
            self.values[key_of(s.var)] = self._plain(s.value)
        elif kind == "AttrStmt":
            yield from self.faults(s.value)
            yield from self._statement(s.body)
        elif kind == "AllocBuffer":
            for size in s.buffer.shape:
                yield from self.faults(size)
        elif kind == "Evaluate":
            yield from self.faults(s.value)
        else:
            yield Fault(s, f"nothing is known of the statement {kind}; use T.serial")

    def _store(self, s: Stmt) -> Iterator[Fault]:
        yield from self.faults(s.value)
        for index in s.indices:
            yield from self.faults(index)
        name = s.buffer.name or "a buffer"
        yield from self._access(f"stores {name}", s.buffer, s.indices, s.value)
        if key_of(s.buffer) in self.inputs:
            yield Fault(s.value, f"it stores to {name}, an input; store to the output")

    def _for(self, s: Stmt) -> Iterator[Fault]:
        yield from self.faults(s.min)
        yield from self.faults(s.extent)
        if s.step is not None:
            yield Fault(s.extent, "a loop has a step; multiply its variable instead")
        with self._loop(s.loop_var, s.min, s.extent):
            yield from self._statement(s.body)

    def _if(self, s: Stmt) -> Iterator[Fault]:
        yield from self.faults(s.condition)
        holds = self._plain(s.condition)
        for known, body in ((holds, s.then_case), (negated(holds), s.else_case)):
            if body is not None:
                with self._where(known):
                    yield from self._statement(body)

    @contextmanager
    def _where(self, condition: Expr) -> Iterator[None]:
        self.known.append((condition, True))
        yield
        self.known.pop()

    def faults(self, e: Expr) -> Iterator[Fault]:
        """The same, with loads from buffers and calls that get their addresses."""
        if kind_of(e) == _LOAD:
            for index in e.indices:
                yield from self.faults(index)
            yield from self._access(
                f"reads {e.source.name or 'a buffer'}", e.source, e.indices, e
            )
            return
        if kind_of(e) == "Call":
            yield from self._call(e)
        yield from super().faults(e)

    def _call(self, e: Expr) -> Iterator[Fault]:
        name = name_of(e)
        if name in _EXTERN and str(e.args[0].value).startswith(_OURS):
            return
        for argument in e.args:
            if any(is_call(argument, name) for name in _ADDRESSES):
                yield Fault(
                    e,
                    f"{name} gets an address, and what it reads there is not known; "
                    "read elements by their indices",
                )

    def _access(
        self, does: str, buffer: Buffer, indices: Sequence[Expr], node: Expr
    ) -> Iterator[Fault]:
        """An access inside of its buffer. node: what was made on the same line."""
        lacking: list[str] = []
        for index, size in zip(indices, buffer.shape, strict=True):
            lacking += self._lacking(index, size)
        if lacking:
            places = ", ".join(map(self._shown, indices))
            yield Fault(
                node,
                f"it {does}[{places}], where {' and '.join(lacking)} may not hold; do "
                f"so in T.If(tir.all({', '.join(lacking)})), or state in requires what "
                "makes it hold",
            )

    def _lacking(self, index: Expr, size: Expr) -> list[str]:
        """The conditions for an index that are not proved."""
        place, end = self._plain(index), self._plain(constant(0, index) + size)
        tests: Sequence[tuple[str, _Condition, int]] = (
            (">= 0", partial(operator.le, constant(0, place)), -1),
            (f"< {self._shown(size)}", partial(operator.gt, end), 1),
        )
        shown = self._shown(index)
        return [f"{shown} {t}" for t, test, side in tests
                if not self._holds(place, test, side)]  # fmt: skip

    def _unknown(self, e: Expr) -> Expr:
        """A load is what it was where its buffer and indices are the same."""
        if kind_of(e) != _LOAD:
            return super()._unknown(e)
        from tvm_ffi import structural_equal

        place = tir.BufferLoad(e.source, [self._plain(i) for i in e.indices])
        same = key_of(e.source) in self.inputs and not self.in_place
        for before, variable in self.read if same else ():
            if structural_equal(before, place):
                return variable
        places = ", ".join(map(self._shown, e.indices))
        variable = self._named(f"{e.source.name}[{places}]", dtype_of(e))
        self.read += [(place, variable)] * same
        return variable
