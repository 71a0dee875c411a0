"""Rows: what `doit bench` measures, with every goal, as data.

A row names a call of ours, the same computation in the peers' terms, what it is
counted in and what it is to reach. Inputs are made when a row is measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from bench.errors import UnknownOperatorError

Array = NDArray[Any]
TARGETS = ("relaxed-simd", "simd128")
ENGINES = ("wasmtime", "node")
ORT_WEB: Final = "onnxruntime-web"
TFJS: Final = "tensorflow.js"
Against = Literal["ceiling", "stream", "best peer", "onnxruntime-web"]


@dataclass(frozen=True)
class Goal:
    """What a rate must be, divided by another: 0.85 of the ceiling, 1.7 x a peer's.

    ceiling: the engine's arithmetic. stream: its bandwidth at the row's size. Peers
    are compared in Node alone. node_relaxed: another goal for relaxed-simd in Node.
    or_rate: operations per second that are enough by themselves.
    """

    against: Against
    relaxed: float
    simd128: float
    node_relaxed: float | None = None
    or_rate: float | None = None

    def wanted(self, engine: str, target: str) -> float:
        """What the goal is for a target in an engine."""
        if target == "simd128":
            return self.simd128
        if engine == "node" and self.node_relaxed is not None:
            return self.node_relaxed
        return self.relaxed


@dataclass(frozen=True)
class Pack:
    """An operator that makes an input's packed form, outside of what is timed."""

    operator: str
    index: int
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Ours:
    """A call of ours, as in Library.call()."""

    operator: str
    inputs: tuple[Array, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    pack: Pack | None = None


@dataclass(frozen=True)
class Onnx:
    """An ONNX node. constants: inputs that are initialisers, by their number.

    perm: transposes its output to the layout of ours.
    """

    op_type: str
    inputs: tuple[Array, ...]
    constants: tuple[int, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    perm: tuple[int, ...] | None = None
    opset: int = 21


@dataclass(frozen=True)
class Tfjs:
    """An operator of bench/node/tfjs.mjs. unpack: the input packed in every call."""

    operator: str
    inputs: tuple[Array, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    unpack: int | None = None
    perm: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Case:
    """One computation in everybody's terms. numpy: float32, timed.

    reference: what the results are compared with; None: native ONNX Runtime's.
    tolerance: largest difference, in the reference's largest magnitude.
    """

    ours: Ours
    onnx: Onnx | None
    tfjs: Tfjs | None = None
    numpy: Callable[[], Array] | None = None
    reference: Callable[[], Array] | None = None
    tolerance: float = 1e-5


@dataclass(frozen=True)
class Row:
    """A line of the table.

    unit: what its rate counts. work: operations (flop), multiply-adds twice (int8)
    or bytes, of one call. traffic: bytes of one call, each tensor once. stream: kind
    and bytes of one array of the stream beside it.
    """

    name: str
    operator: str
    make: Callable[[], Case]
    goals: tuple[Goal, ...]
    unit: Literal["flop", "int8", "byte"]
    work: float
    operations: float
    traffic: float
    stream: tuple[str, int] | None = None
    note: str = ""


def _floats(*shapes: tuple[int, ...]) -> tuple[Array, ...]:
    rng = np.random.default_rng(sum(math.prod(s) for s in shapes))
    return tuple(rng.standard_normal(s, dtype=np.float32) for s in shapes)


def _wide(function: Callable[..., Any], *inputs: Array) -> Callable[[], Array]:
    return lambda: np.asarray(function(*(x.astype(np.float64) for x in inputs)))


def _bytes(*shapes: tuple[int, ...]) -> int:
    return 4 * sum(math.prod(s) for s in shapes)


def _both(against: Against, goal: float) -> Goal:
    return Goal(against, goal, goal)


# Matrix products.


def _matmul(
    sizes: tuple[int, ...], goals: tuple[Goal, ...], packed: bool = False
) -> Row:
    """sizes: M, N, K, before them the batch."""
    *batch, m, n, k = sizes
    left, right = (*batch, m, k), (*batch, k, n)

    def make() -> Case:
        a, b = _floats(left, right)
        operator, attributes, pack = "matmul", {}, None
        if packed:
            operator, pack = "matmul_packed", Pack("matmul_pack", 1)
            attributes = {"columns": n}
        return Case(
            Ours(operator, (a, b), attributes, pack),
            Onnx("MatMul", (a, b), constants=(1,) if packed else ()),
            Tfjs("matMul", (a, b), unpack=None if packed or batch else 1),
            lambda: a @ b,
            _wide(np.matmul, a, b),
        )

    flop = 2 * math.prod(batch) * m * n * k
    cube = m == n == k
    label = f"{m}³" if cube else "×".join(map(str, sizes))
    return Row(
        f"matmul {label}" + (", weights packed ahead" if packed else ""),
        "matmul_packed" if packed else "matmul",
        make,
        goals,
        "flop",
        flop,
        flop,
        _bytes(left, right, (*batch, m, n)),
        ("read", 4 * k * n) if m == 1 else None,
        note="" if packed or batch else "packed per call",
    )


def _integers(a: str, b: str, size: int) -> Row:
    def make() -> Case:
        rng = np.random.default_rng(size)
        left, right = (
            rng.integers(np.iinfo(d).min, np.iinfo(d).max + 1, (size, size)).astype(d)
            for d in (a, b)
        )
        theirs: tuple[Array, ...] = (left, right)
        if a == "int8":
            # Its fast kernels take uint8 on the left: 80 Gop/s against 5.
            shifted = (left.astype(np.int16) + 128).astype(np.uint8)
            theirs = (shifted, right, np.array(128, np.uint8))
        return Case(
            Ours("matmul_integer", (left, right)),
            Onnx("MatMulInteger", theirs, constants=tuple(range(2, len(theirs)))),
            reference=_wide(np.matmul, left, right),
            tolerance=0,
        )

    work = 2 * size**3
    return Row(
        f"matmul_integer {a}×{b} {size}³",
        "matmul_integer",
        make,
        (Goal(ORT_WEB, 1.4, 1.15),),
        "int8",
        work,
        work,
        2 * size * size + 4 * size * size,
        note="ONNX Runtime: uint8 with zero point 128" if a == "int8" else "",
    )


# Convolutions. Sizes: H = W, C, M, filter, stride, padding.
_NHWC, _NCHW = (0, 2, 3, 1), (0, 3, 1, 2)
_LAYOUTS = "NCHW; TensorFlow.js: NHWC"
_CONVS = {
    "3×3 56×56×64→64": (56, 64, 64, 3, 1, 1),
    "7×7 stride 2 224×224×3→64": (224, 3, 64, 7, 2, 3),
    "3×3 14×14×256→256": (14, 256, 256, 3, 1, 1),
    "1×1 56×56×64→64": (56, 64, 64, 1, 1, 0),
    "1×1 7×7×512→2048": (7, 512, 2048, 1, 1, 0),
}


def _conv(label: str, nhwc: bool, goals: tuple[Goal, ...]) -> Row:
    size, c, m, taps, stride, pad = _CONVS[label]
    out = (size + 2 * pad - taps) // stride + 1
    layout = {"strides": [stride] * 2, "pads": [pad] * 4}

    def make() -> Case:
        x, w = _floats((1, c, size, size), (m, c, taps, taps))
        xt = np.ascontiguousarray(x.transpose(_NHWC))
        ours = Ours("conv", (x, w), layout)
        if nhwc:
            pack = Pack("conv_pack", 1)
            ours = Ours("conv_packed", (xt, w), _packed_attributes(w, layout), pack)
        hwio = np.ascontiguousarray(w.transpose(2, 3, 1, 0))
        return Case(
            ours,
            Onnx("Conv", (x, w), (1,), layout, _NHWC if nhwc else None),
            Tfjs(
                "conv2d",
                (xt, hwio),
                {"strides": stride, "pads": pad},
                perm=None if nhwc else _NCHW,
            ),
        )

    flop = 2 * out * out * m * c * taps * taps
    return Row(
        f"conv {'NHWC, packed' if nhwc else 'NCHW'}, {label}",
        "conv_packed" if nhwc else "conv",
        make,
        goals,
        "flop",
        flop,
        flop,
        _bytes((c, size, size), (m, c, taps, taps), (m, out, out)),
        note="ONNX Runtime: NCHW; TensorFlow.js: NHWC" if nhwc else _LAYOUTS,
    )


def _packed_attributes(w: Array, layout: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of conv_packed: the weights' sizes, which packing hides."""
    m, _, r, s = w.shape
    return {"features": m, "kernel_shape": [r, s], **layout}


def _depthwise(size: int, c: int, stride: int, nhwc: bool) -> Row:
    out = (size - 1) // stride + 1
    layout = {"strides": [stride] * 2, "pads": [1] * 4}

    def make() -> Case:
        x, w = _floats((1, c, size, size), (c, 1, 3, 3))
        xt = np.ascontiguousarray(x.transpose(_NHWC))
        rsc = np.ascontiguousarray(w.transpose(2, 3, 0, 1))
        attributes = {**layout, "group": c}
        ours = Ours("conv", (x, w), attributes)
        if nhwc:
            ours = Ours("depthwise_packed", (xt, rsc.reshape(3, 3, c)), layout)
        return Case(
            ours,
            Onnx("Conv", (x, w), (1,), attributes, _NHWC if nhwc else None),
            Tfjs(
                "depthwiseConv2d",
                (xt, rsc),
                {"strides": stride, "pads": 1},
                perm=None if nhwc else _NCHW,
            ),
        )

    flop = 2 * out * out * c * 9
    where = "NHWC, packed, " if nhwc else ""
    return Row(
        f"depthwise 3×3 {where}stride {stride}, {size}×{size}×{c}",
        "depthwise_packed" if nhwc else "conv",
        make,
        (_both("best peer", 1.7),),
        "flop",
        flop,
        flop,
        _bytes((c, size, size), (c, 9), (c, out, out)),
        note="ONNX Runtime: NCHW; TensorFlow.js: NHWC" if nhwc else _LAYOUTS,
    )


# Elementwise.


def _binary(
    operator: str,
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
    label: str,
    goals: tuple[Goal, ...],
) -> Row:
    function: Any = {"add": np.add, "mul": np.multiply}[operator]
    out = np.broadcast_shapes(*shapes)
    count = math.prod(out)

    def make() -> Case:
        a, b = _floats(*shapes)
        y = np.empty(out, np.float32)
        return Case(
            Ours(operator, (a, b)),
            Onnx(operator.capitalize(), (a, b)),
            Tfjs(operator, (a, b)),
            lambda: np.asarray(function(a, b, out=y)),
            _wide(function, a, b),
        )

    traffic = _bytes(*shapes, out)
    same = shapes[0] == shapes[1]
    return Row(
        f"{operator} {label}",
        operator,
        make,
        goals,
        "byte",
        traffic,
        count,
        traffic,
        ("add" if same else "copy", 4 * count),
    )


def _erf(x: Array) -> Array:
    return np.asarray(np.vectorize(math.erf)(x))


_UNARY: dict[str, tuple[str, str | None, Callable[[Array], Array], bool]] = {
    # ours: ONNX's, TensorFlow.js's, the formula, whether numpy has it in float32
    "relu": ("Relu", "relu", lambda x: np.maximum(x, 0), True),
    "exp": ("Exp", "exp", np.exp, True),
    "tanh": ("Tanh", "tanh", np.tanh, True),
    "sigmoid": ("Sigmoid", "sigmoid", lambda x: 1 / (1 + np.exp(-x)), True),
    "erf": ("Erf", "erf", _erf, False),
    "gelu": ("Gelu", None, lambda x: x * (1 + _erf(x / math.sqrt(2))) / 2, False),
}


def _unary(operator: str, count: int, label: str, goals: tuple[Goal, ...]) -> Row:
    op_type, tfjs, function, timed = _UNARY[operator]

    def make() -> Case:
        (x,) = _floats((count,))
        return Case(
            Ours(operator, (x,)),
            Onnx(op_type, (x,)),
            Tfjs(tfjs, (x,)) if tfjs else None,
            (lambda: np.asarray(function(x))) if timed else None,
            _wide(function, x),
        )

    return Row(
        f"{operator} {label}",
        operator,
        make,
        goals,
        "byte",
        8 * count,
        count,
        8 * count,
        ("copy", 4 * count),
    )


# Along rows.


def _softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(e / e.sum(-1, keepdims=True))


def _layer(x: Array, scale: Array, bias: Array) -> Array:
    d = x - x.mean(-1, keepdims=True)
    variance = (d * d).mean(-1, keepdims=True)
    return np.asarray(d / np.sqrt(variance + 1e-5) * scale + bias)


def _rms(x: Array, scale: Array) -> Array:
    mean = (x * x).mean(-1, keepdims=True)
    return np.asarray(x / np.sqrt(mean + 1e-5) * scale)


def _rows(operator: str, shape: tuple[int, ...], goals: tuple[Goal, ...]) -> Row:
    function: Any
    op_type, function, more, opset = {
        "softmax": ("Softmax", _softmax, 0, 21),
        "layer_normalization": ("LayerNormalization", _layer, 2, 21),
        "rms_normalization": ("RMSNormalization", _rms, 1, 23),
    }[operator]
    n = shape[-1]

    def make() -> Case:
        x, *rest = _floats(shape, *[(n,)] * more)
        inputs = (x, *rest)
        attributes: dict[str, Any] = {"axis": -1}
        if more:
            attributes["epsilon"] = 1e-5
        return Case(
            Ours(operator, inputs, attributes),
            Onnx(op_type, inputs, tuple(range(1, more + 1)), attributes, opset=opset),
            None if more else Tfjs("softmax", inputs),
            lambda: np.asarray(function(*inputs)),
            _wide(function, *inputs),
        )

    count = math.prod(shape)
    traffic = 2 * _bytes(shape) + more * 4 * n
    return Row(
        f"{operator} {'×'.join(map(str, shape))}",
        operator,
        make,
        goals,
        "byte",
        traffic,
        count,
        traffic,
        ("copy", 4 * count),
    )


_REDUCTIONS: dict[str, tuple[str, str, Any]] = {
    "reduce_sum": ("ReduceSum", "sum", np.sum),
    "reduce_max": ("ReduceMax", "max", np.max),
    "arg_max": ("ArgMax", "argMax", np.argmax),
}


def _reduce(operator: str, where: str, shape: tuple[int, ...], axis: int) -> Row:
    op_type, tfjs, function = _REDUCTIONS[operator]

    def make() -> Case:
        (x,) = _floats(shape)
        if operator == "arg_max":
            ours = Ours(operator, (x,), {"axis": axis, "keepdims": 0})
            onnx = Onnx(op_type, (x,), attributes={"axis": axis, "keepdims": 0})
        else:
            ours = Ours(operator, (x,), {"axes": [axis], "keepdims": 0})
            axes = np.array([axis], np.int64)
            onnx = Onnx(op_type, (x, axes), (1,), {"keepdims": 0})
        return Case(
            ours,
            onnx,
            Tfjs(tfjs, (x,), {"axis": axis}),
            lambda: np.asarray(function(x, axis=axis)),
            _wide(lambda v: function(v, axis=axis), x),
        )

    count = math.prod(shape)
    return Row(
        f"{operator} {where} axis of {'×'.join(map(str, shape))}",
        operator,
        make,
        (_both("stream", 0.70), _both("best peer", 4)),
        "byte",
        4 * count,
        count,
        4 * count + 4 * count // shape[axis],
        ("read", 4 * count),
    )


# Moving data, pooling, resizing.


def _transpose(label: str, shape: tuple[int, ...], perm: tuple[int, ...]) -> Row:
    def make() -> Case:
        (x,) = _floats(shape)
        attributes = {"perm": list(perm)}
        return Case(
            Ours("transpose", (x,), attributes),
            Onnx("Transpose", (x,), (), attributes),
            Tfjs("transpose", (x,), attributes),
            lambda: np.ascontiguousarray(x.transpose(perm)),
            _wide(lambda v: v.transpose(perm), x),
            tolerance=0,
        )

    count = math.prod(shape)
    return Row(
        f"transpose {label}",
        "transpose",
        make,
        (_both("stream", 0.5), _both("best peer", 1.2)),
        "byte",
        8 * count,
        count,
        8 * count,
        ("copy", 4 * count),
    )


def _max_pool(size: int, c: int) -> Row:
    out = (size - 1) // 2 + 1

    def make() -> Case:
        (x,) = _floats((1, c, size, size))
        attributes = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1] * 4}
        return Case(
            Ours("max_pool", (x,), attributes),
            Onnx("MaxPool", (x,), (), attributes),
            Tfjs(
                "maxPool",
                (np.ascontiguousarray(x.transpose(_NHWC)),),
                {"filter": 3, "strides": 2, "pads": 1},
                perm=_NCHW,
            ),
            tolerance=0,
        )

    traffic = _bytes((c, size, size), (c, out, out))
    return Row(
        f"max_pool 3×3 stride 2, {size}×{size}×{c}",
        "max_pool",
        make,
        (_both("best peer", 1.2),),
        "byte",
        traffic,
        9 * c * out * out,
        traffic,
        ("copy", 4 * c * size * size),
        note=_LAYOUTS,
    )


def _resize(size: int, c: int) -> Row:
    out = 2 * size

    def make() -> Case:
        (x,) = _floats((1, c, size, size))
        scales = np.array([1, 1, 2, 2], np.float32)
        empty = np.empty(0, np.float32)
        return Case(
            Ours("resize", (x,), {"mode": "linear", "sizes": [out, out]}),
            Onnx("Resize", (x, empty, scales), (1, 2), {"mode": "linear"}),
            Tfjs(
                "resizeBilinear",
                (np.ascontiguousarray(x.transpose(_NHWC)),),
                {"size": [out, out]},
                perm=_NCHW,
            ),
        )

    traffic = _bytes((c, size, size), (c, out, out))
    return Row(
        f"resize linear {size}×{size}×{c} to twice",
        "resize",
        make,
        (_both("best peer", 1.2),),
        "byte",
        traffic,
        7 * c * out * out,
        traffic,
        ("copy", 4 * c * out * out),
        note=_LAYOUTS,
    )


def _elementwise() -> list[Row]:
    goals = (_both("stream", 0.85), _both("best peer", 1.0))
    found = []
    for count, label in ((1000, "1K"), (100_000, "100K"), (4_000_000, "4M")):
        for operator in ("add", "mul"):
            same = ((count,), (count,))
            found.append(_binary(operator, same, label, goals))
            row = ((count // 100, 100), (100,))
            found.append(_binary(operator, row, f"{label}, row-broadcast", goals))
        found.append(_unary("relu", count, label, goals))
    return found


def _all() -> list[Row]:
    ahead = _both("best peer", 1.0)
    packed = (Goal("ceiling", 0.85, 0.82, 0.92), Goal("best peer", 1.7, 1.2))
    per_call = (Goal("ceiling", 0.80, 0.78), Goal("best peer", 1.5, 1.15))
    odd = (Goal("ceiling", 0.75, 0.72), Goal("best peer", 1.4, 1.1))
    thin = _both("best peer", 1.2)
    vector = Goal("stream", 0.80, 0.80, or_rate=25e9)
    nchw = (Goal("ceiling", 0.78, 0.75), Goal("best peer", 1.4, 1.15))
    nchw_1 = (Goal("ceiling", 0.75, 0.72), Goal("best peer", 1.35, 1.1))
    nhwc = (Goal("ceiling", 0.85, 0.80), Goal("best peer", 1.6, 1.2))
    four, two = (_both("best peer", 4),), (_both("best peer", 2.5),)
    five = _both(ORT_WEB, 5)
    cubes = (256, 512, 1024)
    return [
        *(_matmul((n, n, n), packed, packed=True) for n in cubes),
        *(_matmul((n, n, n), per_call) for n in cubes),
        *(_matmul(s, odd) for s in ((127, 251, 509), (1000,) * 3, (12, 128, 128, 64))),
        _matmul((1, 1024, 1024), (vector, thin), packed=True),
        _matmul((8, 768, 3072), (_both("ceiling", 0.40), thin)),
        _matmul((8, 768, 3072), (_both("ceiling", 0.40), thin), packed=True),
        *(_matmul((n, n, n), (ahead,)) for n in (16, 32, 64)),
        *(_conv(c, False, nchw_1 if c[0] == "1" else nchw) for c in _CONVS),
        *(_conv(c, True, nhwc) for c in _CONVS),
        *(
            _depthwise(s, c, k, nhwc)
            for nhwc in (False, True)
            for s, c in ((56, 64), (112, 32))
            for k in (1, 2)
        ),
        _binary("add", ((16,), (16,)), "16", (ahead,)),
        *_elementwise(),
        *(_unary(f, 1_000_000, "1M", four) for f in ("exp", "tanh")),
        *(_unary(f, 1_000_000, "1M", two) for f in ("sigmoid", "erf", "gelu")),
        *(
            _rows(f, s, (_both("best peer", 1.7), five) if f == "softmax" else (five,))
            for f in ("softmax", "layer_normalization", "rms_normalization")
            for s in ((1000, 1000), (12, 128, 128))
        ),
        *(
            _reduce(f, *where)
            for f in _REDUCTIONS
            for where in (
                ("last", (1000, 1000), 1),
                ("first", (1000, 1000), 0),
                ("middle", (100, 100, 100), 1),
            )
        ),
        _transpose("1000×1000", (1000, 1000), (1, 0)),
        _transpose("1024×1024", (1024, 1024), (1, 0)),
        _transpose("NCHW→NHWC 56×56×64", (1, 64, 56, 56), _NHWC),
        _transpose("NHWC→NCHW 56×56×64", (1, 56, 56, 64), _NCHW),
        _max_pool(112, 64),
        _resize(56, 64),
        *(_integers(a, "int8", n) for a in ("uint8", "int8") for n in cubes),
    ]


ROWS = _all()


def select(names: list[str]) -> list[Row]:
    """Rows of the operators named; all for none. Errors: UnknownOperatorError."""
    known = sorted({row.operator for row in ROWS})
    if unknown := [n for n in names if n not in known]:
        raise UnknownOperatorError(
            f"operator {unknown[0]!r} has no row; use {', '.join(known)}, or models "
            "and their names"
        )
    return [row for row in ROWS if not names or row.operator in names]
