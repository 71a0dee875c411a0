"""Exact: shapes of operators whose kernels have the caller's rank (collapse_exact.c).

Sizes by name come from the inputs' axes, those of outputs from the operator's formulas.
"""

from __future__ import annotations

from functools import lru_cache

from toolchain.graph.calls import Call, Number, Shape
from toolchain.graph.formulas import compared, formulas
from toolchain.graph.sizes import Expression, Size, maximum

LIFTED_AXIS = 2  # of size 1, which images of one spatial axis lack


def exact(call: Call) -> list[Shape]:
    """Shapes of the outputs of a node whose collapse is "exact"."""
    lifted = _lifted(call)
    known = _sizes(call, lifted) | _attributes(call)
    known |= _compared(call, known)
    given = tuple((n, size, _bounds(size)) for n, size in known.items())
    outputs, fault = _evaluated(call.node.op, call.node.dtypes, given)
    if fault:
        raise call.fail(fault)
    full = len(call.operator.inputs[0].dims.split())
    shapes: list[Shape] = []
    for sizes in outputs:
        whole = list(sizes)
        if lifted is None and len(whole) == full:
            shapes.append(None)
            continue
        if lifted and len(whole) == full:
            del whole[LIFTED_AXIS]
        shapes.append(tuple(whole))
    return shapes


@lru_cache(maxsize=1 << 14)
def _evaluated(
    op: str, dtypes: tuple[str, ...], given: tuple[tuple[str, Size | None, object], ...]
) -> tuple[list[list[Size | None]], str]:
    """Sizes of the outputs, or what requirement does not hold.

    Networks repeat their layers, and each pass is verified.
    """
    found, known = formulas(op, dtypes), {n: size for n, size, _ in given}
    for condition, text in found.requirements:
        if condition(known) == 0:
            return [], text
    return [[formula(known) for formula in sizes] for sizes in found.outputs], ""


def _bounds(size: Size | None) -> object:
    """The bounds of all names in a size, which do not count where it is compared."""
    if not isinstance(size, Expression):
        return None
    atoms = [atom for factors, _ in size.terms for atom in factors]
    return tuple((a.bounds, *map(_bounds, a.arguments)) for a in atoms)


def _compared(call: Call, known: dict[str, Size | None]) -> dict[str, Size | None]:
    """What variables are in comparisons: a call has attributes in their limits."""
    least = {n: a.limits()[0] for a in call.operator.attributes for n in a.names()}
    return {
        compared(name): maximum(size, int(least[name]))
        if isinstance(size, Expression) and name in least
        else size
        for name, size in known.items()
    }


def _lifted(call: Call) -> bool | None:
    """Whether tensors lack an axis; None where no rank is known."""
    if "lift" not in call.rule:
        return False
    full = len(call.operator.inputs[0].dims.split())
    for i, tensor in enumerate(call.operator.inputs):
        shape = None if call.absent(i) else call.shape(i)
        if shape is not None and len(tensor.dims.split()) == full:
            return len(shape) == full - 1
    units = call.units
    return units < full - LIFTED_AXIS if units else None


def _sizes(call: Call, lifted: bool | None) -> dict[str, Size | None]:
    """The kernel's sizes; those of absent inputs are 1."""
    found: dict[str, Size | None] = {}
    full = len(call.operator.inputs[0].dims.split())
    for i, tensor in enumerate(call.operator.inputs):
        if call.absent(i):
            continue
        names = tensor.dims.split()
        lift = bool(lifted) and len(names) == full
        sizes = _canonical(call, i, len(names), lift)
        for axis, (name, size) in enumerate(zip(names, sizes, strict=True)):
            where = f"{name} of its inputs (axis {axis} of {tensor.name})"
            found[name] = call.same((found.get(name), size), where)
    return {name: found.get(name, 1) for name in call.operator.symbols()}


def _canonical(call: Call, i: int, rank: int, lift: bool) -> list[Size | None]:
    """The sizes of an input in the kernel's rank."""
    shape = call.shape(i)
    if shape is None:
        return [None] * rank
    if call.rule == "flat":
        return [call.count(shape)]
    lead = rank - lift - len(shape)
    if lead < 0 or (lead and "pad_left" not in call.rule):
        raise call.fail(
            f"{call.names[i]} has rank {len(shape)} but must have rank {rank - lift}"
        )
    sizes = [1] * lead + list(shape)
    if lift:
        sizes.insert(LIFTED_AXIS, 1)
    return sizes


def _attributes(call: Call) -> dict[str, Size | None]:
    """What the kernel gets of each attribute, by the names of its variables.

    As runtime_stub/attribute.c has it: a group that is shorter than the kernel's has
    the default in front.
    """
    found: dict[str, Number] = {}
    for attribute in call.operator.attributes:
        names = attribute.names()
        if not attribute.per_unit:
            found |= dict.fromkeys(names, call.number(attribute.name))
            continue
        preset = 0 if attribute.default is None else int(attribute.default)
        values = call.numbers(attribute.name)
        if values is None:
            found |= dict.fromkeys(names)
            continue
        groups = attribute.per_unit
        cells, given = len(names) // groups, len(values) // groups
        for at, name in enumerate(names):
            group, cell = divmod(at, cells)
            place = cell + given - cells
            found[name] = values[group * given + place] if place >= 0 else preset
    return {n: None if isinstance(v, float) else v for n, v in found.items()}
