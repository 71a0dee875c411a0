"""Products of 8-bit integers, exact in int32: the loop nest around a dot tile.

A large product is cut into quadrants and made of seven smaller ones (Strassen 1969)
in place of eight: sums of two factors still fit the int16 of the dot tile, and int32
wraps, so the result is the same to the last bit. Packing adds the quadrants up and the
tile adds its sums to two of them, so that no quadrant is written in between.
"""

from __future__ import annotations

from dataclasses import dataclass

from toolchain.spec import microkernels as micro
from toolchain.spec import tir
from toolchain.spec.nest import call, ceil_div, materialized, pointer
from toolchain.spec.tvm import Buffer, Expr
from toolchain.spec.tvm import script as T  # noqa: N812  # TVM's own name for it
from toolchain.targets import Target

# Rows of which columns are packed at a time; the micro-kernel has a buffer for as many.
# Rows a power of two of bytes apart share few sets of L1, and the next columns are in
# the same cache lines.
CHUNK = 32

# Strassen's products, then three for what quadrants leave over: see _Job.
_REST = 7
_JOBS = 10


def _table(*entries: int) -> int:
    """Entries 0..3 as two bits each."""
    return sum(entry << (2 * i) for i, entry in enumerate(entries))


def _signs(*entries: int) -> int:
    """Entries -1..1, then 0 for the jobs without a second operand."""
    rest = [0] * (_JOBS - len(entries))
    return _table(*(entry + 1 for entry in (*entries, *rest)))


# For each product the quadrants (0 1 / 2 3) x and y of x + sign * y, and the two of out
# that it is added to, the second with a sign. Which of these have sums of products
# before: 1 the first, 2 the second.
_A = _table(0, 2, 0, 3, 0, 2, 1), _table(3, 3, 0, 0, 1, 0, 3)
_A_SIGN = _signs(1, 1, 0, 0, 1, -1, -1)
_B = _table(0, 0, 1, 2, 3, 0, 2), _table(3, 0, 3, 0, 0, 1, 3)
_B_SIGN = _signs(1, 0, -1, -1, 0, 1, 1)
_OUT = _table(0, 2, 1, 0, 1, 3, 0), _table(3, 3, 3, 2, 0, 0, 0)
_OUT_SIGN = _signs(1, -1, 1, 1, -1, 0, 0)
_KEPT = _table(0, 2, 2, 3, 3, 3, 3, 3)


@dataclass(frozen=True)
class Factor:
    """An 8-bit matrix, its zero points by row or column, and 128 for int8, else 0."""

    values: Buffer
    zeros: Buffer
    sign: Expr


@dataclass(frozen=True)
class EightBitProduct:
    """out[i, j] = sum_k a[i, k] * b[k, j], zero points taken off, as a loop nest.

    rows, depth, columns: sizes. row, column: where the part of a and b starts.
    step: elements from one row of out to the next.
    """

    a: Factor
    b: Factor
    out: Buffer
    rows: Expr
    depth: Expr
    columns: Expr
    step: Expr
    target: Target
    row: Expr = 0
    column: Expr = 0

    @property
    def tile(self) -> tuple[int, int]:
        """Rows and columns of a tile."""
        return self.tuning("rows"), self.tuning("columns")

    def tuning(self, name: str) -> int:
        """A number of the target; see toolchain/tuning."""
        return self.target.tuning(f"eight_bit.{name}")

    def emit(self) -> None:
        """Add the nest to the function under construction."""
        height, width = self.tile
        kc, nc, lanes = self.tuning("kc"), self.tuning("nc"), self.target.lanes()
        words = tir.max(ceil_div(tir.min(self.depth, kc), 2), 1)
        panels = ceil_div(tir.min(self.columns, nc), width)
        left = T.alloc_buffer((words, height, lanes), "int32")
        right = T.alloc_buffer((panels, words, width), "int32")
        empty = tir.Select(self.depth > 0, tir.const(0, "int32"), self.rows)
        with T.serial(0, empty) as i, T.serial(0, self.columns) as j:
            T.buffer_store(self.out, 0, [i, j])
        smallest = tir.min(tir.min(self.rows, self.columns), self.depth)
        large = smallest >= 2 * self.tuning("quadrant")
        with T.serial(0, tir.Select(large, _JOBS, _JOBS - _REST)) as n:
            job = _Job.numbered(
                self, materialized(tir.Select(large, n, n + _REST)), large
            )
            # Without rows there is nothing to pack columns for.
            across = tir.Select(job.rows > 0, job.columns, tir.const(0, "int32"))
            with (
                T.serial(0, ceil_div(across, nc)) as jc,
                T.serial(0, ceil_div(job.depth, kc)) as step,
            ):
                block = _Block(self, job, jc * nc, step * kc, left, right)
                block.emit()


@dataclass(frozen=True)
class _Job:
    """One product: x[0] + sign * x[1] of places (row, column) in a and b.

    0..6: Strassen's, of quadrants. 7: the last of k; 8: the last rows, which are all
    of them where there are no quadrants; 9: the last columns of the other rows.
    """

    a: tuple[Expr, Expr]
    b: tuple[Expr, Expr]
    out: tuple[Expr, Expr]
    signs: tuple[Expr, Expr, Expr]
    kept: Expr
    rows: Expr
    depth: Expr
    columns: Expr

    @classmethod
    def numbered(cls, whole: EightBitProduct, number: Expr, large: Expr) -> _Job:
        """A job by its number."""
        height, width = whole.tile

        def half(size: Expr, unit: int) -> Expr:
            part = tir.truncdiv(size, 2 * unit) * unit
            return tir.Select(large, part, tir.const(0, "int32"))

        m, k, n = (
            materialized(half(whole.rows, height)),
            materialized(half(whole.depth, 8)),
            materialized(half(whole.columns, width)),
        )

        def entry(table: int) -> Expr:
            return (tir.const(table, "int32") >> (2 * number)) & 3

        def choose(product: Expr, depth: Expr, rows: Expr, columns: Expr) -> Expr:
            rest = tir.Select(number == _REST + 1, rows, columns)
            rest = tir.Select(number == _REST, depth, rest)
            return materialized(tir.Select(number < _REST, product, rest))

        row = choose(0, 0, 2 * m, 0)
        start = choose(0, 2 * k, 0, 0)
        column = choose(0, 0, 0, 2 * n)

        def place(
            tables: tuple[int, int], down: tuple[Expr, Expr], across: tuple[Expr, Expr]
        ) -> Expr:
            first, second = (
                (
                    materialized(down[0] + (q >> 1) * down[1]),
                    materialized(across[0] + (q & 1) * across[1]),
                )
                for q in (entry(t) for t in tables)
            )
            return first, second

        return cls(
            a=place(_A, (row, m), (start, k)),
            b=place(_B, (start, k), (column, n)),
            out=place(_OUT, (row, m), (column, n)),
            signs=(entry(_A_SIGN) - 1, entry(_B_SIGN) - 1, entry(_OUT_SIGN) - 1),
            kept=entry(_KEPT),
            rows=choose(m, 2 * m, whole.rows - 2 * m, 2 * m),
            depth=choose(k, whole.depth - 2 * k, whole.depth, whole.depth),
            columns=choose(n, 2 * n, whole.columns, whole.columns - 2 * n),
        )


@dataclass(frozen=True)
class _Block:
    """A part of a job: all its rows, and what is packed of b at a time."""

    whole: EightBitProduct
    job: _Job
    first: Expr
    start: Expr
    left: Buffer
    right: Buffer

    def emit(self) -> None:
        """Pack the columns, then panel by panel the rows."""
        height, width = self.whole.tile
        job = self.job
        columns = tir.min(job.columns - self.first, self.whole.tuning("nc"))
        depth = tir.min(job.depth - self.start, self.whole.tuning("kc"))
        panels = ceil_div(columns, width)
        with T.serial(0, ceil_div(depth, CHUNK)) as chunk, T.serial(0, panels) as q:
            self._pack_columns(q, columns, depth, chunk)
        with T.serial(0, ceil_div(job.rows, height)) as p:
            self._pack_rows(p, depth)
            with T.serial(0, panels) as q:
                self._tile(p, q, columns, depth)

    def _pack_rows(self, p: Expr, depth: Expr) -> None:
        whole, job = self.whole, self.job
        height, width = whole.tile
        row = p * height
        rows = [whole.row + offset + row for offset, _ in job.a]
        values = [
            whole.a.values.access_ptr("r", offset=r * whole.depth + k + self.start)
            for r, (_, k) in zip(rows, job.a, strict=True)
        ]
        zeros = [whole.a.zeros.access_ptr("r", offset=r) for r in rows]
        call(
            micro.DOT("rows", height, width),
            *(*values, *zeros, self.left.access_ptr("w"), whole.depth, depth),
            *(job.rows - row, whole.a.sign, job.signs[0]),
        )

    def _pack_columns(self, q: Expr, columns: Expr, depth: Expr, chunk: Expr) -> None:
        whole, job = self.whole, self.job
        height, width = whole.tile
        source, first, k = whole.b.values, q * width, chunk * CHUNK
        stride = source.shape[1]
        at = [whole.column + column + self.first + first for _, column in job.b]
        values = [
            source.access_ptr("r", offset=(row + self.start + k) * stride + j)
            for (row, _), j in zip(job.b, at, strict=True)
        ]
        zeros = [whole.b.zeros.access_ptr("r", offset=j) for j in at]
        call(
            micro.DOT("columns", height, width),
            *(*values, *zeros, pointer(self.right, [q, chunk * (CHUNK // 2), 0], "w")),
            *(stride, tir.min(depth - k, CHUNK), columns - first),
            *(whole.b.sign, job.signs[1]),
        )

    def _tile(self, p: Expr, q: Expr, columns: Expr, depth: Expr) -> None:
        whole, job = self.whole, self.job
        height, width = whole.tile
        row, column = p * height, q * width
        outs = [
            whole.out.access_ptr(
                "rw", offset=(i + row) * whole.step + j + self.first + column
            )
            for i, j in job.out
        ]
        call(
            micro.DOT("tile", height, width),
            *(self.left.access_ptr("r"), pointer(self.right, [q, 0, 0], "r"), *outs),
            *(ceil_div(depth, 2), whole.step * 4, job.signs[2]),
            tir.Select(self.start > 0, tir.const(3, "int32"), job.kept),
            *(job.rows - row, columns - column),
        )


def emit_int8(a: Buffer, b: Buffer, out: Buffer, target: Target) -> None:
    """The product of two int8 matrices in int8, block by block of its int32 sums."""
    (rows, depth), columns = a.shape, b.shape[1]
    most = target.tuning("eight_bit.sums")
    height, width = tir.min(rows, most), tir.min(columns, most)
    sums = T.alloc_buffer((height, width), "int32")
    zeros = T.alloc_buffer((tir.max(rows, columns),), "uint8")
    with T.serial(0, tir.max(rows, columns)) as i:
        T.buffer_store(zeros, tir.const(0, "uint8"), [i])
    factors = [Factor(x, zeros, 128) for x in (a, b)]
    with (
        T.serial(0, ceil_div(rows, most)) as ib,
        T.serial(0, ceil_div(columns, most)) as jb,
    ):
        i, j = ib * most, jb * most
        down, across = tir.min(rows - i, most), tir.min(columns - j, most)
        EightBitProduct(
            factors[0], factors[1], sums, down, depth, across, width, target, i, j
        ).emit()
        with T.serial(0, down) as r, T.serial(0, across) as c:
            T.buffer_store(out, sums[r, c].astype(out.dtype), [i + r, j + c])
