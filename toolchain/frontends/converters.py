"""Converters: ONNX operators in Relax, where TVM's importer falls short.

Each takes a Call (see importer.py) and gives a Relax expression, numpy, or a list of
them. No index may lead out of a tensor, whatever it is: indices that are not constant
are limited to the axis.
Source: ONNX operators as of opset 23.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from itertools import product
from typing import Any

import numpy as np

from toolchain.frontends.importer import Array, Call
from toolchain.spec import SpecError

Converter = Callable[[Call], Any]
CONVERTERS: dict[tuple[str, str], Converter] = {}
MAX_TAPS = 64  # of a Resize along one axis


def converter(*names: str, domain: str = "") -> Callable[[Converter], Converter]:
    """Register a converter for operators of a domain."""

    def register(function: Converter) -> Converter:
        CONVERTERS.update({(domain, name): function for name in names})
        return function

    return register


def _op() -> Any:
    from tvm import relax

    return relax.op


def _const(value: Any, dtype: Any) -> Any:
    from tvm import relax

    return relax.const(np.asarray(value, str(dtype)), str(dtype))


def _dtype(x: Any) -> str:
    return str(x.ty.dtype)


def _sizes(x: Any) -> tuple[int, ...]:
    return tuple(int(n) for n in x.ty.shape)


# Elements


@converter("Clip")
def clip(c: Call) -> Any:
    """Constant limits as relax.clip, which fusion understands."""
    x, op = c[0], _op()
    if c.opset < 11:
        limits: list[Any] = [c.get("min"), c.get("max")]
    else:
        limits = [c.value(1), c.value(2)]
    dtype = _dtype(x)
    known = all(v is None or isinstance(v, (float, np.ndarray)) for v in limits)
    if known and dtype == "float32":
        low, high = (
            np.float32(d if v is None or np.isnan(v) else np.asarray(v).item())
            for v, d in zip(limits, (-np.inf, np.inf), strict=True)
        )
        return op.clip(x, float(min(low, high)), float(high))
    low, high = limits
    if low is not None:
        x = c.emit(op.maximum(x, c[1] if c.opset >= 11 else _const(low, dtype)))
    if high is not None:
        x = c.emit(op.minimum(x, c[2] if c.opset >= 11 else _const(high, dtype)))
    return x


@converter("Sum", "Max", "Min", "Mean")
def chain(c: Call) -> Any:
    """A chain of binary operations."""
    op = _op()
    step = {"Max": op.maximum, "Min": op.minimum}.get(c.node.op_type, op.add)
    inputs = [c[i] for i in range(len(c.inputs))]
    total = reduce(lambda a, b: c.emit(step(a, b)), inputs)
    if c.node.op_type == "Mean":
        total = op.divide(total, _const(len(inputs), _dtype(total)))
    return total


@converter("Pow")
def power(c: Call) -> Any:
    """Small constant exponents as products and roots."""
    op, x, exponent = _op(), c[0], c.value(1)
    if _dtype(x).startswith("float") and isinstance(exponent, np.ndarray):
        value = exponent.item() if exponent.size == 1 and exponent.ndim == 0 else None
        if value is None and exponent.size == 1 and exponent.ndim <= len(c.shape(0)):
            value = exponent.item()
        simple: dict[float, Callable[[], Any]] = {
            0.5: lambda: op.sqrt(x),
            1.0: lambda: x,
            2.0: lambda: op.multiply(x, x),
            3.0: lambda: op.multiply(c.emit(op.multiply(x, x)), x),
            -1.0: lambda: op.divide(_const(1, _dtype(x)), x),
        }
        if value in simple:
            return simple[value]()
    if not _dtype(c[1]).startswith("float") and not _dtype(x).startswith("float"):
        return _integer_power(c, x, c[1])
    real, by = (c.emit(op.astype(v, "float32")) for v in (x, c[1]))
    return op.astype(c.emit(op.power(real, by)), _dtype(x))


def _integer_power(c: Call, x: Any, exponent: Any) -> Any:
    """By squaring; 0 for negative exponents but of 1 and -1, as an integer."""
    op, dtype = _op(), _dtype(x)
    exponent = c.emit(op.astype(exponent, dtype))
    one, zero = _const(1, dtype), _const(0, dtype)
    negative = c.emit(op.less(exponent, zero))
    left = c.emit(op.abs(exponent))
    total = one
    for bit in range(6):  # 2^63 is the largest power below overflow
        place = c.emit(op.right_shift(left, _const(bit, dtype)))
        odd = c.emit(op.equal(c.emit(op.bitwise_and(place, one)), one))
        total = c.emit(op.where(odd, c.emit(op.multiply(total, x)), total))
        x = c.emit(op.multiply(x, x))
    unit = c.emit(op.equal(c.emit(op.abs(total)), one))
    return op.where(negative, c.emit(op.where(unit, total, zero)), total)


@converter("Mod")
def modulo(c: Call) -> Any:
    """The sign of the divisor; with fmod that of the dividend."""
    op, a, b = _op(), c[0], c[1]
    fmod = bool(c.get("fmod", 0))
    if not _dtype(a).startswith("float"):
        b = _nonzero(c, b)
        return op.mod(a, b) if fmod else op.floor_mod(a, b)
    if not fmod:
        return op.floor_mod(a, b)
    whole = c.emit(op.trunc(c.emit(op.divide(a, b))))
    return op.subtract(a, c.emit(op.multiply(whole, b)))


def _nonzero(c: Call, divisor: Any) -> Any:
    """An integer divisor, 1 instead of 0: a division by 0 traps."""
    value = c.value(1)
    if isinstance(value, np.ndarray):
        if not value.all():
            raise SpecError("its divisor has a 0; correct the model")
        return divisor
    op, dtype = _op(), _dtype(divisor)
    zero = c.emit(op.equal(divisor, _const(0, dtype)))
    return c.emit(op.where(zero, _const(1, dtype), divisor))


@converter("Div")
def divide(c: Call) -> Any:
    """A quotient; of integers without its fraction."""
    op, a, b = _op(), c[0], c[1]
    if _dtype(a).startswith("float"):
        return op.divide(a, b)
    return op.divide(a, _nonzero(c, b))


@converter("Identity")
def identity(c: Call) -> Any:
    """The input itself."""
    return c.inputs[0]


@converter("Dropout")
def dropout(c: Call) -> Any:
    """The input itself, as in inference; the mask is true everywhere."""
    if c.value(2) is not None and c.opset >= 12:
        training = c.constant(2, "training_mode")
        ratio = c.constant(1, "ratio")
        ratio = np.array(0.5) if ratio is None else ratio
        if training is not None and training.item() and ratio.item():
            raise SpecError("drops at random in training mode; export for inference")
    return [c.inputs[0], np.ones(c.shape(0), bool)]


@converter("Softsign")
def softsign(c: Call) -> Any:
    """x / (1 + |x|)."""
    op, x = _op(), c[0]
    return op.divide(x, c.emit(op.add(_const(1, _dtype(x)), c.emit(op.abs(x)))))


# Functions that wasm has no instruction and toolchain.spec.math no formula for,
# by those it has.


@converter("Sinh", "Cosh")
def hyperbolic(c: Call) -> Any:
    """(exp(x) - exp(-x)) / 2 or the sum; near 0 sinh by its series."""
    op, x = _op(), c[0]
    dtype = _dtype(x)
    half = _const(0.5, dtype)
    up = c.emit(op.exp(x))
    down = c.emit(op.divide(_const(1, dtype), up))
    if c.node.op_type == "Cosh":
        return op.multiply(c.emit(op.add(up, down)), half)
    large = c.emit(op.multiply(c.emit(op.subtract(up, down)), half))
    square = c.emit(op.multiply(x, x))
    small = _polynomial(c, square, (1, 1 / 6, 1 / 120, 1 / 5040, 1 / 362880))
    near = c.emit(op.less(c.emit(op.abs(x)), _const(1, dtype)))
    return op.where(near, c.emit(op.multiply(x, small)), large)


def _polynomial(c: Call, x: Any, coefficients: Sequence[float]) -> Any:
    """Horner's rule, from the constant on."""
    op, dtype = _op(), _dtype(x)
    total = _const(coefficients[-1], dtype)
    for k in coefficients[-2::-1]:
        total = c.emit(op.add(c.emit(op.multiply(total, x)), _const(k, dtype)))
    return total


@converter("Tan")
def tangent(c: Call) -> Any:
    """sin(x) / cos(x)."""
    op, x = _op(), c[0]
    return op.divide(c.emit(op.sin(x)), c.emit(op.cos(x)))


# Indices


def _limited(c: Call, indices: Any, extents: Any, constant: Array | None) -> Any:
    """Indices from 0 on that lie in their axes: negative ones count from the end."""
    op = _op()
    extents = np.asarray(extents)
    if not extents.all() and (constant is None or constant.size):
        raise SpecError("reads from an axis of size 0; correct the model")
    if constant is not None:
        if ((constant < -extents) | (constant >= extents)).any():
            raise SpecError(
                f"its indices {constant.min()}..{constant.max()} lie outside of size "
                f"{extents.tolist()}; correct them"
            )
        fixed = np.where(constant < 0, constant + extents, constant)
        return _const(fixed, constant.dtype)
    dtype = _dtype(indices)
    size = _const(extents, dtype)
    if not dtype.startswith("u"):
        low = c.emit(op.less(indices, _const(0, dtype)))
        indices = c.emit(op.where(low, c.emit(op.add(indices, size)), indices))
        indices = c.emit(op.maximum(indices, _const(0, dtype)))
    return c.emit(op.minimum(indices, _const(extents - 1, dtype)))


def _known(value: Any) -> Array | None:
    return value if isinstance(value, np.ndarray) else None


@converter("Gather")
def gather(c: Call) -> Any:
    """Slices at indices along an axis."""
    shape = c.shape(0)
    axis = c.get("axis", 0) % len(shape)
    indices = _limited(c, c[1], shape[axis], _known(c.value(1)))
    return _op().take(c[0], indices, axis)


@converter("GatherElements")
def gather_elements(c: Call) -> Any:
    """Elements at indices along an axis."""
    shape = c.shape(0)
    axis = c.get("axis", 0) % len(shape)
    indices = _limited(c, c[1], shape[axis], _known(c.value(1)))
    return _op().gather_elements(c[0], indices, axis)


@converter("GatherND")
def gather_nd(c: Call) -> Any:
    """Slices at tuples of indices."""
    batch = c.get("batch_dims", 0)
    extents = c.shape(0)[batch : batch + c.shape(1)[-1]]
    indices = _limited(c, c[1], extents, _known(c.value(1)))
    return _op().gather_nd(c[0], indices, batch)


def _reduction(c: Call) -> str:
    name = str(c.get("reduction", "none"))
    return "update" if name == "none" else name


@converter("ScatterElements", "Scatter")
def scatter_elements(c: Call) -> Any:
    """Updates at indices along an axis, as one scatter of elements."""
    op, shape, at = _op(), c.shape(0), c.shape(1)
    axis = c.get("axis", 0) % len(shape)
    indices = _limited(c, c[1], shape[axis], _known(c.value(1)))
    # TVM's scatter_elements takes indices only where their other sizes are the data's.
    count = int(np.prod(at))
    grid = np.moveaxis(np.indices(at), 0, -1).reshape(count, len(at))
    columns = [_const(grid[:, [i]], _dtype(indices)) for i in range(len(at))]
    columns[axis] = c.emit(op.reshape(indices, (count, 1)))
    places = c.emit(op.concat(columns, 1)) if len(at) > 1 else columns[0]
    updates = c.emit(op.reshape(c[2], (count,)))
    return op.scatter_nd(c[0], places, updates, _reduction(c))


@converter("ScatterND")
def scatter_nd(c: Call) -> Any:
    """Updates at tuples of indices."""
    indices = _limited(c, c[1], c.shape(0)[: c.shape(1)[-1]], _known(c.value(1)))
    return _op().scatter_nd(c[0], indices, c[2], _reduction(c))


@converter("OneHot")
def one_hot(c: Call) -> Any:
    """values[1] where the place along the axis is the index, else values[0]."""
    op, depth = _op(), c.constant(1, "depth")
    assert depth is not None
    count, rank = int(depth.item()), len(c.shape(0)) + 1
    axis = c.get("axis", -1) % rank
    indices = c.emit(op.astype(c[0], "int64")) if _dtype(c[0]) != "int64" else c[0]
    low = c.emit(op.less(indices, _const(0, "int64")))
    wrapped = c.emit(op.add(indices, _const(count, "int64")))
    indices = c.emit(op.where(low, wrapped, indices))
    places = np.arange(count).reshape([-1 if i == axis else 1 for i in range(rank)])
    wide = c.emit(op.expand_dims(indices, axis))
    hit = c.emit(op.equal(wide, _const(places, "int64")))
    parts = [c.emit(op.take(c[2], _const(i, "int64"), 0)) for i in (1, 0)]
    return op.where(hit, *parts)


# Normalization


@converter("BatchNormalization")
def batch_normalization(c: Call) -> Any:
    """Beside a convolution as Relax's, for folding; else a factor and a summand."""
    from tvm import relax

    op = relax.op
    if c.get("training_mode", 0) or len(c.node.output) > 1 and c.opset >= 14:
        raise SpecError("is in training mode; export for inference")
    x, gamma, beta, mean, variance = (c[i] for i in range(5))
    epsilon = c.get("epsilon", 1e-5)
    producer = (
        c.importer.builder.lookup_binding(x) if isinstance(x, relax.Var) else None
    )
    name = getattr(getattr(producer, "op", None), "name", "")
    rank = len(c.shape(0))
    if name == "relax.nn.conv2d":
        norm = c.emit(op.nn.batch_norm(x, gamma, beta, mean, variance, 1, epsilon))
        return relax.TupleGetItem(norm, 0)
    known = [_known(c.value(i)) for i in range(1, 5)]
    wide = (-1, *[1] * (rank - 2))
    if all(k is not None for k in known):
        g, b, m, v = (k.astype("float64") for k in known if k is not None)
        factor = g / np.sqrt(v + epsilon)
        summand = b - m * factor
        dtype = _dtype(x)
        scaled = c.emit(op.multiply(x, _const(factor.reshape(wide), dtype)))
        return op.add(scaled, _const(summand.reshape(wide), dtype))
    shape = (c.shape(1)[0], *[1] * (rank - 2))
    root = c.emit(op.sqrt(c.emit(op.add(variance, _const(epsilon, _dtype(x))))))
    factor = c.emit(op.divide(gamma, root))
    centred = c.emit(op.subtract(x, c.emit(op.reshape(mean, shape))))
    scaled = c.emit(op.multiply(centred, c.emit(op.reshape(factor, shape))))
    return op.add(scaled, c.emit(op.reshape(beta, shape)))


@converter("LRN")
def local_response(c: Call) -> Any:
    """x / (bias + alpha / size sum x^2) ^ beta over a window of channels."""
    op, x, shape = _op(), c[0], c.shape(0)
    size, dtype = c.get("size"), _dtype(x)
    square = c.emit(op.multiply(x, x))
    before = (size - 1) // 2
    widths = [0, 0, before, size - 1 - before] + [0, 0] * (len(shape) - 2)
    padded = c.emit(op.nn.pad(square, widths))
    parts = [
        c.emit(op.strided_slice(padded, [1], [i], [i + shape[1]])) for i in range(size)
    ]
    total = reduce(lambda a, b: c.emit(op.add(a, b)), parts)
    scaled = c.emit(op.multiply(total, _const(c.get("alpha", 1e-4) / size, dtype)))
    base = c.emit(op.add(scaled, _const(c.get("bias", 1.0), dtype)))
    beta = c.get("beta", 0.75)
    root = c.emit(op.sqrt(base))
    if beta == 0.75:  # the usual one, without a power
        root = c.emit(op.multiply(root, c.emit(op.sqrt(root))))
    elif beta != 0.5:
        root = c.emit(op.power(base, _const(beta, dtype)))
    return op.divide(x, root)


# Resize


@converter("Resize")
def resize(c: Call) -> Any:
    """Each axis by constant places and weights; plain cases as relax.image.resize2d."""
    modern = c.opset >= 11
    scales = c.constant(2 if modern else 1, "scales")
    sizes = c.constant(3, "sizes") if modern else None
    roi = c.constant(1, "roi") if modern else None
    mode = c.get("mode", "nearest")
    rank, shape = len(c.shape(0)), c.shape(0)
    axes = [a % rank for a in c.get("axes", range(rank))]
    factors, wanted = _resized(c, shape, axes, scales, sizes)
    coordinates = c.get("coordinate_transformation_mode", "half_pixel")
    if not modern:
        coordinates = "asymmetric"
    moved = [i for i in range(rank) if factors[i] != 1 or wanted[i] != shape[i]]
    if coordinates == "tf_crop_and_resize":
        moved = axes
    exact = all(abs(factors[i] * shape[i] - wanted[i]) < 1e-6 for i in moved)
    if (
        (rank == 4 and set(moved) <= {2, 3} and exact and modern)
        and coordinates in ("half_pixel", "asymmetric", "align_corners")
        and mode in ("nearest", "linear")
        and not c.get("antialias", 0)
        and _dtype(c[0]) == "float32"
        and moved
    ):
        return _op().image.resize2d(
            c[0],
            size=(wanted[2], wanted[3]),
            layout="NCHW",
            method="nearest_neighbor" if mode == "nearest" else "linear",
            coordinate_transformation_mode=coordinates,
            rounding_method=c.get("nearest_mode", "round_prefer_floor"),
        )
    regions = {a: _region(roi, axes, i) for i, a in enumerate(axes)}
    x = c[0]
    for axis in moved:
        matrix, outside = _weights(
            c, shape[axis], wanted[axis], factors[axis], coordinates, regions.get(axis)
        )
        x = _interpolated(c, x, axis, matrix, outside)
    return x


@converter("Upsample")
def upsample(c: Call) -> Any:
    """Resize as of opset 10."""
    if c.opset < 9:
        c.inputs.append(np.array(c.get("scales"), "float32"))
    c.opset = 10
    return resize(c)


def _region(roi: Array | None, axes: list[int], i: int) -> tuple[float, float]:
    if roi is None or roi.size != 2 * len(axes):
        return 0.0, 1.0
    return float(roi[i]), float(roi[i + len(axes)])


def _resized(
    c: Call,
    shape: tuple[int, ...],
    axes: list[int],
    scales: Array | None,
    sizes: Array | None,
) -> tuple[list[float], list[int]]:
    """Factor and new size of each axis."""
    factors, wanted = [1.0] * len(shape), list(shape)
    if sizes is not None and sizes.size:
        policy = c.get("keep_aspect_ratio_policy", "stretch")
        each = [int(n) / shape[a] for a, n in zip(axes, sizes, strict=True)]
        if policy != "stretch":
            one = min(each) if policy == "not_larger" else max(each)
            each = [one] * len(each)
        for axis, factor, size in zip(axes, each, sizes, strict=True):
            factors[axis] = factor
            wanted[axis] = int(size)
            if policy != "stretch":
                wanted[axis] = int(np.floor(factor * shape[axis] + 0.5))
    elif scales is not None and scales.size:
        for axis, scale in zip(axes, scales, strict=True):
            factors[axis] = float(scale)
            wanted[axis] = int(np.floor(float(scale) * shape[axis]))
    else:
        raise SpecError("has neither scales nor sizes; give one of them")
    return factors, wanted


def _weights(
    c: Call,
    size: int,
    wanted: int,
    factor: float,
    coordinates: str,
    region: tuple[float, float] | None,
) -> tuple[Array, Array]:
    """Weights [wanted, size] of one axis, and which places lie outside."""
    start, end = region or (0.0, 1.0)
    places = np.arange(wanted, dtype="float64")
    width = factor * size
    if coordinates == "half_pixel":
        x = (places + 0.5) / factor - 0.5
    elif coordinates == "half_pixel_symmetric":
        centre = size / 2 * (1 - wanted / width)
        x = centre + (places + 0.5) / factor - 0.5
    elif coordinates == "pytorch_half_pixel":
        x = (places + 0.5) / factor - 0.5 if width > 1 else 0 * places
    elif coordinates == "align_corners":
        x = places * (size - 1) / (width - 1) if width != 1 else 0 * places
    elif coordinates == "asymmetric":
        x = places / factor
    elif coordinates == "tf_crop_and_resize":
        x = (
            start * (size - 1) + places * (end - start) * (size - 1) / (wanted - 1)
            if wanted > 1
            else 0.5 * (start + end) * (size - 1) + 0 * places
        )
    else:
        raise SpecError(f"has coordinates {coordinates!r}, which are not supported")
    outside = (
        (x < 0) | (x > size - 1)
        if coordinates == "tf_crop_and_resize"
        else np.zeros(wanted, bool)
    )
    matrix = np.zeros((wanted, size))
    for i, place in enumerate(x):
        for at, weight in _taps(c, float(place), factor, size):
            matrix[i, min(max(at, 0), size - 1)] += weight
    return matrix, outside


def _taps(c: Call, place: float, factor: float, size: int) -> list[tuple[int, float]]:
    """Neighbours of a place and their weights."""
    mode = c.get("mode", "nearest")
    if mode == "nearest":
        return [(_nearest(c, place), 1.0)]
    stretch = min(factor, 1.0) if c.get("antialias", 0) else 1.0
    reach = (1 if mode in ("linear", "bilinear") else 2) / stretch
    a = c.get("cubic_coeff_a", -0.75)
    first, last = int(np.floor(place - reach)) + 1, int(np.ceil(place + reach)) - 1
    taps = []
    for at in range(first, last + 1):
        d = abs(at - place) * stretch
        if mode in ("linear", "bilinear"):
            weight = max(0.0, 1 - d)
        elif d <= 1:
            weight = (a + 2) * d**3 - (a + 3) * d**2 + 1
        else:
            weight = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a if d < 2 else 0.0
        taps.append((at, weight))
    if c.get("exclude_outside", 0):
        taps = [(at, w) for at, w in taps if 0 <= at < size]
    if c.get("exclude_outside", 0) or stretch != 1:
        total = sum(w for _, w in taps)
        taps = [(at, w / total) for at, w in taps]
    return taps


def _nearest(c: Call, place: float) -> int:
    rule = c.get("nearest_mode", "round_prefer_floor" if c.opset >= 11 else "floor")
    place = round(place, 9)  # ties are ties whatever the rounding before
    return int(
        {
            "round_prefer_floor": np.ceil(place - 0.5),
            "round_prefer_ceil": np.floor(place + 0.5),
            "floor": np.floor(place),
            "ceil": np.ceil(place),
        }[rule]
    )


def _interpolated(c: Call, x: Any, axis: int, matrix: Array, outside: Array) -> Any:
    """The products of an axis by a matrix with few elements in each row."""
    op, dtype, rank = _op(), _dtype(x), len(_sizes(x))
    most = int((matrix != 0).sum(1).max(initial=1))
    if most > MAX_TAPS:
        raise SpecError(f"reads {most} elements for one; at most {MAX_TAPS}")
    order = np.argsort(matrix == 0, axis=1, kind="stable")[:, :most]
    wide = [-1 if i == axis else 1 for i in range(rank)]
    total = None
    for tap in range(most):
        part = c.emit(op.take(x, _const(order[:, tap], "int64"), axis))
        weights = np.take_along_axis(matrix, order[:, [tap]], 1)
        if not (weights == 1).all():
            part = c.emit(op.multiply(part, _const(weights.reshape(wide), dtype)))
        total = part if total is None else c.emit(op.add(total, part))
    if outside.any():
        value = _const(c.get("extrapolation_value", 0.0), dtype)
        total = c.emit(op.where(_const(outside.reshape(wide), "bool"), value, total))
    return total


# Quantized arithmetic


def _per_axis(c: Call, value: Any, rank: int, axis: int) -> Any:
    """A scale or zero point so that it broadcasts along the axis."""
    shape = _sizes(value)
    if int(np.prod(shape)) == 1:
        return c.emit(_op().reshape(value, ())) if shape else value
    wide = [shape[0] if i == axis else 1 for i in range(rank)]
    return c.emit(_op().reshape(value, wide))


def _blocks(c: Call, value: Any, shape: tuple[int, ...], axis: int, size: int) -> Any:
    """A scale or zero point per block, for each element."""
    if not size:
        return _per_axis(c, value, len(shape), axis)
    wide = c.emit(_op().repeat(value, size, axis))
    return c.emit(_op().strided_slice(wide, [axis], [0], [shape[axis]]))


def _quantized(c: Call, x: Any, scale: Any, zero: Any, dtype: str) -> Any:
    """saturate(round(x / scale) + zero), rounding ties to even."""
    op = _op()
    whole = c.emit(op.round(c.emit(op.divide(x, scale))))
    if zero is not None:
        whole = c.emit(op.add(whole, c.emit(op.astype(zero, "float32"))))
    limits = np.iinfo(dtype)
    inside = c.emit(op.clip(whole, float(limits.min), float(limits.max)))
    return c.emit(op.astype(inside, dtype))


def _dequantized(c: Call, x: Any, scale: Any, zero: Any) -> Any:
    """(x - zero) * scale."""
    op = _op()
    if zero is not None:
        x, zero = (c.emit(op.astype(v, "int32")) for v in (x, zero))
        x = c.emit(op.subtract(x, zero))
    return op.multiply(c.emit(op.astype(x, "float32")), scale)


INTEGERS = ("int8", "uint8", "int16", "uint16", "int32")


@converter("QuantizeLinear")
def quantize_linear(c: Call) -> Any:
    """saturate(round(x / scale) + zero)."""
    from onnx import helper

    x, scale, zero = c[0], c[1], c[2]
    number = c.get("output_dtype", 0)
    dtype = "uint8" if zero is None else _dtype(zero)
    if number:
        dtype = str(helper.tensor_dtype_to_np_dtype(number))
    if dtype not in INTEGERS:
        raise SpecError(f"makes {dtype}; use int8 or uint8")
    shape, block = c.shape(0), c.get("block_size", 0)
    axis = c.get("axis", 1) % max(len(shape), 1)
    scale = _blocks(c, scale, shape, axis, block)
    zero = None if zero is None else _blocks(c, zero, shape, axis, block)
    if _dtype(x) != "float32":
        x = c.emit(_op().astype(x, "float32"))
    return _quantized(c, x, scale, zero, dtype)


@converter("DequantizeLinear")
def dequantize_linear(c: Call) -> Any:
    """(x - zero) * scale."""
    x, scale, zero = c[0], c[1], c[2]
    if _dtype(x) not in INTEGERS or _dtype(scale) != "float32":
        raise SpecError(f"takes {_dtype(x)} to {_dtype(scale)}; use int8 and float32")
    shape, block = c.shape(0), c.get("block_size", 0)
    axis = c.get("axis", 1) % max(len(shape), 1)
    scale = _blocks(c, scale, shape, axis, block)
    zero = None if zero is None else _blocks(c, zero, shape, axis, block)
    return _dequantized(c, x, scale, zero)


@converter("DynamicQuantizeLinear")
def dynamic_quantize_linear(c: Call) -> Any:
    """To uint8 by the range of the elements and 0."""
    op, x, zero = _op(), c[0], _const(0, "float32")
    high = c.emit(op.maximum(c.emit(op.max(x)), zero))
    low = c.emit(op.minimum(c.emit(op.min(x)), zero))
    scale = c.emit(op.divide(c.emit(op.subtract(high, low)), _const(255, "float32")))
    none = c.emit(op.equal(scale, zero))
    scale = c.emit(op.where(none, _const(1, "float32"), scale))
    point = c.emit(op.round(c.emit(op.divide(c.emit(op.subtract(zero, low)), scale))))
    point = c.emit(op.astype(c.emit(op.clip(point, 0.0, 255.0)), "uint8"))
    return [_quantized(c, x, scale, point, "uint8"), scale, point]


def _centred(c: Call, x: Any, zero: Any) -> Any:
    """x - zero as int32."""
    op = _op()
    x = c.emit(op.astype(x, "int32"))
    if zero is None:
        return x
    return c.emit(op.subtract(x, c.emit(op.astype(zero, "int32"))))


def _rows(c: Call, zero: Any, rank: int) -> Any:
    """A zero point for each row of a matrix."""
    if zero is None or len(_sizes(zero)) != 1:
        return zero
    if _sizes(zero) == (1,):
        return c.emit(_op().reshape(zero, ()))
    return c.emit(_op().reshape(zero, (_sizes(zero)[0], 1))) if rank > 1 else zero


@converter("MatMulInteger")
def matmul_integer(c: Call) -> Any:
    """(a - zero) (b - zero) in int32."""
    a = _centred(c, c[0], _rows(c, c[2], len(c.shape(0))))
    return _op().matmul(a, _centred(c, c[1], c[3]), out_dtype="int32")


@converter("QLinearMatMul")
def qlinear_matmul(c: Call) -> Any:
    """MatMulInteger, requantized."""
    op = _op()
    rank = len(c.shape(0))
    a = _centred(c, c[0], _rows(c, c[2], rank))
    b = _centred(c, c[3], c[5])
    total = c.emit(op.matmul(a, b, out_dtype="int32"))
    scale = c.emit(op.multiply(_rows(c, c[1], rank), c[4]))
    real = c.emit(op.multiply(c.emit(op.astype(total, "float32")), scale))
    zero = c[7]
    return _quantized(c, real, _rows(c, c[6], rank), _rows(c, zero, rank), _dtype(zero))


def _integer_conv(c: Call, x: Any, weight: Any) -> Any:
    """The convolution of int32 tensors, each element a sum below 2^31."""
    op = _op()
    rank = len(_sizes(x)) - 2
    kernel = _sizes(weight)[2:]
    strides = c.get("strides", [1] * rank)
    dilations = c.get("dilations", [1] * rank)
    pads = _pads(c, _sizes(x)[2:], kernel, strides, dilations)
    if rank not in (1, 2, 3):
        raise SpecError(f"has {rank} spatial axes; use 1..3")
    step = (op.nn.conv1d, op.nn.conv2d, op.nn.conv3d)[rank - 1]
    return c.emit(
        step(
            x,
            weight,
            strides=strides,
            padding=pads,
            dilation=dilations,
            groups=c.get("group", 1),
            out_dtype="int32",
        )
    )


def _pads(
    c: Call,
    sizes: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> list[int]:
    """Padding before and after each axis, auto_pad resolved."""
    rule = c.get("auto_pad", "NOTSET")
    if rule == "NOTSET":
        return list(c.get("pads", [0] * 2 * len(sizes)))
    if rule == "VALID":
        return [0] * 2 * len(sizes)
    before, after = [], []
    for n, k, s, d in zip(sizes, kernel, strides, dilations, strict=True):
        total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
        less, more = total // 2, total - total // 2
        before.append(less if rule == "SAME_UPPER" else more)
        after.append(more if rule == "SAME_UPPER" else less)
    return before + after


@converter("ConvInteger")
def conv_integer(c: Call) -> Any:
    """The convolution of x - zero and w - zero, in int32."""
    zero = c[3]
    if zero is not None:
        zero = _per_axis(c, zero, len(c.shape(1)), 0)
    return _integer_conv(
        c, _centred(c, c[0], _scalar(c, c[2])), _centred(c, c[1], zero)
    )


def _scalar(c: Call, value: Any) -> Any:
    if value is None or not _sizes(value):
        return value
    return c.emit(_op().reshape(value, ()))


@converter("QLinearConv")
def qlinear_conv(c: Call) -> Any:
    """ConvInteger with a bias, requantized."""
    op, rank = _op(), len(c.shape(0))
    w_zero = _per_axis(c, c[5], rank, 0)
    x = _centred(c, c[0], _scalar(c, c[2]))
    total = _integer_conv(c, x, _centred(c, c[3], w_zero))
    if c[8] is not None:
        total = c.emit(op.add(total, _per_axis(c, c[8], rank, 1)))
    scale = c.emit(op.multiply(_scalar(c, c[1]), _per_axis(c, c[4], rank, 1)))
    real = c.emit(op.multiply(c.emit(op.astype(total, "float32")), scale))
    return _quantized(c, real, _scalar(c, c[6]), _scalar(c, c[7]), _dtype(c[7]))


# Recurrence, unrolled


def _activation(c: Call, name: str, alpha: float, beta: float) -> Callable[[Any], Any]:
    op = _op()

    def scaled(x: Any) -> Any:
        wide = c.emit(op.multiply(x, _const(alpha, "float32")))
        return c.emit(op.add(wide, _const(beta, "float32")))

    table: dict[str, Callable[[Any], Any]] = {
        "sigmoid": lambda x: c.emit(op.sigmoid(x)),
        "tanh": lambda x: c.emit(op.tanh(x)),
        "relu": lambda x: c.emit(op.nn.relu(x)),
        "leakyrelu": lambda x: c.emit(op.nn.leakyrelu(x, alpha)),
        "hardsigmoid": lambda x: c.emit(op.clip(scaled(x), 0.0, 1.0)),
        "affine": scaled,
    }
    if name.lower() not in table:
        raise SpecError(
            f"has activation {name}, which is not supported; use {', '.join(table)}"
        )
    return table[name.lower()]


_DEFAULTS = {"leakyrelu": (0.01, 0.0), "hardsigmoid": (0.2, 0.5), "affine": (1.0, 0.0)}


def _activations(c: Call, count: int, standard: Sequence[str], at: int) -> list[Any]:
    """The functions of one direction."""
    names = c.get("activations") or [*standard] * (at + 1)
    alphas, betas = (
        list(c.get("activation_alpha", [])),
        list(c.get("activation_beta", [])),
    )
    functions = []
    for name in names:
        alpha, beta = _DEFAULTS.get(name.lower(), (0.0, 0.0))
        if name.lower() in _DEFAULTS:
            alpha = alphas.pop(0) if alphas else alpha
            beta = betas.pop(0) if betas and name.lower() != "leakyrelu" else beta
        functions.append(_activation(c, name, alpha, beta))
    return functions[at * count : (at + 1) * count]


def _at(c: Call, x: Any, axis: int, index: int) -> Any:
    """One slice along an axis, without the axis."""
    part = c.emit(_op().strided_slice(x, [axis], [index], [index + 1]))
    return c.emit(_op().squeeze(part, [axis]))


def _gates(c: Call, x: Any, count: int) -> list[Any]:
    """Equal parts along the last axis."""
    width = _sizes(x)[-1] // count
    axis = len(_sizes(x)) - 1
    return [
        c.emit(_op().strided_slice(x, [axis], [i * width], [(i + 1) * width]))
        for i in range(count)
    ]


def _direction(c: Call, at: int, back: bool, gates: int, cell: Any) -> tuple[Any, ...]:
    """Results of one direction: [T, batch, hidden], and the last states."""
    op, x = _op(), c[0]
    if c.get("layout", 0):
        x = c.emit(op.permute_dims(x, [1, 0, 2]))
    steps, batch, width = _sizes(x)
    hidden = c.shape(2)[2]
    weight, recurrent = (c.emit(op.permute_dims(_at(c, c[i], 0, at))) for i in (1, 2))
    flat = c.emit(op.reshape(x, (steps * batch, width)))
    wide = c.emit(op.matmul(flat, weight))
    bias = [None, None]
    if c[3] is not None:
        whole = _at(c, c[3], 0, at)
        bias = _gates(c, whole, 2)
        wide = c.emit(op.add(wide, bias[0]))
    wide = c.emit(op.reshape(wide, (steps, batch, gates * hidden)))
    states = []
    for i in (5, 6)[: 2 if c.node.op_type == "LSTM" else 1]:
        if c.value(i) is None:
            states.append(_const(np.zeros((batch, hidden)), "float32"))
        else:
            states.append(_at(c, c[i], 1 if c.get("layout", 0) else 0, at))
    outputs = []
    for t in range(steps)[:: -1 if back else 1]:
        states = cell(_at(c, wide, 0, t), states, recurrent, bias[1], at)
        outputs.append(c.emit(op.expand_dims(states[0], 0)))
    outputs = outputs[:: -1 if back else 1]
    return c.emit(op.concat(outputs, 0)), *states


def _recurrent(c: Call, gates: int, cell: Any) -> list[Any]:
    op = _op()
    steps = c.shape(0)[1 if c.get("layout", 0) else 0]
    lengths = _known(c.value(4))
    if c.value(4) is not None and (lengths is None or (lengths != steps).any()):
        raise SpecError("has sequence_lens, which are not supported; leave them out")
    if not 0 < steps <= 4096:
        raise SpecError(f"has {steps} steps; use 1..4096")
    name = c.get("direction", "forward")
    kinds = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[
        name
    ]
    results = [_direction(c, i, back, gates, cell) for i, back in enumerate(kinds)]
    first, axis = (2, 1) if c.get("layout", 0) else (1, 0)
    found = []
    for i, parts in enumerate(zip(*results, strict=True)):
        wide = [c.emit(op.expand_dims(p, 1 if i == 0 else 0)) for p in parts]
        whole = (
            c.emit(op.concat(wide, 1 if i == 0 else 0)) if len(wide) > 1 else wide[0]
        )
        if axis and i == 0:
            whole = c.emit(op.permute_dims(whole, [2, 0, 1, 3]))
        elif axis:
            whole = c.emit(op.permute_dims(whole, [1, 0, 2]))
        found.append(whole)
    del first
    return found


def _limit(c: Call, x: Any) -> Any:
    bound = c.get("clip", 0.0)
    return c.emit(_op().clip(x, -bound, bound)) if bound else x


def _product(c: Call, h: Any, recurrent: Any, bias: Any) -> Any:
    y = c.emit(_op().matmul(h, recurrent))
    return y if bias is None else c.emit(_op().add(y, bias))


@converter("RNN")
def rnn(c: Call) -> list[Any]:
    """h = f(W x + R h + b)."""
    op = _op()

    def cell(x: Any, states: Any, recurrent: Any, bias: Any, at: int) -> list[Any]:
        (f,) = _activations(c, 1, ("Tanh",), at)
        total = c.emit(op.add(x, _product(c, states[0], recurrent, bias)))
        return [f(_limit(c, total))]

    return _recurrent(c, 1, cell)


@converter("GRU")
def gru(c: Call) -> list[Any]:
    """Gates z and r, and a new state h."""
    op = _op()
    hidden = c.shape(2)[2]

    def cell(x: Any, states: Any, recurrent: Any, bias: Any, at: int) -> list[Any]:
        f, g = _activations(c, 2, ("Sigmoid", "Tanh"), at)
        (h,) = states
        xz, xr, xh = _gates(c, x, 3)

        def part(first: int, last: int, state: Any) -> Any:
            span = [first * hidden], [last * hidden]
            r = c.emit(op.strided_slice(recurrent, [1], *span))
            b = None if bias is None else c.emit(op.strided_slice(bias, [0], *span))
            return _product(c, state, r, b)

        hz, hr = _gates(c, part(0, 2, h), 2)
        z = f(_limit(c, c.emit(op.add(xz, hz))))
        r = f(_limit(c, c.emit(op.add(xr, hr))))
        if c.get("linear_before_reset", 0):
            rest = c.emit(op.multiply(r, part(2, 3, h)))
        else:
            rest = part(2, 3, c.emit(op.multiply(r, h)))
        new = g(_limit(c, c.emit(op.add(xh, rest))))
        # (1 - z) new + z h
        difference = c.emit(op.subtract(h, new))
        return [c.emit(op.add(new, c.emit(op.multiply(z, difference))))]

    return _recurrent(c, 3, cell)


@converter("LSTM")
def lstm(c: Call) -> list[Any]:
    """Gates i, o, f and a cell state."""
    op = _op()

    def cell(x: Any, states: Any, recurrent: Any, bias: Any, at: int) -> list[Any]:
        f, g, h = _activations(c, 3, ("Sigmoid", "Tanh", "Tanh"), at)
        hidden, memory = states
        total = c.emit(op.add(x, _product(c, hidden, recurrent, bias)))
        i, o, forget, new = _gates(c, total, 4)
        peep = None if c[7] is None else _gates(c, _at(c, c[7], 0, at), 3)

        def gate(x: Any, index: int, state: Any) -> Any:
            if peep is not None:
                x = c.emit(op.add(x, c.emit(op.multiply(peep[index], state))))
            return f(_limit(c, x))

        i = gate(i, 0, memory)
        if c.get("input_forget", 0):
            forget = c.emit(op.subtract(_const(1, "float32"), i))
        else:
            forget = gate(forget, 2, memory)
        kept = c.emit(op.multiply(forget, memory))
        memory = c.emit(op.add(kept, c.emit(op.multiply(i, g(_limit(c, new))))))
        return [c.emit(op.multiply(gate(o, 1, memory), h(memory))), memory]

    return _recurrent(c, 4, cell)


# Functions by those that toolchain.spec.math has


def _log1p(c: Call, u: Any) -> Any:
    """log(1 + u) without loss where u is small, after Kahan."""
    op, one = _op(), _const(1, "float32")
    w = c.emit(op.add(u, one))
    near = c.emit(op.equal(w, one))
    rest = c.emit(op.subtract(w, one))
    rest = c.emit(op.where(near, one, rest))
    ratio = c.emit(op.divide(u, rest))
    whole = c.emit(op.multiply(c.emit(op.log(w)), ratio))
    far = c.emit(op.equal(w, _const(np.inf, "float32")))
    return c.emit(op.where(near, u, c.emit(op.where(far, w, whole))))


def _arctangent(c: Call, x: Any) -> Any:
    """By reduction to |x| <= tan(pi / 8) and a polynomial. Source: Cephes, atanf."""
    op = _op()
    size = c.emit(op.abs(x))
    one = _const(1, "float32")
    steep = c.emit(op.greater(size, one))
    r = c.emit(op.where(steep, c.emit(op.divide(one, size)), size))
    wide = c.emit(op.greater(r, _const(np.tan(np.pi / 8), "float32")))
    turned = c.emit(op.divide(c.emit(op.subtract(r, one)), c.emit(op.add(r, one))))
    r = c.emit(op.where(wide, turned, r))
    z = c.emit(op.multiply(r, r))
    series = _polynomial(
        c, z, (-3.33329491539e-1, 1.99777106478e-1, -1.38776856032e-1, 8.05374449538e-2)
    )
    cubic = c.emit(op.multiply(c.emit(op.multiply(series, z)), r))
    angle = c.emit(op.add(cubic, r))
    more = c.emit(op.add(angle, _const(np.pi / 4, "float32")))
    angle = c.emit(op.where(wide, more, angle))
    rest = c.emit(op.subtract(_const(np.pi / 2, "float32"), angle))
    angle = c.emit(op.where(steep, rest, angle))
    below = c.emit(op.less(x, _const(0, "float32")))
    return c.emit(op.where(below, c.emit(op.negative(angle)), angle))


@converter("Asin", "Acos", "Atan")
def inverse_circular(c: Call) -> Any:
    """By the arc tangent."""
    op, x, name = _op(), c[0], c.node.op_type
    if name == "Atan":
        return _arctangent(c, x)
    one = _const(1, "float32")
    less, more = c.emit(op.subtract(one, x)), c.emit(op.add(one, x))
    if name == "Asin":
        root = c.emit(op.sqrt(c.emit(op.multiply(less, more))))
        return _arctangent(c, c.emit(op.divide(x, root)))
    root = c.emit(op.sqrt(c.emit(op.divide(less, more))))
    return op.multiply(_arctangent(c, root), _const(2, "float32"))


@converter("Asinh", "Acosh", "Atanh")
def inverse_hyperbolic(c: Call) -> Any:
    """By the logarithm of 1 + u."""
    op, x, name = _op(), c[0], c.node.op_type
    one = _const(1, "float32")
    if name == "Atanh":
        double = c.emit(op.add(x, x))
        u = c.emit(op.divide(double, c.emit(op.subtract(one, x))))
        return op.multiply(_log1p(c, u), _const(0.5, "float32"))
    if name == "Acosh":
        t = c.emit(op.subtract(x, one))
        inside = c.emit(op.add(c.emit(op.add(t, t)), c.emit(op.multiply(t, t))))
        return _log1p(c, c.emit(op.add(t, c.emit(op.sqrt(inside)))))
    size = c.emit(op.abs(x))
    square = c.emit(op.multiply(x, x))
    root = c.emit(op.sqrt(c.emit(op.add(square, one))))
    u = c.emit(op.divide(square, c.emit(op.add(root, one))))
    found = _log1p(c, c.emit(op.add(size, u)))
    # Squares overflow from 1.8e19 on, where the 1 has long gone.
    doubled = c.emit(op.add(c.emit(op.log(size)), _const(np.log(2), "float32")))
    huge = c.emit(op.greater(size, _const(1e9, "float32")))
    found = c.emit(op.where(huge, doubled, found))
    below = c.emit(op.less(x, _const(0, "float32")))
    return op.where(below, c.emit(op.negative(found)), found)


@converter("IsInf")
def is_inf(c: Call) -> Any:
    """Infinities of the signs that are asked for."""
    op, x = _op(), c[0]
    dtype = _dtype(x)
    found = [
        c.emit(op.equal(x, _const(value, dtype)))
        for value, name in ((np.inf, "detect_positive"), (-np.inf, "detect_negative"))
        if c.get(name, 1)
    ]
    if not found:
        return np.zeros(c.shape(0), bool)
    return reduce(lambda a, b: c.emit(op.logical_or(a, b)), found)


@converter("BitShift")
def bit_shift(c: Call) -> Any:
    """0, or -1 for the sign, where all bits leave."""
    op, x, by = _op(), c[0], c[1]
    dtype = _dtype(x)
    limits = np.iinfo(dtype)
    past = c.emit(op.greater_equal(by, _const(limits.bits, dtype)))
    if limits.min:
        past = c.emit(op.logical_or(past, c.emit(op.less(by, _const(0, dtype)))))
    inside = c.emit(op.where(past, _const(0, dtype), by))
    rest = _const(0, dtype)
    if c.get("direction") == "LEFT":
        shifted = c.emit(op.left_shift(x, inside))
    else:
        shifted = c.emit(op.right_shift(x, inside))
        if limits.min:
            rest = c.emit(op.right_shift(x, _const(limits.bits - 1, dtype)))
    return op.where(past, rest, shifted)


@converter("CumSum", "CumProd")
def cumulate(c: Call) -> Any:
    """By doubling: each step adds what stands 1, 2, 4, ... places before."""
    op, shape = _op(), c.shape(0)
    axis_of = c.constant(1, "axis")
    assert axis_of is not None
    axis = int(axis_of.item()) % len(shape)
    n, back = shape[axis], bool(c.get("reverse", 0))
    product = c.node.op_type == "CumProd"
    step, neutral = (op.multiply, 1) if product else (op.add, 0)

    def moved(x: Any, by: int) -> Any:
        size = list(shape)
        size[axis] = min(by, n)
        edge = _const(np.full(size, neutral), _dtype(x))
        if by >= n:
            return edge
        begin, end = ([by], [n]) if back else ([0], [n - by])
        part = c.emit(op.strided_slice(x, [axis], begin, end))
        return c.emit(op.concat([part, edge] if back else [edge, part], axis))

    x, by = c[0], 1
    if c.get("exclusive", 0) and n:
        x = moved(x, 1)
    while by < n:
        x = c.emit(step(x, moved(x, by)))
        by *= 2
    return x


@converter("LpNormalization")
def lp_normalization(c: Call) -> Any:
    """x over its norm along an axis; 0 where that is 0."""
    op, x = _op(), c[0]
    axis = c.get("axis", -1)
    if c.get("p", 2) == 1:
        norm = c.emit(op.sum(c.emit(op.abs(x)), axis, keepdims=True))
    else:
        square = c.emit(op.multiply(x, x))
        norm = c.emit(op.sqrt(c.emit(op.sum(square, axis, keepdims=True))))
    none = c.emit(op.equal(norm, _const(0, _dtype(x))))
    norm = c.emit(op.where(none, _const(1, _dtype(x)), norm))
    return op.divide(x, norm)


@converter("EyeLike")
def eye_like(c: Call) -> Any:
    """A constant: ones on a diagonal."""
    from onnx import helper

    rows, columns = c.shape(0)
    number = c.get("dtype")
    x = c.value(0)
    dtype = x.dtype if isinstance(x, np.ndarray) else _dtype(x)
    if number:
        dtype = helper.tensor_dtype_to_np_dtype(number)
    return np.eye(rows, columns, c.get("k", 0), dtype=dtype)


@converter("ConvTranspose")
def conv_transpose(c: Call) -> Any:
    """TVM's, with pads for output_shape, which it leaves out."""
    wanted = c.attributes.get("output_shape")
    if wanted:
        sizes, kernel = c.shape(0)[2:], c.shape(1)[2:]
        rank = len(sizes)
        ones = [1] * rank
        more = c.get("output_padding", [0] * rank)
        before, after, reach = [], [], []
        for n, k, s, d, p, size in zip(
            sizes,
            kernel,
            c.get("strides", ones),
            c.get("dilations", ones),
            more,
            list(wanted)[-rank:],
            strict=True,
        ):
            total = s * (n - 1) + p + (k - 1) * d + 1 - size
            reach.append(p + max(-total, 0))
            total = max(total, 0)
            half = total // 2
            upper = c.get("auto_pad", "NOTSET") == "SAME_UPPER"
            before.append(half if upper else total - half)
            after.append(total - half if upper else half)
        c.attributes["pads"] = before + after
        c.attributes["output_padding"] = reach
        c.attributes["auto_pad"] = "NOTSET"
    return c.importer.by_tvm(c)
