"""Folds of rows and columns as loop nests: what reductions and normalisations share.

A running result would make each step wait for the one before, and add up all rounding
errors in order. So every step folds eight terms (of integers four) in pairs and only
then meets the running result: vectors of a row, or rows of x[o, n, k] for a strip of
columns. This fixes the order of a float sum, the same for every engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from toolchain.spec import Attribute, te, tir
from toolchain.spec import math as m
from toolchain.spec import script as T  # noqa: N812  # TVM's own name for it
from toolchain.spec.panels import nest

Expr = Any
Compute = Callable[[Any], Any]
Term = Callable[[Expr], Expr]
STRIP = 1024  # columns whose results stay in L1; 256: reads 15 % slower
INF = float("inf")

AXIS = Attribute("axis", default=-1, kernel=0)
REDUCE_AXIS = (
    Attribute("axis", default=0, kernel=0),
    Attribute("keepdims", default=1, minimum=0, maximum=1, kernel=0),
)
REDUCE_AXES = (
    Attribute("keepdims", default=1, minimum=0, maximum=1, kernel=0),
    Attribute("noop_with_empty_axes", default=0, minimum=0, maximum=1, kernel=0),
    Attribute("axes", default=0, per_unit=1),
)
TRAILING = (
    Attribute("axis", default=-1, kernel=0),
    Attribute("epsilon", "float", default=1e-5),
)


def is_float(x: Expr) -> bool:
    """Whether an expression is a float."""
    return dtype_of(x).startswith("float")


def dtype_of(x: Expr) -> str:
    """Dtype of an expression."""
    return str(x.expr_ty().dtype)


def maximum(a: Expr, b: Expr) -> Expr:
    """The larger; NaN where either is."""
    return m.maximum(a, b) if is_float(a) else tir.Max(a, b)


def minimum(a: Expr, b: Expr) -> Expr:
    """The smaller; NaN where either is."""
    return m.minimum(a, b) if is_float(a) else tir.Min(a, b)


def lowest(dtype: str) -> Expr:
    """-inf, or the smallest integer."""
    return tir.const(-INF, dtype) if dtype == "float32" else tir.min_value(dtype)


def highest(dtype: str) -> Expr:
    """inf, or the largest integer."""
    return tir.const(INF, dtype) if dtype == "float32" else tir.max_value(dtype)


def _in_pairs(
    let: m.Let, pair: Callable[[Expr, Expr], Expr], terms: list[Expr]
) -> Expr:
    """The fold of some terms, in pairs."""
    while len(terms) > 1:
        half = (len(terms) + 1) // 2
        pairs = zip(terms[: len(terms) // 2], terms[half:], strict=True)
        terms = [let(pair(a, b)) for a, b in pairs] + terms[len(terms) // 2 : half]
    return terms[0]


def vector_lanes(k: Any) -> int:
    """Elements of x that are folded side by side: a vector register of them.

    Floats also without SIMD, so that they are added up in the same order.
    """
    bits = int("".join(c for c in k.dtype if c.isdigit()))
    return 4 if k.dtype == "float32" else max(int(k.target.vector_bits) // bits, 1)


@dataclass(frozen=True)
class Strip:
    """Columns of x[o, n, k] that are folded together, by vectors.

    The last vector of a row is moved back to end with it: its columns may be done
    twice, with the same result, in places of their own. So k is at least a vector.
    """

    k: Any
    first: Expr
    width: Expr

    def each(self, emit: Callable[[Expr, Expr], None], loop: Any = None) -> None:
        """Emit emit(at, j) for every column j and its place in a buffer of results.

        loop: over a vector, T.vectorized or T.serial.
        """
        loop = loop or T.vectorized
        lanes = vector_lanes(self.k)
        vectors = (self.width + (lanes - 1)) // lanes
        with T.serial(0, vectors) as v, loop(0, lanes) as lane:
            j = tir.min(self.first + v * lanes, self.k.k - lanes) + lane
            emit(v * lanes + lane, j)

    def again(self, at: Expr, j: Expr) -> Expr:
        """Whether column j was done before its place `at`."""
        return j < self.first + (at & -vector_lanes(self.k))


@dataclass(frozen=True)
class Fold:
    """An associative operation; empty: the value of an empty fold, by dtype.

    choice: of two floats, one that is picked without regard to NaN: one instruction,
    where the operation takes seven. NaN is then put back once for many terms.
    """

    operation: Callable[[Expr, Expr], Expr]
    empty: Callable[[str], Expr]
    choice: Callable[[Expr, Expr], Expr] | None = None

    def step(self, dtype: str) -> int:
        """Terms that meet the running result together: fewer of integers, for size."""
        return 8 if dtype == "float32" else 4

    def over(self, term: Expr, axis: Expr) -> Expr:
        """TE reduction of a term along an axis."""
        return te.comm_reducer(self.operation, self.empty)(term, axis=axis)

    def of(self, *terms: Expr) -> Expr:
        """The fold of some terms: all but the first in pairs, then with that."""
        let = m.Let()
        first, *rest = [let(term) for term in terms]
        if self.choice is None or not is_float(first):
            return let.around(
                self.operation(first, _in_pairs(let, self.operation, rest))
            )
        # The first one's NaN is chosen. Of the others' bits without a sign, NaN has the
        # largest; shifted out, as engines build the mask for |x| anew at every use.
        one = tir.const(1, "uint32")
        sizes = [let(tir.reinterpret("uint32", v) << one) for v in rest]
        largest = _in_pairs(let, tir.max, sizes)
        inf = tir.const(0xFF000000, "uint32")
        mark = tir.Select(largest > inf, tir.const(-1, "int32"), tir.const(0, "int32"))
        result = self.choice(first, _in_pairs(let, self.choice, rest))
        bits = tir.reinterpret("int32", result) | mark
        return let.around(tir.reinterpret("float32", bits))

    def row(self, k: Any, total: Any, term: Term) -> Expr:
        """Emit the fold of term(r) over r < n in the lanes of `total`; the result."""
        lanes, step = int(total.shape[0]), self.step(total.dtype)

        def add(at: Expr, *terms: Expr) -> None:
            T.buffer_store(total, self.of(total[at], *terms), [at])

        with T.vectorized(0, lanes) as lane:
            T.buffer_store(total, self.empty(total.dtype), [lane])
        with (
            T.serial(0, k.n // (step * lanes)) as b,
            T.vectorized(0, lanes) as lane,
        ):
            first = b * (step * lanes) + lane
            add(lane, *(term(first + lanes * u) for u in range(step)))
        # By its ends: LLVM would unroll a loop whose count it knows to be small.
        first = k.n // (step * lanes) * step
        with (
            T.serial(first, k.n // lanes) as b,
            T.vectorized(0, lanes) as lane,
        ):
            add(lane, term(b * lanes + lane))
        if lanes > 1:
            with T.serial(k.n // lanes * lanes, k.n) as r:
                add(tir.const(0, "int32"), term(r))
        while lanes > 1:
            lanes //= 2
            with T.vectorized(0, lanes) as lane:
                add(lane, total[lane + lanes])
        return total[0]

    def columns(
        self, k: Any, strip: Strip, total: Any, term: Callable[[Expr, Expr, Expr], Expr]
    ) -> None:
        """Emit total[at] = the fold of term(r, at, j) over r < n, in a strip."""
        for_each, step = strip.each, self.step(total.dtype)
        for_each(lambda at, j: T.buffer_store(total, self.empty(total.dtype), [at]))

        def add(first: Expr, count: int) -> None:
            def one(at: Expr, j: Expr) -> None:
                terms = [term(first + u, at, j) for u in range(count)]
                T.buffer_store(total, self.of(total[at], *terms), [at])

            for_each(one)

        with T.serial(0, k.n // step) as b:
            add(b * step, step)
        with T.serial(k.n // step * step, k.n) as r:
            add(r, 1)


SUM = Fold(lambda a, b: a + b, lambda dtype: tir.const(0, dtype))
PRODUCT = Fold(lambda a, b: a * b, lambda dtype: tir.const(1, dtype))
MAXIMUM = Fold(maximum, lowest, lambda a, b: tir.Select(a < b, b, a))
MINIMUM = Fold(minimum, highest, lambda a, b: tir.Select(b < a, b, a))
LAST = Fold(maximum, lambda dtype: tir.const(-1, dtype))


def lanes(k: Any, dtype: str) -> Any:
    """Buffer of a row's running results: as many as a vector of x has elements."""
    return T.alloc_buffer((vector_lanes(k),), dtype)


def each_row(k: Any, emit: Callable[..., None], *inputs: Any, reduced: bool) -> Any:
    """Tensor of a nest over rows: emit(i, inputs, out); out[o] where `reduced`."""

    def body(buffers: list[Any], out: Any) -> None:
        with T.serial(0, k.o) as i:
            emit(i, buffers, out)

    return nest((k.o,) if reduced else (k.o, k.n), inputs, body, k.output_dtypes[0])


def each_strip(
    k: Any,
    dtypes: Sequence[str],
    emit: Callable[..., None],
    *inputs: Any,
    reduced: bool,
) -> Any:
    """Tensor of a nest over strips of columns: emit(i, strip, results, inputs, out).

    results: a buffer for the columns of a strip of each of the dtypes.
    """

    def body(buffers: list[Any], out: Any) -> None:
        results = [T.alloc_buffer((STRIP,), dtype) for dtype in dtypes]
        with T.serial(0, k.o) as i, T.serial(0, (k.k + (STRIP - 1)) // STRIP) as s:
            strip = Strip(k, s * STRIP, tir.min(k.k - s * STRIP, STRIP))
            emit(i, strip, results, buffers, out)

    shape = (k.o, k.k) if reduced else (k.o, k.n, k.k)
    return nest(shape, inputs, body, k.output_dtypes[0])


def reduction(
    kind: Fold,
    before: Callable[[Any, Expr], Expr] = lambda k, x: x,
    after: Callable[[Any, Expr], Expr] = lambda k, total: total,
) -> tuple[Compute, Compute]:
    """(compute, columns): after(k, fold of before(k, x)), as the dtype of x."""

    def rows(k: Any) -> Any:
        dtype = dtype_of(before(k, k.x[0, 0]))

        def emit(i: Expr, buffers: list[Any], out: Any) -> None:
            (x,) = buffers
            value = kind.row(k, lanes(k, dtype), lambda r: before(k, x[i, r]))
            T.buffer_store(out, after(k, value).astype(k.dtype), [i])

        return each_row(k, emit, k.x, reduced=True)

    def columns(k: Any) -> Any:
        dtype = dtype_of(before(k, k.x[0, 0, 0]))

        def emit(
            i: Expr, strip: Strip, results: list[Any], buffers: list[Any], out: Any
        ) -> None:
            (x,), (total,) = buffers, results
            kind.columns(k, strip, total, lambda r, c, j: before(k, x[i, r, j]))
            strip.each(
                lambda at, j: T.buffer_store(
                    out, after(k, total[at]).astype(k.dtype), [i, j]
                )
            )

        return each_strip(k, [dtype], emit, k.x, reduced=True)

    return rows, columns


def _exp_difference(x: Expr, peak: Expr) -> Expr:
    """exp(x - peak), x <= peak, with the rounding error of the difference applied.

    The error is at most half an ULP of 104, beyond which exp is 0. Dekker's FastTwoSum
    finds it: the larger of x and -peak in magnitude is the smaller of the two.
    """
    let = m.Let()
    x, minus = let(x), let(-peak)
    smaller = let(tir.Select(minus < x, x, minus))
    larger = let(tir.Select(minus < x, minus, x))
    # An infinity would make the error of a difference that is one NaN.
    least = tir.const(-3.4e38, "float32")
    larger = let(tir.Select(larger < least, least, larger))
    d = let(larger + smaller)
    error = smaller - (d - larger)
    e = let(m.exp(d))
    return let.around(e + e * error)


def softmax(
    prepare: Callable[[Expr], Expr], finish: Callable[[Expr, Expr, Expr, Expr], Expr]
) -> tuple[Compute, Compute]:
    """(compute, columns) of out = finish(x, peak, e, prepare(sum of e)).

    e = exp(x - peak) lives in the output.
    """

    def rows(k: Any) -> Any:
        def emit(i: Expr, buffers: list[Any], out: Any) -> None:
            (x,) = buffers
            fold = lanes(k, k.dtype)
            row = T.alloc_buffer((2,), k.dtype)
            T.buffer_store(row, MAXIMUM.row(k, fold, lambda r: x[i, r]), [0])
            with T.serial(0, k.n) as r:
                T.buffer_store(out, _exp_difference(x[i, r], row[0]), [i, r])
            total = SUM.row(k, fold, lambda r: out[i, r])
            T.buffer_store(row, prepare(total), [1])
            with T.serial(0, k.n) as r:
                value = finish(x[i, r], row[0], out[i, r], row[1])
                T.buffer_store(out, value, [i, r])

        return each_row(k, emit, k.x, reduced=False)

    def columns(k: Any) -> Any:
        def emit(
            i: Expr, strip: Strip, results: list[Any], buffers: list[Any], out: Any
        ) -> None:
            (x,), (peak, total) = buffers, results
            MAXIMUM.columns(k, strip, peak, lambda r, c, j: x[i, r, j])
            with T.serial(0, k.n) as r:
                strip.each(
                    lambda at, j: T.buffer_store(
                        out, _exp_difference(x[i, r, j], peak[at]), [i, r, j]
                    )
                )
            SUM.columns(k, strip, total, lambda r, c, j: out[i, r, j])
            strip.each(
                lambda at, j: T.buffer_store(total, prepare(total[at]), [at]),
                loop=T.serial,
            )
            with T.serial(0, k.n) as r:
                strip.each(
                    lambda at, j: T.buffer_store(
                        out,
                        # Not twice in the output's own place.
                        tir.Select(
                            strip.again(at, j),
                            out[i, r, j],
                            finish(x[i, r, j], peak[at], out[i, r, j], total[at]),
                        ),
                        [i, r, j],
                    )
                )

        return each_strip(k, [k.dtype, k.dtype], emit, k.x, reduced=False)

    return rows, columns


def position(kind: Fold) -> tuple[Compute, Compute]:
    """(compute, columns): where in a row its fold (a maximum or minimum) stands.

    The first position or, by the attribute select_last_index, the last one. NaN is
    equal to NaN. A row is searched for its fold until that is found; a column keeps
    the step that its fold came from, and only that is searched.
    """

    # As integers: TVM vectorises no logic of conditions.
    def same(x: Expr, best: Expr, dtype: str = "int32") -> Expr:
        """1 where x is the best or NaN, otherwise 0."""
        let = m.Let()
        x = let(x)
        no: Expr = tir.const(0, dtype)
        one = tir.const(1, dtype)
        other = tir.Select(m.is_nan(x), one, no) if is_float(x) else no
        return let.around(tir.Select(tir.EQ(x, best), one, other))

    def beats(k: Any, x: Expr, best: Expr) -> Expr:
        """1 where the fold of a later step takes the place of the best one, else 0."""
        let = m.Let()
        x, best = let(x), let(best)
        later, one, zero = k.select_last_index, tir.const(1, "int32"), k.index(0)
        better = x > best if kind is MAXIMUM else x < best
        found = tir.Select(better, one, tir.Select(tir.EQ(x, best), later, zero))
        if is_float(x):
            nan = tir.Select(m.is_nan(best), later, one)
            found = tir.Select(
                m.is_nan(x), nan, tir.Select(m.is_nan(best), zero, found)
            )
        return let.around(found)

    def search(at: Any, found: Callable[[Expr], Expr], limit: Expr) -> None:
        """Emit: raise at[0] until it is found, or is the limit."""
        with T.While(tir.if_then_else(at[0] < limit, tir.EQ(found(at[0]), 0), False)):
            T.buffer_store(at, at[0] + 1, [0])

    def skip_blocks(k: Any, x: Any, i: Expr, best: Any, at: Any) -> None:
        """Emit: raise at[0] to the first block of 4 vectors that has the best."""
        width = vector_lanes(k)
        size = 4 * width
        hits = T.alloc_buffer((width,), f"int{128 // width}")
        misses = T.alloc_buffer((1,), "int32")
        T.buffer_store(misses, 1, [0])
        with T.While(tir.And(at[0] + size <= k.n, misses[0] != 0)):
            last = k.select_last_index != 0
            first = tir.Select(last, k.n - size - at[0], at[0])
            with T.vectorized(0, width) as lane:
                marks = [
                    same(x[i, first + (u * width + lane)], best[0], hits.dtype)
                    for u in range(4)
                ]
                T.buffer_store(hits, marks[0] | marks[1] | marks[2] | marks[3], [lane])
            every = tir.BufferLoad(hits, [tir.Ramp(0, 1, width)])
            hit = tir.call_llvm_pure_intrin(hits.dtype, "llvm.vector.reduce.or", every)
            T.buffer_store(
                misses, tir.Select(hit != tir.const(0, hits.dtype), 0, 1), [0]
            )
            T.buffer_store(at, at[0] + size * misses[0], [0])

    def rows(k: Any) -> Any:
        def emit(i: Expr, buffers: list[Any], out: Any) -> None:
            (x,) = buffers
            best, at = T.alloc_buffer((1,), k.dtype), T.alloc_buffer((1,), "int32")
            last = k.select_last_index
            value = kind.row(k, lanes(k, k.dtype), lambda r: x[i, r])
            T.buffer_store(best, value, [0])
            T.buffer_store(at, 0, [0])

            def in_place(r: Expr) -> Expr:
                return same(x[i, last * (k.n - 1 - 2 * r) + r], best[0])

            if k.target.vector_bits:
                skip_blocks(k, x, i, best, at)
            search(at, in_place, k.n - 1)
            place = last * (k.n - 1 - 2 * at[0]) + at[0]
            T.buffer_store(out, place.astype("int64"), [i])

        return each_row(k, emit, k.x, reduced=True)

    def columns(k: Any) -> Any:
        def emit(
            i: Expr, strip: Strip, results: list[Any], buffers: list[Any], out: Any
        ) -> None:
            (x,), (best, step) = buffers, results
            last, size = k.select_last_index, kind.step(k.dtype)
            at = T.alloc_buffer((1,), "int32")

            def row(b: Expr, u: Expr) -> Expr:
                return tir.min(b * size + u, k.n - 1)

            def start(c: Expr, j: Expr) -> None:
                T.buffer_store(best, kind.empty(k.dtype), [c])
                T.buffer_store(step, 0, [c])

            strip.each(start)
            with T.serial(0, (k.n + (size - 1)) // size) as b:

                def keep(c: Expr, j: Expr) -> None:
                    def value() -> Expr:
                        return kind.of(*(x[i, row(b, u), j] for u in range(size)))

                    new = beats(k, value(), best[c])
                    T.buffer_store(step, tir.Select(new != 0, b, step[c]), [c])
                    new = beats(k, value(), best[c])
                    T.buffer_store(best, tir.Select(new != 0, value(), best[c]), [c])

                strip.each(keep)

            def find(c: Expr, j: Expr) -> None:
                def place(u: Expr) -> Expr:
                    return row(step[c], last * (size - 1 - 2 * u) + u)

                T.buffer_store(at, 0, [0])
                search(at, lambda u: same(x[i, place(u), j], best[c]), size - 1)
                T.buffer_store(out, place(at[0]).astype("int64"), [i, j])

            strip.each(find, loop=T.serial)

        return each_strip(k, [k.dtype, "int32"], emit, k.x, reduced=True)

    return rows, columns
