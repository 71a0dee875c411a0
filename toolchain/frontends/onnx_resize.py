"""ONNX Resize, in Relax."""

from __future__ import annotations

from typing import Any

import numpy as np

from toolchain.frontends.converters import (
    const,
    converter,
    dtype_of,
    relax_ops,
    sizes_of,
)
from toolchain.frontends.importer import Array, Call
from toolchain.spec import SpecError

MAX_TAPS = 64  # of a Resize along one axis


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
    if coordinates == "pytorch_half_pixel" and all(wanted[i] > 1 for i in moved):
        coordinates = "half_pixel"  # differs for results of one element alone
    if coordinates == "tf_crop_and_resize":
        moved = axes
    exact = all(abs(factors[i] * shape[i] - wanted[i]) < 1e-6 for i in moved)
    if (
        (rank == 4 and set(moved) <= {2, 3} and exact and modern)
        and coordinates in ("half_pixel", "asymmetric", "align_corners")
        and mode in ("nearest", "linear")
        and not c.get("antialias", 0)
        and dtype_of(c[0]) == "float32"
        and moved
    ):
        return _image(c, wanted, mode, coordinates)
    regions = {a: _region(roi, axes, i) for i, a in enumerate(axes)}
    x = c[0]
    for axis in moved:
        matrix, outside = _weights(
            c, shape[axis], wanted[axis], factors[axis], coordinates, regions.get(axis)
        )
        x = _interpolated(c, x, axis, matrix, outside)
    return x


def _image(c: Call, wanted: list[int], mode: str, coordinates: str) -> Any:
    """Images [N, C, H, W] to a height and width.

    Kernels take no images of one column: their rows are resized as columns.
    """
    op, x, (n, channels, high, wide) = relax_ops(), c[0], c.shape(0)
    size = (wanted[2], wanted[3])
    if wide == 1:
        if high == 1:
            return op.broadcast_to(x, wanted)
        x, size = c.emit(op.reshape(x, (n, channels, 1, high))), (1, size[0])
    image = op.image.resize2d(
        x,
        size=size,
        layout="NCHW",
        method="nearest_neighbor" if mode == "nearest" else "linear",
        coordinate_transformation_mode=coordinates,
        rounding_method=c.get("nearest_mode", "round_prefer_floor"),
    )
    if wide > 1:
        return image
    column = c.emit(op.reshape(c.emit(image), (n, channels, wanted[2], 1)))
    return op.broadcast_to(column, wanted)


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
        each = [_factor(shape, a, int(n)) for a, n in zip(axes, sizes, strict=True)]
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


def _factor(shape: tuple[int, ...], axis: int, wanted: int) -> float:
    if shape[axis] == 0 != wanted:
        raise SpecError(
            f"axis {axis} of {list(shape)} has no elements to make {wanted} of; "
            "give a larger input"
        )
    return wanted / shape[axis] if wanted else 1.0


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
    op, dtype, rank = relax_ops(), dtype_of(x), len(sizes_of(x))
    most = int((matrix != 0).sum(1).max(initial=1))
    if most > MAX_TAPS:
        raise SpecError(f"reads {most} elements for one; at most {MAX_TAPS}")
    order = np.argsort(matrix == 0, axis=1, kind="stable")[:, :most]
    wide = [-1 if i == axis else 1 for i in range(rank)]
    total = None
    for tap in range(most):
        part = c.emit(op.take(x, const(order[:, tap], "int64"), axis))
        weights = np.take_along_axis(matrix, order[:, [tap]], 1)
        if not (weights == 1).all():
            part = c.emit(op.multiply(part, const(weights.reshape(wide), dtype)))
        total = part if total is None else c.emit(op.add(total, part))
    if outside.any():
        value = const(c.get("extrapolation_value", 0.0), dtype)
        total = c.emit(op.where(const(outside.reshape(wide), "bool"), value, total))
    return total
