"""out[k] = sum_j x[j] * exp(-2 pi i j k / n), along an axis; the inverse divides by n

Shapes: x [..., 1] (real) or [..., 2] (complex), out [..., 2]; dft_length elements (0:
all) along `axis`, cut or with zeros behind them. onesided=1 has the first n // 2 + 1
of real x; with inverse=1 it reads those and gives real elements, [..., 1].
Dtypes: computed in float64, n log n steps for any n.
Edges: a NaN or an infinity makes all of its transform NaN.
Source: ONNX DFT-20, whose dft_length and axis are tensors.
"""

import numpy as np

from toolchain.spec import Attribute, Bound, Case, Input, Operator
from toolchain.spec.cases import shape_name, values


def complex_of(x):
    return x[..., 0] + 1j * x[..., 1] if x.shape[-1] == 2 else x[..., 0] + 0j


def reference(x, axis, dft_length, inverse, onesided):
    axis, signal = axis % x.ndim, complex_of(x)
    n = dft_length or x.shape[axis]
    if inverse and onesided:
        n = dft_length or 2 * (x.shape[axis] - 1)
        signal = np.take(signal, range(min(n // 2 + 1, x.shape[axis])), axis)
    else:
        signal = np.take(signal, range(min(n, x.shape[axis])), axis)
    nan = np.where(np.isfinite(signal).all(axis, keepdims=True), 0, np.nan)
    if inverse and onesided:
        return (np.fft.irfft(signal, n, axis) + nan)[..., None]
    found = (np.fft.ifft if inverse else np.fft.fft)(signal, n, axis) + nan * (1 + 1j)
    if onesided:
        found = np.take(found, range(n // 2 + 1), axis)
    return np.stack([found.real, found.imag], -1)


def scale(x, axis, dft_length, inverse, onesided):
    """The magnitude of what is added up."""
    shape = reference(x, axis, dft_length, inverse, onesided).shape
    total = np.sum(np.abs(x), (axis % x.ndim, -1), keepdims=True)
    return np.broadcast_to(total * (2 if onesided else 1), shape)


def cases(dtypes, rng):
    for n in (1, 2, 3, 4, 5, 8, 12, 16, 17, 60, 67, 128, 134, 1031):
        for parts in (1, 2):
            x = values(rng, (2, n, parts), "float32")
            for inverse in (0, 1):
                given = {"axis": 1, "inverse": inverse}
                yield Case(f"{n}-{parts}-{inverse}", (x,), given)
        real, half = x[..., :1].copy(), values(rng, (2, n // 2 + 1, 2), "float32")
        half[:, 0, 1] = half[:, n // 2, 1] = 0
        yield Case(f"{n}-onesided", (real,), {"axis": 1, "onesided": 1})
        given = {"axis": 1, "onesided": 1, "inverse": 1, "dft_length": n}
        yield Case(f"{n}-onesided-inverse", (half,), given)
    for shape, axis in (((3, 5, 4, 2), 0), ((3, 5, 4, 2), -2), ((0, 4, 1), 1)):
        for length in (0, 3, 9):
            name = f"{shape_name(shape)}-axis{axis}-{length}"
            given = {"axis": axis, "dft_length": length}
            yield Case(name, (values(rng, shape, "float32"),), given)


def shapes(call):
    x = call.shape(0)
    numbers = [call.integer(n) for n in ("axis", "inverse", "onesided")]
    if x is None or None in numbers:
        return [x and (None,) * len(x)]
    axis, inverse, onesided = numbers
    axis, out = call.axis_of("axis", axis, len(x)), list(x)
    halved, length, size = inverse and onesided, call.number("dft_length"), x[axis]
    if not length and length is not None:
        length = None if size is None else 2 * (size - 1) if halved else size
    if length is not None and onesided and not inverse:
        length = length // 2 + 1
    out[axis], out[-1] = length, 1 if halved else 2
    return [tuple(out)]


KERNEL = Operator(
    collapse="own.plain",
    shapes=shapes,
    inputs=(Input("x", ""),),
    attributes=(
        Attribute("axis", default=-2),
        Attribute("dft_length", default=0, minimum=0),
        Attribute("inverse", default=0, minimum=0, maximum=1),
        Attribute("onesided", default=0, minimum=0, maximum=1),
    ),
    dtypes=("float32",),
    source="dft.c",
    reference=reference,
    reference_scale=scale,
    cases=cases,
    narrow="sums of the largest numbers leave float32",
    bound=Bound(ulp=1, why="one rounding of float64, of the sum of magnitudes"),
)
