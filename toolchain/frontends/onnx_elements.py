"""ONNX operators on elements, in Relax."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np

from toolchain.frontends.converters import (
    cast_to,
    celu_of,
    const,
    converter,
    dtype_of,
    elu_of,
    power_of,
    relax_ops,
    softplus_of,
)
from toolchain.frontends.importer import Call
from toolchain.frontends.library import has, library_call
from toolchain.spec import SpecError


@converter("Clip")
def clip(c: Call) -> Any:
    """Constant limits as relax.clip, which fusion understands; else the library's."""
    x, op = c[0], relax_ops()
    if c.opset < 11:
        limits: list[Any] = [c.get("min"), c.get("max")]
    else:
        limits = [c.value(1), c.value(2)]
    dtype = dtype_of(x)
    known = all(v is None or isinstance(v, (float, np.ndarray)) for v in limits)
    if known and dtype == "float32":
        low, high = (
            np.float32(d if v is None or np.isnan(v) else np.asarray(v).item())
            for v, d in zip(limits, (-np.inf, np.inf), strict=True)
        )
        return op.clip(x, float(min(low, high)), float(high))
    given = [
        None if v is None else c[i] if c.opset >= 11 else const(v, dtype)
        for i, v in enumerate(limits, 1)
    ]
    if dtype == "float32":  # NaN has the library's bits
        ends = [
            const(d, dtype) if v is None else v
            for v, d in zip(given, (-np.inf, np.inf), strict=True)
        ]
        return library_call("clip", [x, *ends], c.shape(0), dtype)
    least, most = given
    if least is not None:
        x = c.emit(op.maximum(x, least))
    return x if most is None else op.minimum(x, most)


@converter("Sum", "Max", "Min", "Mean")
def chain(c: Call) -> Any:
    """A chain of binary operations."""
    op = relax_ops()
    step = {"Max": op.maximum, "Min": op.minimum}.get(c.node.op_type, op.add)
    inputs = [c[i] for i in range(len(c.inputs))]
    total = reduce(lambda a, b: c.emit(step(a, b)), inputs)
    if c.node.op_type == "Mean":
        total = op.divide(total, const(len(inputs), dtype_of(total)))
    return total


@converter("Pow")
def power(c: Call) -> Any:
    """Small constant exponents as products and roots."""
    op, x, exponent = relax_ops(), c[0], c.value(1)
    if dtype_of(x).startswith("float") and isinstance(exponent, np.ndarray):
        value = exponent.item() if exponent.size == 1 and exponent.ndim == 0 else None
        if value is None and exponent.size == 1 and exponent.ndim <= len(c.shape(0)):
            value = exponent.item()
        simple: dict[float, Callable[[], Any]] = {
            0.5: lambda: _root(c, x),
            1.0: lambda: x,
            2.0: lambda: op.multiply(x, x),
            3.0: lambda: op.multiply(c.emit(op.multiply(x, x)), x),
            -1.0: lambda: op.divide(const(1, dtype_of(x)), x),
        }
        if value in simple:
            return simple[value]()
        exact = exponent.astype(dtype_of(x))
        if np.array_equal(exact, exponent):
            return power_of(c.emit, x, const(exact, exact.dtype))
    return power_of(c.emit, x, c[1])


def _root(c: Call, x: Any) -> Any:
    """The square root, but 0 of -0 and inf of -inf, as a power has them."""
    op, dtype = relax_ops(), dtype_of(x)
    zero, least, most = (const(v, dtype) for v in (0, -np.inf, np.inf))
    finite = c.emit(op.where(c.emit(op.equal(x, least)), most, x))
    none = c.emit(op.equal(x, zero))
    return op.where(none, zero, c.emit(op.sqrt(finite)))


@converter("Mod")
def modulo(c: Call) -> Any:
    """The sign of the divisor; with fmod that of the dividend."""
    op, a, b = relax_ops(), c[0], c[1]
    fmod, dtype = int(c.get("fmod", 0)), dtype_of(a)
    _check_divisor(c)
    if has("mod", dtype):
        shape = np.broadcast_shapes(c.shape(0), c.shape(1))
        return library_call("mod", [a, b], shape, dtype, fmod=fmod)
    if dtype.startswith("float"):
        raise SpecError(f"takes {dtype}; use float32 or integers")
    return (op.mod if fmod else op.floor_mod)(a, _nonzero(c, b))


@converter("Div")
def divide(c: Call) -> Any:
    """A quotient; of integers without its fraction."""
    a, b = c[0], c[1]
    _check_divisor(c)
    known = dtype_of(a).startswith("float") or has("div", dtype_of(a))
    return relax_ops().divide(a, b if known else _nonzero(c, b))


def _check_divisor(c: Call) -> None:
    """SpecError for a constant integer divisor that has a 0."""
    value = c.value(1)
    if isinstance(value, np.ndarray) and value.dtype.kind != "f" and not value.all():
        raise SpecError("its divisor has a 0; correct the model")


def _nonzero(c: Call, divisor: Any) -> Any:
    """An integer divisor, 1 instead of 0: a division by 0 traps."""
    op, dtype = relax_ops(), dtype_of(divisor)
    zero = c.emit(op.equal(divisor, const(0, dtype)))
    return c.emit(op.where(zero, const(1, dtype), divisor))


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


@converter("ThresholdedRelu")
def thresholded_relu(c: Call) -> Any:
    """X above alpha, else 0, also for NaN."""
    op, x = relax_ops(), c[0]
    dtype = dtype_of(x)
    above = c.emit(op.greater(x, const(c.get("alpha", 1.0), dtype)))
    return op.where(above, x, const(0, dtype))


@converter("Shrink")
def shrink(c: Call) -> Any:
    """X moved towards 0 by bias where |X| > lambd, else 0."""
    op, x = relax_ops(), c[0]
    dtype = dtype_of(x)
    edge, bias, zero = (
        const(v, dtype) for v in (c.get("lambd", 0.5), c.get("bias", 0.0), 0)
    )
    below = c.emit(op.less(x, c.emit(op.negative(edge))))
    raised = c.emit(op.where(below, c.emit(op.add(x, bias)), zero))
    above = c.emit(op.greater(x, edge))
    return op.where(above, c.emit(op.subtract(x, bias)), raised)


@converter("Selu")
def selu(c: Call) -> Any:
    """Gamma times Elu."""
    op, x = relax_ops(), c[0]
    below = elu_of(c.emit, x, c.get("alpha", 1.6732632))
    return op.multiply(below, const(c.get("gamma", 1.050701), dtype_of(x)))


@converter("Celu")
def celu(c: Call) -> Any:
    """Alpha (exp(X / alpha) - 1) below 0."""
    return celu_of(c.emit, c[0], c.get("alpha", 1.0))


@converter("Elu")
def elu(c: Call) -> Any:
    """Alpha (exp(X) - 1) below 0."""
    return elu_of(c.emit, c[0], c.get("alpha", 1.0))


@converter("Mish")
def mish(c: Call) -> Any:
    """X tanh(log(1 + exp(X)))."""
    op, x = relax_ops(), c[0]
    inner = softplus_of(c.emit, x)
    return op.multiply(x, c.emit(op.tanh(inner)))


@converter("Swish")
def swish(c: Call) -> Any:
    """X / (1 + exp(-alpha X))."""
    op, x, alpha = relax_ops(), c[0], c.get("alpha", 1.0)
    if alpha == 1:
        return op.nn.silu(x)
    scaled = c.emit(op.multiply(x, const(alpha, dtype_of(x))))
    return op.multiply(x, c.emit(op.sigmoid(scaled)))


@converter("Cast")
def cast(c: Call) -> Any:
    """As another dtype; floats beyond an integer's range become its end, NaN 0."""
    from onnx import helper

    to = str(helper.tensor_dtype_to_np_dtype(c.get("to")))
    return cast_to(c.emit, c[0], to)


@converter("SpaceToDepth")
def space_to_depth(c: Call) -> Any:
    """Blocks of a plane become channels, before (DCR) or behind (CRD) the depth."""
    op, size = relax_ops(), c.get("blocksize")
    n, depth, height, width = c.shape(0)
    rows, columns = height // size, width // size
    parts = c.emit(op.reshape(c[0], (n, depth, rows, size, columns, size)))
    order = {"DCR": [0, 3, 5, 1, 2, 4], "CRD": [0, 1, 3, 5, 2, 4]}
    moved = c.emit(op.permute_dims(parts, order[c.get("mode", "DCR")]))
    return op.reshape(moved, (n, depth * size * size, rows, columns))


@converter("Softsign")
def softsign(c: Call) -> Any:
    """X / (1 + |x|)."""
    op, x = relax_ops(), c[0]
    return op.divide(x, c.emit(op.add(const(1, dtype_of(x)), c.emit(op.abs(x)))))


@converter("IsInf")
def is_inf(c: Call) -> Any:
    """Infinities of the signs that are asked for."""
    op, x = relax_ops(), c[0]
    dtype = dtype_of(x)
    found = [
        c.emit(op.equal(x, const(value, dtype)))
        for value, name in ((np.inf, "detect_positive"), (-np.inf, "detect_negative"))
        if c.get(name, 1)
    ]
    if not found:
        return np.zeros(c.shape(0), bool)
    return reduce(lambda a, b: c.emit(op.logical_or(a, b)), found)


@converter("BitShift")
def bit_shift(c: Call) -> Any:
    """0, or -1 for the sign, where all bits leave."""
    op, x, by = relax_ops(), c[0], c[1]
    dtype = dtype_of(x)
    limits = np.iinfo(dtype)
    past = c.emit(op.greater_equal(by, const(limits.bits, dtype)))
    if limits.min:
        past = c.emit(op.logical_or(past, c.emit(op.less(by, const(0, dtype)))))
    inside = c.emit(op.where(past, const(0, dtype), by))
    rest = const(0, dtype)
    if c.get("direction") == "LEFT":
        shifted = c.emit(op.left_shift(x, inside))
    else:
        shifted = c.emit(op.right_shift(x, inside))
        if limits.min:
            rest = c.emit(op.right_shift(x, const(limits.bits - 1, dtype)))
    return op.where(past, rest, shifted)


@converter("CumSum", "CumProd")
def cumulate(c: Call) -> Any:
    """By doubling: each step adds what stands 1, 2, 4, ... places before."""
    op, shape = relax_ops(), c.shape(0)
    axis_of = c.constant(1, "axis")
    assert axis_of is not None
    axis = int(axis_of.item()) % len(shape)
    n, back = shape[axis], bool(c.get("reverse", 0))
    product = c.node.op_type == "CumProd"
    if not product and has("cum_sum", dtype_of(c[0])):
        given = {n: c.get(n, 0) for n in ("exclusive", "reverse")}
        return library_call(
            "cum_sum", [c[0]], shape, dtype_of(c[0]), axis=axis, **given
        )
    step, neutral = (op.multiply, 1) if product else (op.add, 0)

    def moved(x: Any, by: int) -> Any:
        size = list(shape)
        size[axis] = min(by, n)
        edge = const(np.full(size, neutral), dtype_of(x))
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


@converter("EyeLike")
def eye_like(c: Call) -> Any:
    """A constant: ones on a diagonal."""
    from onnx import helper

    rows, columns = c.shape(0)
    number = c.get("dtype")
    x = c.value(0)
    dtype = x.dtype if isinstance(x, np.ndarray) else dtype_of(x)
    if number:
        dtype = helper.tensor_dtype_to_np_dtype(number)
    return np.eye(rows, columns, c.get("k", 0), dtype=dtype)
