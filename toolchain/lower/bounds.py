"""Bounds: what a compute divides, shifts and indexes by is proved to be in its range.

No call may trap or read outside its tensors, whatever its arguments. So each integer
division, shift and read of a `te.compute` must be right for all sizes, elements, and
attributes that the runtime lets pass; an operator for which that is not so is refused.
Known are the ranges of sizes and attributes, what `requires` says, the loops around an
expression, and the conditions of if_then_else. Statements of a te.extern are looked
into where a user's file computes (see `nests`); what nests of this project need, their
author says in `requires`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from types import FrameType
from typing import Any

from toolchain.lower.nests import NestChecker
from toolchain.lower.proofs import Checker, Fault
from toolchain.lower.terms import LOAD, constant, is_call, kind_of
from toolchain.profile import ROOT
from toolchain.spec import Attribute, Operator, SpecError
from toolchain.spec.tvm import Expr, Tensor


def check_bounds(
    operator: Operator, kernel: Any, form: Callable[[Any], Any], outputs: list[Tensor]
) -> bool:
    """SpecError where a call could trap or read outside, with its line and advice.

    Gives whether a quotient is right only inside of the loops and conditions around it:
    TVM's common subexpressions would take it out of them.
    """
    checker, fault = _first_fault(operator, kernel, form, outputs)
    if fault is not None:
        line = _line_of(operator, kernel, form)
        raise SpecError(f"line {line}: {fault.text}" if line else fault.text)
    return checker.inside


def _first_fault(
    operator: Operator, kernel: Any, form: Callable[[Any], Any], outputs: list[Tensor]
) -> tuple[Checker, Fault | None]:
    """The first fault, and the checker as it is then."""
    in_place = operator.collapse.startswith("elementwise")
    attributes = kernel.variables.values()
    checker = NestChecker([*_known(operator, kernel)], attributes, in_place)
    faults = [checker.tensors(outputs)]
    if not _is_ours(form):
        faults.append(checker.nests(outputs))
    return checker, next(chain.from_iterable(faults), None)


def _is_ours(form: Callable[[Any], Any]) -> bool:
    """Whether a function of an operator is defined in a file of this project."""
    of = getattr(form, "func", form)  # of a partial
    file = Path(str(getattr(of, "__globals__", {}).get("__file__", "")))
    return any(
        file.is_relative_to(ROOT / folder) for folder in ("kernels", "toolchain")
    )


def _known(operator: Operator, kernel: Any) -> Iterator[Expr]:
    """Conditions that hold for every call."""
    yield from _ranges(operator, kernel)
    if operator.asked and operator.requires is not None:
        yield from (condition for condition, _ in operator.requires(kernel))


def _ranges(operator: Operator, kernel: Any) -> Iterator[Expr]:
    """What the runtime sees to: sizes are not negative, attributes in their ranges."""
    for size in kernel.size_variables.values():
        yield size >= 0
    for attribute in operator.attributes:
        if attribute.kind == "int" and not attribute.unbounded:
            low, high = map(int, limits(attribute))
            for name in attribute.names():
                if name in kernel.variables:
                    variable = kernel.variables[name]
                    yield variable >= constant(low, variable)
                    yield variable <= constant(high, variable)


def limits(attribute: Attribute) -> tuple[float, float]:
    """The least and greatest value in a kernel; of a list, also of missing entries."""
    least, most = attribute.limits()
    if attribute.per_unit:
        missing = attribute.default or 0.0
        least, most = min(least, missing), max(most, missing)
    return least, most


def _line_of(operator: Operator, kernel: Any, form: Callable[[Any], Any]) -> int | None:
    """The line of an operator's file that makes its first fault; None: not known."""
    made: list[tuple[Any, int]] = []

    def watch(frame: FrameType, event: str, result: object) -> None:
        if event == "return" and (
            hasattr(result, "same_as") or kind_of(result) == "TensorSlice"
        ):
            at: FrameType | None = frame
            while at is not None and not _is_operator(at):
                at = at.f_back
            if at is not None:
                made.append((result, at.f_lineno))

    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        outputs = form(kernel)
    finally:
        sys.setprofile(before)
    found = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
    _, fault = _first_fault(operator, kernel, form, found)
    if fault is None:
        return None
    return next((line for e, line in made if _makes(e, fault.node)), None)


def _makes(made: Any, node: Expr) -> bool:
    """Whether what Python made is a node, or a read that becomes the node later."""
    if kind_of(made) != "TensorSlice":
        return bool(node.same_as(made))
    if not is_call(node, LOAD) or not node.args[0].same_as(made.tensor):
        return False
    pairs = zip(node.args[1:], made.indices, strict=True)
    return all(
        index.same_as(given) if hasattr(given, "same_as") else int(index) == given
        for index, given in pairs
        if hasattr(given, "same_as") or isinstance(given, int)
    )


def _is_operator(frame: FrameType) -> bool:
    """Whether a frame is of an operator's file; see codegen/objects.py."""
    return str(frame.f_globals.get("__name__", "")).startswith("_operator_")
