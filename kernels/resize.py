"""out[n, c, y, x] = in[n, c, y', x'], where y' and x' are the places y and x map to.

nearest takes the nearest element, linear interpolates between the neighbours along
each axis; elements past the edge are those at the edge. With a = size, b = its entry
of sizes and i a place along it, coordinate_transformation_mode says
half_pixel: (i + 1/2) a / b - 1/2; asymmetric: i a / b; align_corners:
i (a - 1) / (b - 1), or 0 where b = 1; pytorch_half_pixel: as half_pixel, or 0 where
b = 1. Places are exact fractions, so that ties are ties in every mode.
Shapes: in [N, C, H, W] or [N, C, W]; sizes has an entry for each spatial axis.
Dtypes: float32.
Edges: an element at a whole place is taken as it is, beside infinity and NaN too.
Errors: a spatial axis of size 0; no sizes.
Source: ONNX Resize-19, scales being sizes over the input's; MindSpore ResizeBilinear
and ResizeNearestNeighbor.
"""

from collections.abc import Iterator
from fractions import Fraction
from math import ceil, floor
from typing import Any

import numpy as np

from toolchain.spec import Attribute, Bound, Case, Input, Operator, script, tir
from toolchain.spec.cases import SPECIAL, values
from toolchain.spec.nest import as_written, call, ceil_div, materialized, nest, pointer
from toolchain.spec.panels import repeated

HALF_PIXEL, ASYMMETRIC, ALIGN_CORNERS, PYTORCH = range(4)
MODES = ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
ROWS = 4  # that are resized together
STEP = 16  # columns of a step between two rows
NARROWEST = 5  # columns of x that micro_double_rows takes
TRANSPOSE = f"micro_transpose_32_{ROWS}x{ROWS}"
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


def sizes_of(k: Any) -> Any:
    """Sizes of the result's two axes; an axis that the input lacks stays 1."""
    high = tir.Select(k.sizes[0] == 0, k.H, k.sizes[0])
    return high, k.sizes[1]


class Tables:
    """Neighbours of each place along the result's two axes, and their weights.

    high is the axis's size, an element of -0 past it, where the low one has all of
    the weight: what is added is then -0 whatever stands beside it. Weights are
    repeated for each lane.
    """

    def __init__(self, k: Any, sizes: Any) -> None:
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

    def _fill(self, k: Any, axis: Any, a: Any, b: Any) -> None:
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


def coefficients(k: Any, a: Any, b: Any) -> list[Any]:
    """Place i is (i * first + second) / third; nearest adds fourth / (2 * third).

    Then it rounds down. They are loaded from memory: TVM's passes take many seconds
    for selects of them.
    """
    a, b = a.astype("int64"), b.astype("int64")
    memory = script.alloc_buffer((4,), "int64")
    mode, rounding = k.coordinate_transformation_mode, k.nearest_mode

    def store(*values: Any) -> None:
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


NOTHING = -0.0


class Rows:
    """The rows of x, each resized along itself, the last eight of a plane kept.

    They are made four at a time, interleaved, so that a column is one register.
    """

    def __init__(self, k: Any, x: Any, tables: Tables, wide: Any) -> None:
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

    def at(self, row: Any) -> Any:
        """Where a row is kept."""
        return tir.Select(row == self.k.H, 2 * ROWS, row & (2 * ROWS - 1))

    def need(self, n: Any, c: Any, first: Any) -> None:
        """Make a row, where it is not yet, and the one after it."""
        last = tir.min(first + 1, self.k.H - 1)
        start = script.Bind(tir.max(self.next[0], first >> 2))
        count = script.Bind(tir.max((last >> 2) + 1 - start, 0))
        with script.serial(0, count) as g:
            self._four(n, c, (start + g) * ROWS)
        script.buffer_store(self.next, start + count, [0])

    def _four(self, n: Any, c: Any, row: Any) -> None:
        k, t = self.k, self.tables
        valid = tir.min(k.H - row, ROWS)
        self._interleave([n, c, row, 0], valid)
        with script.serial(0, self.wide) as j, script.vectorized(0, ROWS) as v:
            before = self.across[t.low[1, j], v]
            after = self.across[t.high[1, j], v]
            value = before * t.left[1, j, v] + after * t.right[1, j, v]
            script.buffer_store(self.mixed, value, [j, v])
        self._separate(row & ROWS)

    def _interleave(self, start: list[Any], valid: Any) -> None:
        k = self.k
        if k.target.has("simd128"):
            source = pointer(self.x, start, "r")
            target = self.across.access_ptr("w")
            places = repeated(ROWS, valid, k.W * 4)
            call(f"micro_pack_{ROWS}_{ROWS}", source, target, k.W, 1, 0, *places)
            return
        n, c, row, _ = start
        with script.serial(0, valid) as v, script.serial(0, k.W) as i:
            script.buffer_store(self.across, self.x[n, c, row + v, i], [i, v])

    def _separate(self, first: Any) -> None:
        if self.k.target.has("simd128"):
            source = self.mixed.access_ptr("r")
            target = pointer(self.kept, [first, 0], "w")
            pitches = (ROWS * 4, self.pitch * 4)
            call(TRANSPOSE, source, target, *pitches, self.pitch, ROWS)
            return
        with script.serial(0, ROWS) as v, script.serial(0, self.wide) as j:
            script.buffer_store(self.kept, self.mixed[j, v], [first + v, j])


def doubles(k: Any, sizes: Any) -> Any:
    """Whether the micro-kernel that doubles rows serves this call; a condition."""
    mode = k.coordinate_transformation_mode
    return tir.all(
        k.mode == 1,
        tir.any(mode == HALF_PIXEL, mode == PYTORCH),
        *(b == 2 * a for a, b in zip((k.H, k.W), sizes, strict=True)),
        k.W >= NARROWEST,
    )


def double(k: Any, x: Any, out: Any) -> None:
    """Two rows of the result between two rows of x; at the edges both are one."""
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
        call("micro_double_rows", *ends, k.W)


def compute(k: Any) -> Any:
    """Doubled at once, or along the rows, then line by line between two of them."""
    high, wide = sizes_of(k)

    def emit(ins: Any, out: Any) -> None:
        if not k.target.has("simd128"):
            general(ins, out)
            return
        with script.If(doubles(k, (high, wide))):
            with script.Then():
                double(k, ins[0], out)
            with script.Else():
                general(ins, out)

    def general(ins: Any, out: Any) -> None:
        tables = Tables(k, (high, wide))
        rows = Rows(k, ins[0], tables, wide)
        with script.serial(0, k.N) as n, script.serial(0, k.C) as c:
            rows.begin()
            with script.serial(0, high) as y:
                rows.need(n, c, tables.low[0, y])
                upper = script.Bind(rows.at(tables.low[0, y]))
                lower = script.Bind(rows.at(tables.high[0, y]))
                left = script.Bind(tables.left[0, y, 0])
                right = script.Bind(tables.right[0, y, 0])

                def mix(j: Any) -> None:
                    value = rows.kept[upper, j] * left + rows.kept[lower, j] * right
                    script.buffer_store(out, value, [n, c, y, j])

                with script.If(wide >= STEP):
                    with (
                        script.Then(),
                        script.serial(0, ceil_div(wide, STEP)) as b,
                        script.vectorized(0, STEP) as v,
                    ):
                        mix(tir.min(b * STEP, wide - STEP) + v)
                    with script.Else(), script.serial(0, wide) as j:
                        mix(j)

    return nest((k.N, k.C, high, wide), [k.x], emit, "float32")


def requires(k: Any) -> Any:
    """What sizes must fulfil."""
    return [
        (k.sizes[1] >= 1, "sizes is missing; give one for each spatial axis"),
        (
            tir.any(tir.all(k.H >= 1, k.W >= 1), k.N * k.C == 0),
            "a spatial axis of x has size 0; there is nothing to resize",
        ),
    ]


HALF = Fraction(1, 2)


def weights(
    a: int, b: int, mode: str, coordinate_transformation_mode: str, nearest_mode: str
) -> Any:
    """Matrix [b, a] that resizes one axis, from exact fractions."""
    matrix = np.zeros((b, a))
    for i in range(b):
        at = {
            "half_pixel": Fraction((2 * i + 1) * a, 2 * b) - Fraction(1, 2),
            "asymmetric": Fraction(i * a, b),
            "align_corners": Fraction(i * (a - 1), max(b - 1, 1)),
        }
        at["pytorch_half_pixel"] = at["half_pixel"] if b > 1 else Fraction(0)
        x = at[coordinate_transformation_mode]
        if mode == "nearest":
            rounding = {
                "round_prefer_floor": lambda v: ceil(v - HALF),
                "round_prefer_ceil": lambda v: floor(v + HALF),
                "floor": floor,
                "ceil": ceil,
            }[nearest_mode]
            matrix[i, min(max(rounding(x), 0), a - 1)] = 1
        else:
            x = min(max(x, Fraction(0)), Fraction(a - 1))
            matrix[i, floor(x)] += 1 - float(x - floor(x))
            if x != floor(x):
                matrix[i, floor(x) + 1] += float(x - floor(x))
    return matrix


def along(x: Any, axis: Any, matrix: Any) -> Any:
    """Apply a matrix to an axis; elements of weight 0 do not count, NaN or not."""
    x = np.moveaxis(x, axis, -1)
    out = np.zeros((*x.shape[:-1], matrix.shape[0]))
    for i, row in enumerate(matrix):
        used = np.flatnonzero(row)
        terms = [x[..., j] * row[j] if row[j] != 1 else x[..., j] for j in used]
        out[..., i] = sum(terms[1:], terms[0])
    return np.moveaxis(out, -1, axis)


def reference(x: Any, sizes: Any, **attributes: Any) -> Any:
    """numpy, in float64."""
    if x.size == 0:
        return np.zeros((*x.shape[:2], *sizes))
    for i, size in enumerate(sizes):
        x = along(x, 2 + i, weights(x.shape[2 + i], size, **attributes))
    return x


def scale(x: Any, **attributes: Any) -> Any:
    """Magnitude of what is added up."""
    return reference(np.abs(x), **attributes)


def cases(dtypes: Any, rng: Any) -> Iterator[Case]:
    """Sizes, attributes and special values."""
    shapes: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
        ((2, 3, 5, 7), (10, 14)),
        ((1, 2, 6, 5), (3, 9)),
        ((1, 1, 4, 4), (1, 1)),
        ((1, 1, 1, 1), (3, 5)),
        ((1, 1, 17, 31), (13, 17)),
        ((1, 2, 21, 3), (43, 2)),
    ]
    for transformation in MODES:
        for rounding in ROUNDINGS:
            for x, sizes in shapes:
                given = {
                    "sizes": sizes,
                    "mode": "nearest",
                    "coordinate_transformation_mode": transformation,
                    "nearest_mode": rounding,
                }
                name = f"{transformation}-{rounding}-{sizes[0]}x{sizes[1]}"
                yield Case(name, (values(rng, x, "float32"),), given)
        for x, sizes in (*shapes, ((1, 3, 9), (20,)), ((2, 1, 8), (3,))):
            given = {
                "sizes": sizes,
                "mode": "linear",
                "coordinate_transformation_mode": transformation,
            }
            name = f"linear-{transformation}-{'x'.join(map(str, sizes))}"
            yield Case(name, (values(rng, x, "float32"),), given)
    for transformation in ("half_pixel", "pytorch_half_pixel"):
        # Doubled: rows of a register of pairs and more, and those too narrow for it.
        for shape in ((1, 2, 3, 5), (2, 1, 4, 8), (1, 1, 1, 9), (1, 3, 5, 18), (2, 4)):
            *_, h, w = x = (1,) * (4 - len(shape)) + shape
            given = {
                "sizes": (2 * h, 2 * w),
                "mode": "linear",
                "coordinate_transformation_mode": transformation,
            }
            name = f"double-{transformation}-{h}x{w}"
            yield Case(name, (values(rng, x, "float32"),), given)
    yield Case("default", (values(rng, (1, 2, 3, 4), "float32"),), {"sizes": (6, 6)})
    yield Case("1d", (values(rng, (2, 2, 9), "float32"),), {"sizes": (21,)})
    yield Case("empty", (np.zeros((0, 2, 3, 4), "float32"),), {"sizes": (6, 6)})
    special = np.stack([SPECIAL, SPECIAL[::-1]])[None, None]
    for mode in ("nearest", "linear"):
        given = {
            "sizes": (2, SPECIAL.size * 2 - 1),
            "mode": mode,
            "coordinate_transformation_mode": "align_corners",
        }
        yield Case(f"special-{mode}", (special,), given)
    given = {"sizes": (4, SPECIAL.size * 2), "mode": "linear"}
    yield Case("special-linear-double", (special,), given)


KERNEL = Operator(
    collapse="exact.lift",
    inputs=(Input("x", "N C H W"),),
    attributes=(
        Attribute("mode", default=0, choices=("nearest", "linear")),
        Attribute("coordinate_transformation_mode", default=0, choices=MODES),
        Attribute("nearest_mode", default=0, choices=ROUNDINGS),
        # Without a default: the axis that 1-D images lack is then 0 here.
        Attribute("sizes", minimum=1, maximum=1 << 30, per_unit=1, kernel=2),
    ),
    units=2,
    dtypes=("float32",),
    absent={
        "int8": "ONNX leaves open how linear rounds; cast around it",
        "int32": "ONNX leaves open how linear rounds; cast around it",
        "uint8": "ONNX leaves open how linear rounds; cast around it",
    },
    requires=requires,
    compute=compute,
    schedule=as_written,
    reference=reference,
    reference_scale=scale,
    cases=cases,
    bound=Bound(ulp=4, why="six roundings along the way, two of them of the weights"),
    aliases=("ResizeBilinear", "ResizeNearestNeighbor"),
)
