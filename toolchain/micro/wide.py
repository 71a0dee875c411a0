"""Micro-kernels that do anew, in float64, what has left float32 on the way.

Sums, products and squares of floats fold in float32. Where a partial result became an
infinity or NaN, or squares lost their digits as denormals, the result may be a number
all the same. Such results are rare: these loops are short, not fast.

The micro-kernels of rows and columns call sum and product.
"""

from __future__ import annotations

from collections.abc import Callable

from llvmlite import ir

from toolchain.micro.builder import (
    F32,
    F64,
    I32,
    WORD,
    alloca,
    define_function,
    entry_builder,
    for_range,
    gep_bytes,
    i32,
)
from toolchain.micro.registry import emits
from toolchain.spec.microkernels import WIDE, WIDE_NORMALIZATION
from toolchain.targets import Target

_INFINITE = 0x7F800000  # the bits of infinity
# Those of 2^-50, below which a root's squares lose digits: sums of 2^-100 and less.
_SMALL = 0x26800000


_Term = Callable[[ir.Value], ir.Value]


@emits(WIDE)
def wide(module: ir.Module, name: str, target: Target, kind: str) -> None:
    """i32 (x, o, count, width, depth, stride, extra): fold anew what is beyond float32.

    o[i, j], of `count` results and `width` for each i, is the fold of x[i, r, j] over
    r < depth, rows of x `stride` elements apart: a sum divided by `extra`, a product,
    or a norm, the root of the sum of squares.
    """
    del target  # an element at a time
    _Fold(module, name, kind).emit()


@emits(WIDE_NORMALIZATION)
def normalization(module: ir.Module, name: str, target: Target) -> None:
    """i32 (x, s, b, o, count, depth, epsilon, centred): rows that begin with NaN, anew.

    o[i, r] = (x[i, r] - mean) / sqrt(variance + epsilon) * s[r] + b[r]; where not
    centred, mean is 0 and b is not added. epsilon: the bits of a float32.
    """
    del target
    _Normalization(module, name).emit()


def beyond(build: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """Whether a float32 is an infinity or NaN."""
    bits = build.and_(build.bitcast(value, I32), i32(_INFINITE))
    return build.icmp_signed("==", bits, i32(_INFINITE))


class _Writer:
    arguments: tuple[str, ...]

    def __init__(self, module: ir.Module, name: str) -> None:
        self.function = define_function(module, name, self.arguments)
        self.function.attributes.add("optsize")
        self.argument = {a.name: a for a in self.function.args}
        self.build = entry_builder(self.function)

    def loop(self, count: ir.Value, body: Callable[[ir.Value], None]) -> None:
        """Emit body(i) for i < count."""
        for_range(self.build, i32(0), count, 1, body)

    def element(self, pointer: ir.Value, at: ir.Value) -> ir.Value:
        """The address of a float32."""
        return gep_bytes(self.build, pointer, self.build.mul(at, i32(WORD)))

    def load(self, pointer: ir.Value, at: ir.Value) -> ir.Value:
        """A float32 as a float64."""
        value = self.build.load(self.element(pointer, at), typ=F32, align=4)
        return self.build.fpext(value, F64)

    def put(self, value: ir.Value, pointer: ir.Value, at: ir.Value) -> None:
        """Store a float64 as a float32."""
        rounded = self.build.fptrunc(value, F32)
        self.build.store(rounded, self.element(pointer, at), align=4)

    def total(self, start: float, count: ir.Value, term: _Term) -> ir.Value:
        """The sum of start and of term(i) over i < count."""
        return self.folded(start, count, self.build.fadd, term)

    def folded(
        self, start: float, count: ir.Value, of: Callable[..., ir.Value], term: _Term
    ) -> ir.Value:
        """term(i) for i < count, folded by `of`."""
        build = self.build
        with build.goto_entry_block():
            place = alloca(build, F64)
        build.store(ir.Constant(F64, start), place)
        self.loop(
            count,
            lambda i: build.store(of(build.load(place, typ=F64), term(i)), place),
        )
        return build.load(place, typ=F64)

    def root(self, value: ir.Value) -> ir.Value:
        """The square root of a float64."""
        sqrt = self.build.module.declare_intrinsic("llvm.sqrt", [F64])
        return self.build.call(sqrt, [value])


class _Fold(_Writer):
    arguments = ("x", "o", "count", "width", "depth", "stride", "extra")

    def __init__(self, module: ir.Module, name: str, kind: str) -> None:
        super().__init__(module, name)
        self.kind = kind

    def emit(self) -> None:
        """A loop over results, with one over a column for what is beyond."""
        self.loop(self.argument["count"], self._each)
        self.build.ret(i32(0))

    def _each(self, i: ir.Value) -> None:
        build = self.build
        found = build.load(self.element(self.argument["o"], i), typ=F32, align=4)
        bits = build.bitcast(found, I32)
        lost = build.icmp_signed("<", bits, i32(_SMALL))
        far = beyond(build, found)
        with build.if_then(build.or_(far, lost) if self.kind == "norm" else far):
            self.put(self._column(i), self.argument["o"], i)

    def _column(self, i: ir.Value) -> ir.Value:
        build, depth = self.build, self.argument["depth"]
        width, stride = self.argument["width"], self.argument["stride"]
        row, column = build.udiv(i, width), build.urem(i, width)
        first = build.add(build.mul(build.mul(row, depth), stride), column)

        def term(r: ir.Value) -> ir.Value:
            x = self.load(self.argument["x"], build.add(first, build.mul(r, stride)))
            return build.fmul(x, x) if self.kind == "norm" else x

        if self.kind == "product":
            return self.folded(1.0, depth, build.fmul, term)
        total = self.total(0.0, depth, term)
        if self.kind == "norm":
            return self.root(total)
        return build.fdiv(total, build.sitofp(self.argument["extra"], F64))


class _Normalization(_Writer):
    arguments = ("x", "s", "b", "o", "count", "depth", "epsilon", "centred")

    def emit(self) -> None:
        """A loop over rows."""
        self.loop(self.argument["count"], self._each)
        self.build.ret(i32(0))

    def _each(self, i: ir.Value) -> None:
        build, size = self.build, self.argument["depth"]
        row = build.mul(i, size)
        out = self.element(self.argument["o"], row)
        found = build.load(out, typ=F32, align=4)
        with build.if_then(build.fcmp_unordered("uno", found, found)):
            self._row(self.element(self.argument["x"], row), out)

    def _row(self, x: ir.Value, out: ir.Value) -> None:
        """Loops for the mean, the variance and the results."""
        build, depth = self.build, self.argument["depth"]
        count, zero = build.sitofp(depth, F64), ir.Constant(F64, 0.0)
        centred = build.icmp_signed("!=", self.argument["centred"], i32(0))
        mean = build.fdiv(self.total(0.0, depth, lambda r: self.load(x, r)), count)
        mean = build.select(centred, mean, zero)

        def deviation(r: ir.Value) -> ir.Value:
            return build.fsub(self.load(x, r), mean)

        def square(r: ir.Value) -> ir.Value:
            return build.fmul(deviation(r), deviation(r))

        variance = build.fdiv(self.total(0.0, depth, square), count)
        epsilon = build.bitcast(self.argument["epsilon"], F32)
        root = self.root(build.fadd(variance, build.fpext(epsilon, F64)))

        def result(r: ir.Value) -> None:
            scaled = build.fdiv(deviation(r), root)
            scaled = build.fmul(scaled, self.load(self.argument["s"], r))
            shifted = build.fadd(scaled, self.load(self.argument["b"], r))
            self.put(build.select(centred, shifted, scaled), out, r)

        self.loop(depth, result)
