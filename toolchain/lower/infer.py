"""Infer: the output sizes of a TE definition become a small function.

The operator's compute is evaluated over int64 sizes; its output shapes and its
requirements are translated to LLVM IR. They are not written a second time.
"""

from __future__ import annotations

from llvmlite import ir

from toolchain.abi import SLOT_BYTES
from toolchain.lower.bounds import limits
from toolchain.lower.te import Kernel
from toolchain.lower.terms import DIVISIONS
from toolchain.micro.builder import I1, I8, I32, I64, PTR
from toolchain.spec import Operator, SpecError
from toolchain.spec.tvm import Expr, Tensor
from toolchain.targets import Target

NO_SYMBOL = 255  # a size that is computed, in ops_param.dims
_COMPARE = {"EQ": "==", "NE": "!=", "LT": "<", "LE": "<=", "GT": ">", "GE": ">="}


def needs_infer(operator: Operator) -> bool:
    """Whether the runtime asks the TE definition for output sizes."""
    return operator.asked


def _requirements(operator: Operator, kernel: Kernel) -> list[tuple[Expr, str]]:
    return operator.requires(kernel) if operator.requires else []


def requirement_texts(
    operator: Operator, variant: tuple[str, ...], target: Target
) -> list[str]:
    """Texts of the requirements, in the order of their numbers."""
    if not needs_infer(operator) or operator.requires is None:
        return []
    kernel = Kernel(operator, variant, target, index_dtype="int64")
    return [text for _, text in _requirements(operator, kernel)]


def output_dims(
    operator: Operator, variant: tuple[str, ...], target: Target
) -> list[list[int]]:
    """For each axis of each output the number of its size, or NO_SYMBOL.

    Empty lists where the runtime does not ask the TE definition.
    """
    if not needs_infer(operator) or operator.compute is None:
        return [[] for _ in operator.outputs]
    kernel = Kernel(operator, variant, target, index_dtype="int64")
    numbers = {name: i for i, name in enumerate(kernel.size_variables)}
    return [
        [numbers.get(getattr(size, "name", ""), NO_SYMBOL) for size in tensor.shape]
        for tensor in _outputs(operator, kernel)
    ]


def _outputs(operator: Operator, kernel: Kernel) -> list[Tensor]:
    assert operator.compute is not None
    outputs = operator.compute(kernel)
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


def infer_function(
    name: str, operator: Operator, variant: tuple[str, ...], target: Target
) -> str | None:
    """IR of `i32 infer_<name>(ptr slots)`, see ops_family.infer; or None."""
    if not needs_infer(operator) or operator.compute is None:
        return None
    kernel = Kernel(operator, variant, target, index_dtype="int64")
    outputs = _outputs(operator, kernel)
    first = len(operator.inputs)
    offset = first + len(outputs)
    names = [*kernel.size_variables, *kernel.variables]
    module = ir.Module(name)
    function = ir.Function(module, ir.FunctionType(I32, [PTR]), f"infer_{name}")
    builder = ir.IRBuilder(function.append_basic_block())
    slots = function.args[0]
    place = {n: offset + i for i, n in enumerate(names)}
    positive = {
        name
        for attribute in operator.attributes
        if attribute.kind == "int" and limits(attribute)[0] >= 1
        for name in attribute.names()
    }
    emitter = _Emitter(builder, slots, place, positive)
    address = builder.gep(
        slots, [ir.Constant(I32, SLOT_BYTES * first)], True, source_etype=I8
    )
    target_pointer = builder.load(address, typ=PTR)
    status = ir.Constant(I64, 0)
    requirements = _requirements(operator, kernel)
    for number, (condition, _) in reversed(list(enumerate(requirements, 1))):
        holds = emitter.value(condition)
        status = builder.select(holds, status, ir.Constant(I64, number))
    sizes = [emitter.value(s) for t in outputs for s in t.shape]
    for i, value in enumerate([status, *sizes]):
        place_i = builder.gep(target_pointer, [ir.Constant(I32, i)], source_etype=I64)
        builder.store(value, place_i)
    builder.ret(ir.Constant(I32, 0))
    return str(module)


class _Emitter:
    """Translates integer expressions of TIR to int64 IR."""

    def __init__(
        self,
        builder: ir.IRBuilder,
        slots: ir.Value,
        place: dict[str, int],
        positive: set[str],
    ) -> None:
        self.builder, self.slots, self.place = builder, slots, place
        self.positive = positive  # names of what is never below 1

    def value(self, e: Expr | int) -> ir.Value:
        """IR value of an expression: int64, or i1 for a condition."""
        if isinstance(e, int):
            return ir.Constant(I64, e)
        if hasattr(e, "asobject"):  # `a == b` is an expression only when asked
            e = e.asobject()
        kind = type(e).__name__
        if kind == "IntImm":
            return ir.Constant(I1 if str(e.expr_ty().dtype) == "bool" else I64, int(e))
        if kind == "Var":
            return self._slot(e.name)
        if kind == "Cast":
            return self.value(e.value)
        if kind in ("Select", "Call"):
            return self._select(e, kind)
        if kind == "Not":
            return self.builder.not_(self.value(e.a))
        if not hasattr(e, "b"):
            raise SpecError(f"a size may not depend on {e} ({kind})")
        right = self._divisor if kind in DIVISIONS else self.value
        return self._binary(kind, self.value(e.a), right(e.b))

    def _divisor(self, e: Expr | int) -> ir.Value:
        """What is divided by: 1 where it is 0 or -1, by which a division may trap.

        Sizes are computed whether or not requirements hold; where they hold, `bounds`
        has proved the divisor.
        """
        b = self.value(e)
        if isinstance(e, int) or type(e).__name__ == "IntImm":
            return b
        if getattr(e, "name", "") in self.positive:
            return b
        build, one = self.builder, ir.Constant(I64, 1)
        near = build.icmp_unsigned("<=", build.add(b, one), one)
        return build.select(near, one, b)

    def _slot(self, name: str) -> ir.Value:
        offset = ir.Constant(I32, SLOT_BYTES * self.place[name])
        address = self.builder.gep(self.slots, [offset], True, source_etype=I8)
        return self.builder.load(address, typ=I64)

    def _select(self, e: Expr, kind: str) -> ir.Value:
        if kind == "Select":
            parts = (e.condition, e.true_value, e.false_value)
        elif e.op.name in ("tirx.if_then_else", "tir.if_then_else"):
            parts = tuple(e.args)
        else:
            raise SpecError(f"a size may not depend on a call of {e.op.name}")
        return self.builder.select(*(self.value(p) for p in parts))

    def _binary(self, kind: str, a: ir.Value, b: ir.Value) -> ir.Value:
        build = self.builder
        if kind in _COMPARE:
            return build.icmp_signed(_COMPARE[kind], a, b)
        if kind in ("Max", "Min"):
            order = ">" if kind == "Max" else "<"
            return build.select(build.icmp_signed(order, a, b), a, b)
        if kind in ("FloorDiv", "FloorMod"):
            return self._floor(kind, a, b)
        plain = {
            "Add": "add",
            "Sub": "sub",
            "Mul": "mul",
            "And": "and_",
            "Or": "or_",
            "Div": "sdiv",
            "Mod": "srem",
        }
        if kind not in plain:
            raise SpecError(f"a size may not be computed with {kind}")
        return getattr(build, plain[kind])(a, b)

    def _floor(self, kind: str, a: ir.Value, b: ir.Value) -> ir.Value:
        build, zero = self.builder, ir.Constant(I64, 0)
        quotient, rest = build.sdiv(a, b), build.srem(a, b)
        signs = build.icmp_signed("<", build.xor(rest, b), zero)
        down = build.and_(signs, build.icmp_signed("!=", rest, zero))
        if kind == "FloorDiv":
            return build.sub(quotient, build.zext(down, I64))
        return build.select(down, build.add(rest, b), rest)
