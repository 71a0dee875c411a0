"""Interpolation of images: along the rows of a plane, then between two rows."""

from __future__ import annotations

from toolchain.spec import Buffer, Expr, Kernel, script, tir
from toolchain.spec import microkernels as micro
from toolchain.spec.nest import call, ceil_div, materialized, pointer
from toolchain.spec.panels import repeated

MODES = ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
HALF_PIXEL, ASYMMETRIC, ALIGN_CORNERS, PYTORCH = range(4)
ROWS = 4  # that are resized together, a register of each column
NARROWEST = 5  # columns of x that micro.DOUBLE takes at least
NOTHING = -0.0  # what adds nothing, whatever it is added to


def sizes_of(k: Kernel) -> tuple[Expr, Expr]:
    """Sizes of the result's two axes; an axis that the input lacks stays 1."""
    high = tir.Select(k.sizes[0] == 0, k.H, k.sizes[0])
    return high, k.sizes[1]


class Tables:
    """Neighbours of each place along the result's two axes, and their weights.

    high is the axis's size, an element of -0 past it, where the low one has all of
    the weight: what is added is then -0 whatever stands beside it. Weights are
    repeated for each lane.
    """

    def __init__(self, k: Kernel, sizes: tuple[Expr, Expr]) -> None:
        longest = tir.max(*sizes)
        self.low, self.high = (
            script.alloc_buffer((2, longest), "int32") for _ in range(2)
        )
        self.left, self.right = (
            script.alloc_buffer((2, longest, ROWS), "float32") for _ in range(2)
        )
        # In a loop, so that the code is there once.
        with script.serial(0, 2) as axis:
            a = tir.Select(axis == 0, k.H, k.W)
            self._fill(k, axis, a, tir.Select(axis == 0, *sizes))

    def _fill(self, k: Kernel, axis: Expr, a: Expr, b: Expr) -> None:
        factor, offset, under, rounding = coefficients(k, a, b)
        nearest = k.mode == 0
        last = script.Bind((a - 1).astype("int64"))
        zero, one = tir.const(0, "int64"), tir.const(1, "float64")
        with script.serial(0, b) as i:
            over = i.astype("int64") * factor + offset
            # Off the edge it is the element at the edge.
            over = script.Bind(tir.max(tir.min(over, last * under), zero))
            first = tir.truncdiv(over, under)
            closest = tir.min(tir.truncdiv(2 * over + rounding, 2 * under), last)
            low = script.Bind(tir.Select(nearest, closest, first))
            rest = script.Bind(tir.Select(nearest, zero, over - low * under))
            # By memory: TVM fails where it bounds a bound quotient of floats.
            right = materialized(rest.astype("float64") / under.astype("float64"))
            high = tir.Select(rest == 0, last + 1, low + 1)
            script.buffer_store(self.low, low.astype("int32"), [axis, i])
            script.buffer_store(self.high, high.astype("int32"), [axis, i])
            for table, weight in ((self.left, one - right), (self.right, right)):
                value = materialized(weight.astype("float32"))
                with script.vectorized(0, ROWS) as v:
                    script.buffer_store(table, value, [axis, i, v])


def coefficients(k: Kernel, a: Expr, b: Expr) -> list[Expr]:
    """Place i is (i * first + second) / third; nearest adds fourth / (2 * third).

    Then it rounds down. They are loaded from memory: TVM's passes take many seconds
    for selects of them.
    """
    a, b = a.astype("int64"), b.astype("int64")
    memory = script.alloc_buffer((4,), "int64")
    mode, rounding = k.coordinate_transformation_mode, k.nearest_mode

    def store(*values: Expr | int) -> None:
        for i, value in enumerate(values):
            script.buffer_store(memory, tir.Cast("int64", value), [i])

    store(2 * a, a - b, 2 * b)
    with script.If(mode == ASYMMETRIC), script.Then():
        store(a, 0, b)
    with script.If(tir.all(mode == ALIGN_CORNERS, b > 1)), script.Then():
        store(a - 1, 0, b - 1)
    alone = tir.all(tir.any(mode == ALIGN_CORNERS, mode == PYTORCH), b == 1)
    with script.If(alone), script.Then():
        store(0, 0, 1)
    under = memory[2]
    for number, added in enumerate((under - 1, under, 0, 2 * under - 2)):
        with script.If(rounding == number), script.Then():
            script.buffer_store(memory, tir.Cast("int64", added), [3])
    return [memory[i] for i in range(4)]


class Rows:
    """The rows of x, each resized along itself, the last eight of a plane kept.

    They are made four at a time, interleaved, so that a column is one register.
    """

    def __init__(self, k: Kernel, x: Buffer, tables: Tables, wide: Expr) -> None:
        self.k, self.x, self.tables, self.wide = k, x, tables, wide
        self.pitch = tir.max(wide, ROWS)
        self.across = script.alloc_buffer((k.W + 1, ROWS), "float32")
        self.mixed = script.alloc_buffer((self.pitch, ROWS), "float32")
        self.kept = script.alloc_buffer((2 * ROWS + 1, self.pitch), "float32")
        self.next = script.alloc_buffer((1,), "int32")
        for v in range(ROWS):
            script.buffer_store(self.across, tir.const(NOTHING, "float32"), [k.W, v])
        with script.serial(0, wide) as j:
            script.buffer_store(self.kept, tir.const(NOTHING, "float32"), [2 * ROWS, j])

    def begin(self) -> None:
        """Begin a plane."""
        script.buffer_store(self.next, 0, [0])

    def at(self, row: Expr) -> Expr:
        """Where a row is kept."""
        return tir.Select(row == self.k.H, 2 * ROWS, row & (2 * ROWS - 1))

    def need(self, n: Expr, c: Expr, first: Expr) -> None:
        """Make a row and the row after it, unless they are kept."""
        last = tir.min(first + 1, self.k.H - 1)
        start = script.Bind(tir.max(self.next[0], first >> 2))
        count = script.Bind(tir.max((last >> 2) + 1 - start, 0))
        with script.serial(0, count) as g:
            self._four(n, c, (start + g) * ROWS)
        script.buffer_store(self.next, start + count, [0])

    def _four(self, n: Expr, c: Expr, row: Expr) -> None:
        k, t = self.k, self.tables
        valid = tir.min(k.H - row, ROWS)
        self._interleave([n, c, row, 0], valid)
        with script.serial(0, self.wide) as j, script.vectorized(0, ROWS) as v:
            before = self.across[t.low[1, j], v]
            after = self.across[t.high[1, j], v]
            value = before * t.left[1, j, v] + after * t.right[1, j, v]
            script.buffer_store(self.mixed, value, [j, v])
        self._separate(row & ROWS)

    def _interleave(self, start: list[Expr], valid: Expr) -> None:
        k = self.k
        if k.target.has("simd128"):
            source = pointer(self.x, start, "r")
            target = self.across.access_ptr("w")
            places = repeated(ROWS, valid, k.W * 4)
            call(micro.PACK(ROWS, ROWS), source, target, k.W, 1, 0, *places)
            return
        n, c, row, _ = start
        with script.serial(0, valid) as v, script.serial(0, k.W) as i:
            script.buffer_store(self.across, self.x[n, c, row + v, i], [i, v])

    def _separate(self, first: Expr) -> None:
        if self.k.target.has("simd128"):
            source = self.mixed.access_ptr("r")
            target = pointer(self.kept, [first, 0], "w")
            pitches = (ROWS * 4, self.pitch * 4)
            call(
                micro.TRANSPOSE(32, ROWS, ROWS),
                source,
                target,
                *pitches,
                self.pitch,
                ROWS,
            )
            return
        with script.serial(0, ROWS) as v, script.serial(0, self.wide) as j:
            script.buffer_store(self.kept, self.mixed[j, v], [first + v, j])


def doubles(k: Kernel, sizes: tuple[Expr, Expr]) -> Expr:
    """Whether the micro-kernel that doubles rows serves this call; a condition."""
    mode = k.coordinate_transformation_mode
    return tir.all(
        k.mode == 1,
        tir.any(mode == HALF_PIXEL, mode == PYTORCH),
        *(b == 2 * a for a, b in zip((k.H, k.W), sizes, strict=True)),
        k.W >= NARROWEST,
    )


def double(k: Kernel, x: Buffer, out: Buffer) -> None:
    """Two rows of the result between two rows of x; past the edges, the edge row."""
    with (
        script.serial(0, k.N) as n,
        script.serial(0, k.C) as c,
        script.serial(0, k.H + 1) as i,
    ):
        upper, lower = tir.max(i - 1, 0), tir.min(i, k.H - 1)
        over, under = tir.max(2 * i - 1, 0), tir.min(2 * i, 2 * k.H - 1)
        ends = [
            pointer(buffer, [n, c, row, 0], mode)
            for buffer, row, mode in (
                *((x, upper, "r"), (x, lower, "r")),
                *((out, over, "w"), (out, under, "w")),
            )
        ]
        call(micro.DOUBLE(), *ends, k.W)


def interpolate(k: Kernel, x: Buffer, out: Buffer, sizes: tuple[Expr, Expr]) -> None:
    """Emit the resized planes of x: by one micro-kernel if they are just doubled."""
    if not k.target.has("simd128"):
        between_rows(k, x, out, sizes)
        return
    with script.If(doubles(k, sizes)):
        with script.Then():
            double(k, x, out)
        with script.Else():
            between_rows(k, x, out, sizes)


def between_rows(k: Kernel, x: Buffer, out: Buffer, sizes: tuple[Expr, Expr]) -> None:
    """Resize the rows of x along themselves, then mix two for each row of `out`."""
    (high, wide), most = sizes, k.target.tuning("resize.step")
    tables = Tables(k, sizes)
    rows = Rows(k, x, tables, wide)
    with script.serial(0, k.N) as n, script.serial(0, k.C) as c:
        rows.begin()
        with script.serial(0, high) as y:
            rows.need(n, c, tables.low[0, y])
            upper = script.Bind(rows.at(tables.low[0, y]))
            lower = script.Bind(rows.at(tables.high[0, y]))
            left = script.Bind(tables.left[0, y, 0])
            right = script.Bind(tables.right[0, y, 0])

            def mix(j: Expr) -> None:
                value = rows.kept[upper, j] * left + rows.kept[lower, j] * right
                script.buffer_store(out, value, [n, c, y, j])

            with script.If(wide >= most):
                with (
                    script.Then(),
                    script.serial(0, ceil_div(wide, most)) as b,
                    script.vectorized(0, most) as v,
                ):
                    mix(tir.min(b * most, wide - most) + v)
                with script.Else(), script.serial(0, wide) as j:
                    mix(j)
