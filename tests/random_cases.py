"""Random cases of operators whose kernels have edges: windows, planes, rows, products.

Sizes are small, odd or about a tile, attributes any that the operator takes, and a
third of the float inputs hold NaN or infinities. A case is right by construction, so
that an error is a fault too.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import numpy as np
from ops_wasm32.convert import Array
from verification import Cell

from toolchain.spec import Case, kernel_name

Random = np.random.Generator
SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 13, 15, 16, 17, 20, 23, 31, 32, 33, 41, 67)
INTEGERS = ("int32", "int8", "uint8", "int64")
WIDTH = 8  # output channels in a panel


def size(rng: Random, most: int = 67) -> int:
    """A size of an axis."""
    return int(rng.choice([n for n in SIZES if n <= most]))


def elements(rng: Random, shape: int | Sequence[int], dtype: str = "float32") -> Array:
    """Integers of the whole range; floats, of which a few may be special."""
    if dtype != "float32":
        info = np.iinfo(dtype)
        return np.asarray(rng.integers(info.min, info.max, shape, dtype, endpoint=True))
    x = finite(rng, shape)
    if rng.random() < 1 / 3:
        some = rng.random(shape) < 2 / (1 + x.size)
        x[some] = rng.choice(np.array((np.nan, np.inf, -np.inf), "float32"))
    return x


def finite(rng: Random, shape: int | Sequence[int]) -> Array:
    """Floats that are not special: weights, which pads may meet or not."""
    return np.asarray(rng.normal(size=shape), "float32")


def windows(
    rng: Random, sizes: tuple[int, ...], taps: tuple[int, ...], pool: bool = False
) -> dict[str, list[int]]:
    """Strides, pads and dilations for which there is a window.

    pool: pads are less than the windows.
    """
    strides, dilations = ([int(rng.integers(1, 4)) for _ in sizes] for _ in range(2))
    begins, ends = [], []
    for i, (extent, count) in enumerate(zip(sizes, taps, strict=True)):
        if rng.random() < 0.6:
            dilations[i] = 1
        reach = dilations[i] * (count - 1) + 1
        pads = [int(rng.integers(0, reach if pool else reach + 2)) for _ in range(2)]
        lacking = max(reach - extent - sum(pads), 0)
        if lacking and pool:
            dilations[i], pads = 1, [0, 0]
        begins.append(pads[0])
        ends.append(pads[1] + (0 if pool else lacking))
    return {"strides": strides, "pads": [*begins, *ends], "dilations": dilations}


def taps(rng: Random, sizes: tuple[int, ...], most: int = 5) -> tuple[int, ...]:
    """Taps along each axis, most often 3."""
    if rng.random() < 0.5 and min(sizes) >= 3:
        return (3,) * len(sizes)
    return tuple(int(rng.integers(1, min(n, most) + 1)) for n in sizes)


def limits(rng: Random) -> dict[str, float]:
    """What results are limited to, or nothing."""
    if rng.random() < 0.5:
        return {}
    return {"minimum": 0.0} if rng.random() < 0.5 else {"minimum": -1.0, "maximum": 2.5}


def conv(rng: Random, dtype: str) -> Case:
    """Plain, in groups, and depthwise."""
    group, depth = [(1, size(rng, 20)), (3, 2), (size(rng, 9), 1)][rng.integers(3)]
    features = group * int(rng.integers(1, 6)) if group > 1 else size(rng, 33)
    sizes = (size(rng, 33), size(rng))[: int(rng.integers(1, 3))]
    kernel = taps(rng, sizes)
    x = elements(rng, (int(rng.integers(1, 3)), group * depth, *sizes))
    w = finite(rng, (features, depth, *kernel))
    bias = finite(rng, features) if rng.random() < 0.5 else None
    return Case("", (x, w, bias), {"group": group, **windows(rng, sizes, kernel)})


def conv_packed(rng: Random, dtype: str) -> Case:
    """Channels last, weights packed."""
    sizes, channels, features = (size(rng, 23), size(rng, 23)), size(rng, 20), size(rng)
    kernel = taps(rng, sizes)
    x = elements(rng, (int(rng.integers(1, 3)), *sizes, channels))
    depth = kernel[0] * kernel[1] * channels
    packed = finite(rng, (-(-features // WIDTH), depth, WIDTH))
    bias = [None, finite(rng, features), finite(rng, 1)][rng.integers(3)]
    given = {"features": features, "kernel_shape": kernel, **limits(rng)}
    return Case("", (x, packed, bias), given | windows(rng, sizes, kernel))


def depthwise_packed(rng: Random, dtype: str) -> Case:
    """Channels last, a window for each."""
    sizes, channels = (size(rng, 33), size(rng, 33)), size(rng, 41)
    kernel = taps(rng, sizes)
    x = elements(rng, (int(rng.integers(1, 3)), *sizes, channels))
    bias = finite(rng, channels) if rng.random() < 0.5 else None
    given = limits(rng) | windows(rng, sizes, kernel)
    return Case("", (x, finite(rng, (*kernel, channels)), bias), given)


def pool(rng: Random, dtype: str) -> Case:
    """Windows of a plane or a line."""
    sizes = (size(rng, 33), size(rng))[: int(rng.integers(1, 3))]
    kernel = taps(rng, sizes)
    x = elements(rng, (1, int(rng.integers(1, 4)), *sizes), dtype)
    given = windows(rng, sizes, kernel, pool=True)
    if rng.random() < 0.3 and kernel == (3,) * len(kernel):  # halved
        given |= {"strides": [2] * len(kernel), "dilations": [1] * len(kernel)}
        given["pads"] = [int(p) for p in rng.integers(0, 2, 2 * len(kernel))]
    up = int(rng.integers(2))
    return Case("", (x,), {"kernel_shape": list(kernel), "ceil_mode": up, **given})


def average_pool(rng: Random, dtype: str) -> Case:
    """The same, with pads that count or do not."""
    case = pool(rng, dtype)
    counted = int(rng.integers(2))
    return Case("", case.inputs, {**case.attributes, "count_include_pad": counted})


def resize(rng: Random, dtype: str) -> Case:
    """To any size, and to the double."""
    sizes = (size(rng, 41), size(rng))
    others = (size(rng, 41), size(rng))
    if rng.random() < 0.3:
        others = (2 * sizes[0], 2 * sizes[1])
    places = ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
    roundings = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
    given = {
        "sizes": others,
        "mode": str(rng.choice(("nearest", "linear"))),
        "coordinate_transformation_mode": str(rng.choice(places)),
        "nearest_mode": str(rng.choice(roundings)),
    }
    return Case("", (elements(rng, (1, int(rng.integers(1, 3)), *sizes)),), given)


def transpose(rng: Random, dtype: str) -> Case:
    """Any order of any axes."""
    shape = [size(rng) for _ in range(int(rng.integers(2, 5)))]
    while np.prod(shape) > 20000:
        shape[int(np.argmax(shape))] //= 2
    axes = rng.permutation(len(shape))
    return Case("", (elements(rng, shape, dtype),), {"perm": [int(a) for a in axes]})


def rows(rng: Random, dtype: str) -> Case:
    """Along an axis, of rows that may be long."""
    shape = [size(rng) for _ in range(int(rng.integers(1, 4)))]
    axis = int(rng.integers(len(shape)))
    while np.prod(shape) > 20000:
        shape[int(np.argmax(shape))] //= 2
    if rng.random() < 0.2:
        # About a strip of columns, see toolchain/micro/rows.py.
        shape, axis = [3, int(rng.integers(1000, 1060))], int(rng.integers(2))
    return Case("", (elements(rng, shape, dtype),), {"axis": axis})


def reduced(rng: Random, dtype: str) -> Case:
    """The same, the axis as a list."""
    case = rows(rng, dtype)
    given = {"axes": [case.attributes["axis"]], "keepdims": int(rng.integers(2))}
    return Case("", case.inputs, given)


def position(rng: Random, dtype: str) -> Case:
    """The same shapes; where extremes are equal, the first or the last counts."""
    case = rows(rng, dtype)
    few = case.inputs[0]
    if rng.random() < 0.5 and dtype == "float32":
        few = np.round(few)
    last = int(rng.integers(2))
    return Case("", (few,), {**case.attributes, "select_last_index": last})


def matmul(rng: Random, dtype: str) -> Case:
    """Two matrices."""
    m, k, n = (size(rng) for _ in range(3))
    if rng.random() < 0.1:
        k = int(rng.integers(500, 700))
    right = finite(rng, (k, n)) if dtype == "float32" else elements(rng, (k, n), dtype)
    return Case("", (elements(rng, (m, k), dtype), right))


def matmul_packed(rng: Random, dtype: str) -> Case:
    """Weights packed."""
    m, k, n = (size(rng) for _ in range(3))
    packed = finite(rng, (-(-n // WIDTH), k, WIDTH))
    bias = finite(rng, n) if rng.random() < 0.5 else None
    x = elements(rng, (m, k))
    return Case("", (x, packed, bias), {"columns": n, **limits(rng)})


# By operator: how a case is made, and for which dtypes.
FLOAT = ("float32",)
CASES: dict[str, tuple[Callable[[Random, str], Case], tuple[str, ...]]] = {
    "conv": (conv, FLOAT),
    "conv_packed": (conv_packed, FLOAT),
    "depthwise_packed": (depthwise_packed, FLOAT),
    "max_pool": (pool, ("float32", "int8", "uint8")),
    "average_pool": (average_pool, FLOAT),
    "resize": (resize, FLOAT),
    "transpose": (transpose, ("float32", "int8", "int64")),
    "softmax": (rows, FLOAT),
    "cum_sum": (rows, ("float32", "int8", "int64")),
    "reduce_sum": (reduced, ("float32", "int32", "int8", "int64")),
    "reduce_mean": (reduced, ("float32", "int32", "int8", "int64")),
    "reduce_max": (reduced, ("float32", *INTEGERS)),
    "reduce_min": (reduced, ("float32", *INTEGERS)),
    "arg_max": (position, ("float32", *INTEGERS)),
    "arg_min": (position, ("float32", *INTEGERS)),
    "matmul": (matmul, ("float32", "int32", "int8")),
    "matmul_packed": (matmul_packed, FLOAT),
}


def random_cell(operator: str, seed: int, target: str) -> Cell:
    """A case of an operator for a target; the same seed gives the same case."""
    make, dtypes = CASES[operator]
    rng = np.random.default_rng([seed, zlib.crc32(operator.encode())])
    dtype = str(rng.choice(dtypes))
    case = make(rng, dtype)
    shapes = [v if v is None else v.shape for v in case.inputs]
    name = f"{seed}: {shapes} {dict(case.attributes)}"
    case = Case(name, case.inputs, case.attributes)
    return Cell(operator, kernel_name(operator, (dtype,)), (dtype,), target, case)
