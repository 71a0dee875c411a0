"""Micro-kernels that do anew, in float64, what has left float32 on the way.

Sums, products and squares of floats fold in float32. Where a partial result became an
infinity or NaN, or squares lost their digits as denormals, the result may be a number
all the same. Such are few: these loops are short, not fast.

Names: `micro_wide_<sum|product|norm>`, of results that are beyond float32, and
`micro_wide_normalization`, of rows. Those of rows and columns call sum and product.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from llvmlite import ir

from toolchain.micro.builder import _F32, _I32, _at, _function, _i32, _loop
from toolchain.spec import SpecError
from toolchain.targets import Target

_F64 = ir.DoubleType()
_KINDS = "sum|product|norm"
_INFINITE = 0x7F800000  # the bits of infinity
# Those of 2^-50, below which a root's squares lose digits: sums of 2^-100 and less.
_SMALL = 0x26800000


def emit(module: Any, name: str, target: Target) -> None:
    """Emit the micro-kernel of that name. Errors: SpecError for an unknown one."""
    del target  # elements go one by one
    if match := re.fullmatch(rf"micro_wide_({_KINDS})", name):
        _Fold(module, name, match[1]).emit()
    elif name == "micro_wide_normalization":
        _Normalization(module, name).emit()
    else:
        raise SpecError(
            f"micro-kernel {name!r} is unknown; use micro_wide_<{_KINDS}> or "
            "micro_wide_normalization"
        )


def beyond(build: Any, value: Any) -> Any:
    """Whether a float32 is an infinity or NaN."""
    bits = build.and_(build.bitcast(value, _I32), _i32(_INFINITE))
    return build.icmp_signed("==", bits, _i32(_INFINITE))


class _Writer:
    arguments: tuple[str, ...]

    def __init__(self, module: Any, name: str) -> None:
        self.function = _function(module, name, self.arguments)
        self.function.attributes.add("optsize")
        self.argument = {a.name: a for a in self.function.args}
        self.build = ir.IRBuilder(self.function.append_basic_block("entry"))

    def loop(self, count: Any, body: Callable[[Any], None]) -> None:
        """Emit body(i) for i < count."""
        _loop(self.function, self.build, _i32(0), count, 1, body)

    def element(self, pointer: Any, at: Any) -> Any:
        """The address of a float32."""
        return _at(self.build, pointer, self.build.mul(at, _i32(4)))

    def load(self, pointer: Any, at: Any) -> Any:
        """A float32 as a float64."""
        value = self.build.load(self.element(pointer, at), typ=_F32, align=4)
        return self.build.fpext(value, _F64)

    def put(self, value: Any, pointer: Any, at: Any) -> None:
        """Store a float64 as a float32."""
        rounded = self.build.fptrunc(value, _F32)
        self.build.store(rounded, self.element(pointer, at), align=4)

    def total(self, start: float, count: Any, term: Callable[[Any], Any]) -> Any:
        """The sum of start and of term(i) over i < count."""
        return self.folded(start, count, self.build.fadd, term)

    def folded(
        self, start: float, count: Any, of: Callable[[Any, Any], Any], term: Any
    ) -> Any:
        """term(i) for i < count, folded by `of`."""
        build = self.build
        with build.goto_entry_block():
            place = build.alloca(_F64)
        place.type = ir.PointerType()  # llvmlite gives it a type of its own
        build.store(ir.Constant(_F64, start), place)
        self.loop(
            count,
            lambda i: build.store(of(build.load(place, typ=_F64), term(i)), place),
        )
        return build.load(place, typ=_F64)

    def root(self, value: Any) -> Any:
        """The square root of a float64."""
        sqrt = self.build.module.declare_intrinsic("llvm.sqrt", [_F64])
        return self.build.call(sqrt, [value])


class _Fold(_Writer):
    """i32 (x, o, count, width, depth, stride, extra): fold anew what is beyond float32.

    o[i, j], of `count` results and `width` for each i, is the fold of x[i, r, j] over
    r < depth, rows of x `stride` elements apart: a sum divided by `extra`, a product,
    or a norm, the root of the sum of squares.
    """

    arguments = ("x", "o", "count", "width", "depth", "stride", "extra")

    def __init__(self, module: Any, name: str, kind: str) -> None:
        super().__init__(module, name)
        self.kind = kind

    def emit(self) -> None:
        """A loop over results, with one over a column for what is beyond."""
        self.loop(self.argument["count"], self._each)
        self.build.ret(_i32(0))

    def _each(self, i: Any) -> None:
        build = self.build
        found = build.load(self.element(self.argument["o"], i), typ=_F32, align=4)
        bits = build.bitcast(found, _I32)
        lost = build.icmp_signed("<", bits, _i32(_SMALL))
        far = beyond(build, found)
        with build.if_then(build.or_(far, lost) if self.kind == "norm" else far):
            self.put(self._column(i), self.argument["o"], i)

    def _column(self, i: Any) -> Any:
        build, depth = self.build, self.argument["depth"]
        width, stride = self.argument["width"], self.argument["stride"]
        row, column = build.udiv(i, width), build.urem(i, width)
        first = build.add(build.mul(build.mul(row, depth), stride), column)

        def term(r: Any) -> Any:
            x = self.load(self.argument["x"], build.add(first, build.mul(r, stride)))
            return build.fmul(x, x) if self.kind == "norm" else x

        if self.kind == "product":
            return self.folded(1.0, depth, build.fmul, term)
        total = self.total(0.0, depth, term)
        if self.kind == "norm":
            return self.root(total)
        return build.fdiv(total, build.sitofp(self.argument["extra"], _F64))


class _Normalization(_Writer):
    """i32 (x, s, b, o, count, depth, epsilon, centred): rows that begin with NaN, anew.

    o[i, r] = (x[i, r] - mean) / sqrt(variance + epsilon) * s[r] + b[r]; where not
    centred, mean is 0 and b is not added. epsilon: the bits of a float32.
    """

    arguments = ("x", "s", "b", "o", "count", "depth", "epsilon", "centred")

    def emit(self) -> None:
        """A loop over rows."""
        self.loop(self.argument["count"], self._each)
        self.build.ret(_i32(0))

    def _each(self, i: Any) -> None:
        build, size = self.build, self.argument["depth"]
        row = build.mul(i, size)
        out = self.element(self.argument["o"], row)
        found = build.load(out, typ=_F32, align=4)
        with build.if_then(build.fcmp_unordered("uno", found, found)):
            self._row(self.element(self.argument["x"], row), out)

    def _row(self, x: Any, out: Any) -> None:
        """Loops for the mean, the variance and the results."""
        build, depth = self.build, self.argument["depth"]
        count, zero = build.sitofp(depth, _F64), ir.Constant(_F64, 0.0)
        centred = build.icmp_signed("!=", self.argument["centred"], _i32(0))
        mean = build.fdiv(self.total(0.0, depth, lambda r: self.load(x, r)), count)
        mean = build.select(centred, mean, zero)

        def deviation(r: Any) -> Any:
            return build.fsub(self.load(x, r), mean)

        def square(r: Any) -> Any:
            return build.fmul(deviation(r), deviation(r))

        variance = build.fdiv(self.total(0.0, depth, square), count)
        epsilon = build.bitcast(self.argument["epsilon"], _F32)
        root = self.root(build.fadd(variance, build.fpext(epsilon, _F64)))

        def result(r: Any) -> None:
            scaled = build.fdiv(deviation(r), root)
            scaled = build.fmul(scaled, self.load(self.argument["s"], r))
            shifted = build.fadd(scaled, self.load(self.argument["b"], r))
            self.put(build.select(centred, shifted, scaled), out, r)

        self.loop(depth, result)
