"""Builder: what the families of micro-kernels share, over llvmlite's IR builder.

Types, functions, addresses, loads and stores, vectors, loops. What makes a tile fast,
and which tile where: toolchain/micro/README.md and microkernels.md.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from toolchain.spec import SpecError
from toolchain.targets import Target

I1, I8, I16, I32, I64 = (ir.IntType(bits) for bits in (1, 8, 16, 32, 64))
F32, F64, PTR = ir.FloatType(), ir.DoubleType(), ir.PointerType()
WORD = 4  # bytes of a float32 or an int32
REGISTER = 16  # bytes of a vector register


def check_name(name: str, *rules: tuple[bool, str]) -> None:
    """SpecError where a rule does not hold: (whether it does, what to do)."""
    for holds, text in rules:
        if not holds:
            raise SpecError(f"micro-kernel {name!r} is none: {text}")


def vector(scalar: ir.Type, lanes: int) -> ir.Type:
    """Type of so many elements side by side; for 1, the scalar's type."""
    return scalar if lanes == 1 else ir.VectorType(scalar, lanes)


def define_function(
    module: ir.Module, name: str, arguments: Sequence[str]
) -> ir.Function:
    """A function over pointers (one letter), int32 values (a word), limits.

    It is `linkonce_odr hidden`: an archive's members carry a copy each, a linked module
    one.
    """
    types = [
        PTR if len(a) == 1 else F32 if a in ("low", "high") else I32 for a in arguments
    ]
    function = ir.Function(module, ir.FunctionType(I32, types), name)
    function.linkage = "linkonce_odr hidden"
    function.attributes.add("noinline")
    # LLVM would make copies for constant arguments: of a known depth it drops the
    # exits between unrolled steps.
    function.attributes.add("noduplicate")
    function.attributes.add("nounwind")
    for argument, word in zip(function.args, arguments, strict=True):
        argument.name = word
    return function


def entry_builder(function: ir.Function) -> ir.IRBuilder:
    """A builder at the start of a function that has no block yet."""
    return ir.IRBuilder(function.append_basic_block("entry"))


def new_blocks(build: ir.IRBuilder, *names: str) -> list[ir.Block]:
    """Blocks of the builder's function, in order, still empty."""
    return [build.function.append_basic_block(name) for name in names]


def declared(
    module: ir.Module, name: str, result: ir.Type, types: Sequence[ir.Type]
) -> ir.Function:
    """A function that the module calls; one declaration for all calls."""
    signature = ir.FunctionType(result, types)
    return module.globals.get(name) or ir.Function(module, signature, name)


def i32(value: int) -> ir.Constant:
    """A constant int32."""
    return ir.Constant(I32, value)


def alloca(build: ir.IRBuilder, kind: ir.Type, count: int | None = None) -> ir.Value:
    """Memory on the stack; of one value LLVM makes a register."""
    place = build.alloca(kind, count)
    place.type = PTR  # llvmlite gives it a type of its own
    return place


def gep_bytes(
    build: ir.IRBuilder, pointer: ir.Value, offset: ir.Value | int
) -> ir.Value:
    """Pointer + offset bytes; a constant becomes part of the load, as it is inside."""
    inside = isinstance(offset, int)
    if inside:
        offset = i32(offset)
    return build.gep(pointer, [offset], inbounds=inside, source_etype=I8)


def load_at(
    build: ir.IRBuilder, pointer: ir.Value, offset: ir.Value | int, kind: ir.Type
) -> ir.Value:
    """The value, aligned to a word, that lies `offset` bytes behind a pointer."""
    value = build.load(gep_bytes(build, pointer, offset), typ=kind)
    value.align = WORD
    return value


def store_at(
    build: ir.IRBuilder, value: ir.Value, pointer: ir.Value, offset: ir.Value | int
) -> None:
    """Store a value, aligned to a word, `offset` bytes behind a pointer."""
    build.store(value, gep_bytes(build, pointer, offset), align=WORD)


def phi_of(
    build: ir.IRBuilder, values: Sequence[tuple[ir.Block, ir.Value]]
) -> ir.PhiInstr:
    """The value of the block from which this one was entered."""
    phi = build.phi(values[0][1].type)
    for block, value in values:
        phi.add_incoming(value, block)
    return phi


def add_incoming(
    phis: Sequence[ir.PhiInstr], values: Sequence[ir.Value], block: ir.Block
) -> None:
    """What phis are where they are entered from a block."""
    for phi, value in zip(phis, values, strict=True):
        phi.add_incoming(value, block)


def select_signed(
    build: ir.IRBuilder, order: str, a: ir.Value, b: ir.Value
) -> ir.Value:
    """The first integer where it is less ("<") or greater (">"), else the other."""
    return build.select(build.icmp_signed(order, a, b), a, b)


def fmuladd(build: ir.IRBuilder, x: ir.Value, y: ir.Value, total: ir.Value) -> ir.Value:
    """Vectors x * y + total, rounded once where the target may."""
    function = declared(build.module, "llvm.fmuladd.v4f32", x.type, [x.type] * 3)
    return build.call(function, [x, y, total])


def multiply_add(
    build: ir.IRBuilder, target: Target, x: ir.Value, y: ir.Value, total: ir.Value
) -> ir.Value:
    """The total and x * y, rounded once where the target may fuse."""
    if not target.contract:
        return build.fadd(total, build.fmul(x, y))
    return fmuladd(build, x, y, total)


def clamp(
    build: ir.IRBuilder, value: ir.Value, low: ir.Value, high: ir.Value
) -> ir.Value:
    """min(max(value, low), high) of floats or vectors of them; a NaN passes."""
    for scalar, order in ((low, "<"), (high, ">")):
        limit = splat(build, scalar, value.type)
        past = build.fcmp_ordered(order, value, limit)
        value = build.select(past, limit, value)
    return value


def splat(build: ir.IRBuilder, value: ir.Value, kind: ir.Type) -> ir.Value:
    """A scalar in every lane of a vector; itself where `kind` is a scalar's."""
    if not isinstance(kind, ir.VectorType):
        return value
    empty = ir.Constant(kind, ir.Undefined)
    return splat_lane(build, build.insert_element(empty, value, i32(0)), 0)


def splat_lane(build: ir.IRBuilder, value: ir.Value, lane: int) -> ir.Value:
    """A lane of a vector in every lane."""
    undefined = ir.Constant(value.type, ir.Undefined)
    return shuffle(build, value, undefined, [lane] * value.type.count)


def shuffle(
    build: ir.IRBuilder, x: ir.Value, y: ir.Value, order: Sequence[int]
) -> ir.Value:
    """Lanes of two vectors, x's first, in an order."""
    mask = ir.Constant(ir.VectorType(I32, len(order)), list(order))
    return build.shuffle_vector(x, y, mask)


def across_lanes(
    build: ir.IRBuilder, value: ir.Value, of: Callable[[ir.Value, ir.Value], ir.Value]
) -> ir.Value:
    """The lanes of a register of 4, folded from the first one on."""
    one, *others = [
        build.extract_element(value, i32(i)) for i in range(value.type.count)
    ]
    for other in others:
        one = of(one, other)
    return one


class Repeat:
    """A loop over parts of `size`, at least once: {name: (pointer, bytes to add)}.

    at: the pointers of this step. left: what is left, this step's part included.
    """

    def __init__(
        self,
        build: ir.IRBuilder,
        count: ir.Value,
        size: int,
        moving: dict[str, tuple[ir.Value, ir.Value]],
    ) -> None:
        self.build, self.moving, self.size = build, moving, size
        before = build.block
        self.head, self.after = new_blocks(build, "repeat", "after")
        build.branch(self.head)
        build.position_at_end(self.head)
        self.left = build.phi(I32)
        self.left.add_incoming(count, before)
        self.at = {name: build.phi(PTR) for name in moving}
        for name, (first, _) in moving.items():
            self.at[name].add_incoming(first, before)

    def close(self) -> None:
        """The end of its body."""
        build = self.build
        left = build.sub(self.left, i32(self.size))
        self.left.add_incoming(left, build.block)
        for name, (_, step) in self.moving.items():
            at = self.at[name]
            at.add_incoming(gep_bytes(build, at, step), build.block)
        more = build.icmp_signed(">", left, i32(0))
        build.cbranch(more, self.head, self.after)
        build.position_at_end(self.after)


def for_range(
    build: ir.IRBuilder,
    start: ir.Value,
    end: ir.Value,
    step: int,
    body: Callable[[ir.Value], object],
) -> ir.Value:
    """Emit for (k = start; k < end; k += step) body(k); the last k."""
    before = build.block
    head, inside, after = new_blocks(build, "head", "body", "after")
    build.branch(head)
    build.position_at_end(head)
    k = build.phi(I32)
    k.add_incoming(start, before)
    build.cbranch(build.icmp_signed("<", k, end), inside, after)
    build.position_at_end(inside)
    body(k)
    k.add_incoming(build.add(k, i32(step)), build.block)
    build.branch(head)
    build.position_at_end(after)
    return k


def for_overlapping(
    build: ir.IRBuilder, size: ir.Value, step: int, body: Callable[[ir.Value], object]
) -> None:
    """body(k) for k = 0, step, ... < size; the last block ends at size."""
    before = build.block
    inside, after = new_blocks(build, "block", "after")
    last = build.sub(size, i32(step))
    build.branch(inside)
    build.position_at_end(inside)
    k = build.phi(I32)
    k.add_incoming(i32(0), before)
    body(select_signed(build, "<", k, last))
    following = build.add(k, i32(step))
    k.add_incoming(following, build.block)
    build.cbranch(build.icmp_signed("<", following, size), inside, after)
    build.position_at_end(after)
