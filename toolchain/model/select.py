"""Select: nodes for which kernels/ has an operator become instances of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import prod
from typing import Any

import numpy as np

from toolchain.frontends.library import has
from toolchain.graph.passes.winograd import transformed
from toolchain.model import winograd
from toolchain.model.axes import along
from toolchain.model.formulas import alone
from toolchain.model.graph import DONE, KERNEL, VIEW, Graph, Node, Value
from toolchain.model.kernels import REGISTER, Batched, Instance, Joined
from toolchain.model.pools import by_library, volumes
from toolchain.model.products import CONV, DENSE
from toolchain.model.quantized import QUANTIZED_CONV, QUANTIZED_DENSE
from toolchain.spec.panels import PANEL_WIDTH

# Elements from which planes are transposed by a kernel of 1.2 KB.
PLANE = 4096
Rule = Callable[[Node], list[Node] | None]


def select(graph: Graph, by_winograd: bool = False) -> None:
    """Turn nodes into kernels and views.

    by_winograd: convolutions that suit take fewer multiplications, and round more.
    """
    graph.nodes = [
        made for node in graph.nodes for made in _selected(node, by_winograd)
    ]
    alone(graph)


def _selected(node: Node, by_winograd: bool) -> list[Node]:
    rule = _RULES.get(node.op)
    if by_winograd and node.op == CONV and winograd.suits(node):
        rule = _winograd
    made = rule(node) if rule else None
    if made is None:
        return [node]
    # What a rule puts before or after a kernel has rules of its own.
    return [
        part
        for new in made
        for part in ([new] if new.op in DONE else _selected(new, by_winograd))
    ]


def _kernel(inputs: list[Value], output: Value, instance: Any) -> Node:
    return Node(KERNEL, inputs, [output], {"kernel": instance})


def _floats(node: Node) -> bool:
    """Whether all that a node reads and writes is float32."""
    return all(v.dtype == "float32" for v in (*node.inputs, *node.outputs))


def _view(node: Node) -> list[Node]:
    return [Node(VIEW, [node.inputs[0]], node.outputs)]


def _permute(node: Node) -> list[Node] | None:
    """A view, where only axes of size 1 move; or planes that are transposed."""
    axes, shape = node.attributes["axes"], node.inputs[0].shape
    axes = axes or range(len(shape))[::-1]
    kept = [a for a in axes if shape[a] > 1]
    return _view(node) if kept == sorted(kept) else _planes(node, kept)


def _planes(node: Node, axes: list[int]) -> list[Node] | None:
    """Planes of 4-byte elements whose columns are contiguous in the input.

    axes: of the input, as the output has them, without axes of size 1.
    """
    x = node.inputs[0]
    if x.dtype not in ("float32", "int32") or x.bytes < 4 * PLANE:
        return None
    # Of each axis of the output: size, and elements from one index to the next in x.
    runs: list[tuple[int, int]] = []
    for axis in axes:
        size, stride = x.shape[axis], int(np.prod(x.shape[axis + 1 :]))
        if runs and runs[-1][1] == size * stride:
            size *= runs.pop()[0]
        runs.append((size, stride))
    steps = [int(np.prod([n for n, _ in runs[i + 1 :]])) for i in range(len(runs))]
    along = next((i for i, (_, stride) in enumerate(runs) if stride == 1), -1)
    others = set(range(len(runs) - 1)) - {along}
    if along in (-1, len(runs) - 1) or len(others) > 1:
        return None
    (m, _), (n, stride) = runs[along], runs[-1]
    sizes = {"m": m, "n": n, "sm": 1, "sn": stride, "om": steps[along]}
    sizes["extent"] = int(np.prod(x.shape))
    kernel = Instance.of("transpose", sizes, (x.dtype,))
    if not others:
        return [_kernel([x], node.output, kernel)]
    outer = others.pop()
    moves = (4 * runs[outer][1], 4 * steps[outer])
    return [_kernel([x], node.output, Batched(kernel, runs[outer][0], moves))]


def _same(node: Node) -> list[Node] | None:
    x = node.inputs[0]
    alike = (x.shape, x.dtype) == (node.outputs[0].shape, node.outputs[0].dtype)
    return _view(node) if alike else None


def _dropout(node: Node) -> list[Node]:
    return [Node(VIEW, [node.inputs[0]], [node.outputs[0]])]


def _panels(matrix: np.ndarray) -> np.ndarray:
    """[K, N] as [ceil(N / PANEL_WIDTH), K, PANEL_WIDTH]; columns past N are 0."""
    depth, columns = matrix.shape
    count = -(-columns // PANEL_WIDTH)
    padded = np.zeros((depth, count * PANEL_WIDTH), "float32")
    padded[:, :columns] = matrix
    panels = padded.reshape(depth, count, PANEL_WIDTH).transpose(1, 0, 2)
    return np.ascontiguousarray(panels)


def _convolution(node: Node) -> list[Node] | None:
    x, w = node.inputs
    assert w.data is not None
    features, _, rows, columns = w.shape
    if node.attributes["groups"] > 1:
        return _depthwise(node)
    packed = Value.constant(
        f"{w.name}_packed", _panels(w.data.transpose(2, 3, 1, 0).reshape(-1, features))
    )
    constants: dict[str, float] = {
        **dict(zip("NHWC", x.shape, strict=True)),
        "Q": packed.shape[0],
        "E": PANEL_WIDTH,
        "K": packed.shape[1],
        "M": features,
        "features": features,
        "kernel_shape_0": rows,
        "kernel_shape_1": columns,
    }
    constants |= _constants(node)
    inputs = [x, packed, _bias(node)]
    return [_kernel(inputs, node.output, Instance.of("conv_packed", constants))]


def _winograd(node: Node) -> list[Node]:
    x, w = node.inputs
    assert w.data is not None
    panels = transformed(w.data)
    packed = Value.constant(f"{w.name}_winograd", panels)
    constants = dict(zip("NHWC", x.shape, strict=True))
    constants |= dict(zip("QKE", panels.shape, strict=True))
    bias = _bias(node)
    constants["M"] = bias.shape[0]
    pads = {n: v for n, v in _constants(node).items() if n in _WINOGRAD}
    inputs = [x, packed, bias]
    instance = Instance.of("winograd_conv", constants | pads)
    return [_kernel(inputs, node.output, instance)]


_WINOGRAD = ("minimum", "maximum", *(f"pads_{i}" for i in range(4)))


def _constants(node: Node) -> dict[str, float]:
    """Attributes of a convolution, as flattened."""
    a = node.attributes
    found = {"minimum": a["limits"][0], "maximum": a["limits"][1]}
    for name in ("strides", "pads", "dilations"):
        found |= {f"{name}_{i}": v for i, v in enumerate(a[name])}
    return found


def _bias(node: Node) -> Value:
    """One number for each output channel."""
    bias = node.attributes.get("bias")
    if bias is None:
        bias = np.zeros(node.inputs[1].shape[0], "float32")
    return Value.constant(f"{node.inputs[1].name}_bias", bias)


def _depthwise(node: Node) -> list[Node]:
    x, w = node.inputs
    assert w.data is not None
    rows, columns = w.shape[2:]
    taps = np.ascontiguousarray(w.data[:, 0].transpose(1, 2, 0))
    inputs = [x, Value.constant(f"{w.name}_taps", taps), _bias(node)]
    sizes = dict(zip("NHWC", x.shape, strict=True)) | {"R": rows, "S": columns}
    constants = _constants(node) | sizes
    return [_kernel(inputs, node.output, Instance.of("depthwise_packed", constants))]


def _library_convolution(node: Node) -> list[Node]:
    """Weights of any kind, and a bias that the sums begin with."""
    a, (x, w, _) = node.attributes, node.inputs
    shapes = [(*v.shape[:2], *[1] * (4 - len(v.shape)), *v.shape[2:]) for v in (x, w)]
    names = "NCHWMDRS"
    constants = dict(zip(names, (n for s in shapes for n in s), strict=True))
    constants["group"] = a["group"]
    for name in ("strides", "pads", "dilations"):
        constants |= {f"{name}_{i}": v for i, v in enumerate(a[name])}
    return [_kernel(node.inputs, node.output, Instance.of("conv", constants))]


def _plain_convolution(node: Node) -> list[Node] | None:
    """NCHW, with weights of any kind and groups of any size."""
    x, w = node.inputs
    a = node.attributes
    layouts = (a["data_layout"], a["kernel_layout"])
    if layouts != ("NCHW", "OIHW") or not _floats(node):
        return None
    constants = dict(zip("NCHWMDRS", (*x.shape, *w.shape), strict=True))
    constants["group"] = a["groups"]
    for name in ("strides", "padding", "dilation"):
        known = {"padding": "pads", "dilation": "dilations"}.get(name, name)
        constants |= {f"{known}_{i}": v for i, v in enumerate(a[name])}
    inputs = [x, w, _bias(node)]
    return [_kernel(inputs, node.output, Instance.of("conv", constants))]


def _dense(node: Node) -> list[Node] | None:
    x, w = node.inputs
    a = node.attributes
    assert w.data is not None
    depth, columns = w.shape
    packed = Value.constant(f"{w.name}_packed", _panels(w.data))
    bias = np.zeros(columns, "float32") if a["bias"] is None else a["bias"]
    constants = {
        "M": prod(x.shape[:-1]),
        "K": depth,
        "P": packed.shape[0],
        "L": PANEL_WIDTH,
        "N": columns,
        "minimum": a["limits"][0],
        "maximum": a["limits"][1],
    }
    inputs = [x, packed, Value.constant(f"{w.name}_bias", bias)]
    return [_kernel(inputs, node.output, Instance.of("matmul_packed", constants))]


def _gemm(node: Node) -> list[Node]:
    """The library's product, with a bias of up to two axes."""
    shapes = [(1, 1, *v.shape)[-2:] for v in node.inputs]
    names = ("A0", "A1", "B0", "B1", "P", "Q")
    constants = dict(zip(names, (n for s in shapes for n in s), strict=True))
    defaults = {"alpha": 1.0, "beta": 1.0, "transA": 0, "transB": 0}
    constants |= defaults | node.attributes
    return [_kernel(node.inputs, node.output, Instance.of("gemm", constants))]


def _matmul(node: Node) -> list[Node] | None:
    """A product of two tensors: one for each index of the batch axes.

    A tensor of one axis is a row if it comes first, else a column.
    """
    a, b = node.inputs
    if not _floats(node) or not a.shape[-1]:
        return None
    first = a.shape if len(a.shape) > 1 else (1, *a.shape)
    second = b.shape if len(b.shape) > 1 else (*b.shape, 1)
    rows, depth, columns = first[-2], first[-1], second[-1]
    runs = _batches(first, second)
    # Rows of several products by one matrix are rows of one product.
    while runs and runs[-1][1][:2] == (4 * rows * depth, 0):
        rows *= runs.pop()[0]
    sizes = {"M": rows, "K": depth, "N": columns}
    kernel: Instance | Batched = Instance.of("matmul", sizes)
    for count, strides in reversed(runs):
        kernel = Batched(kernel, count, strides)
    return [_kernel([a, b], node.output, kernel)]


def _batches(
    a: tuple[int, ...], b: tuple[int, ...]
) -> list[tuple[int, tuple[int, ...]]]:
    """Runs of batch axes, from the outside in: how many products of float32.

    With the bytes from one to the next in both factors and in the result.
    """
    rank = max(len(a), len(b))
    factors = [(1,) * (rank - len(s)) + s for s in (a, b)]
    result = (*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1])
    runs: list[tuple[int, tuple[int, ...]]] = []
    for axis, count in enumerate(result[:-2]):
        if count == 1:
            continue
        shapes = (*factors, result)
        step = tuple(0 if s[axis] == 1 else 4 * prod(s[axis + 1 :]) for s in shapes)
        if runs and runs[-1][1] == tuple(count * n for n in step):
            count *= runs.pop()[0]
        runs.append((count, step))
    return runs


def _quantized_convolution(node: Node) -> list[Node]:
    x, w = node.inputs
    a = node.attributes
    assert w.data is not None
    sizes: dict[str, float] = dict(zip("NHWC", x.shape, strict=True))
    sizes |= zip("RS", w.shape[2:], strict=True)
    sizes |= zip(("OY", "OX"), node.output.shape[1:3], strict=True)
    known = (("strides", "strides"), ("padding", "pads"), ("dilation", "dilations"))
    for name, short in known:
        sizes |= {f"{short}_{i}": v for i, v in enumerate(a[name])}
    matrix = w.data.transpose(2, 3, 1, 0).reshape(-1, w.shape[0])
    return [_quantized_product(node, matrix, sizes)]


def _quantized_dense(node: Node) -> list[Node]:
    x, w = node.inputs
    assert w.data is not None
    depth = w.shape[0]
    rows = prod(x.shape[:-1])
    names = ("strides_0", "strides_1", "dilations_0", "dilations_1")
    sizes: dict[str, float] = dict.fromkeys(("N", "H", "R", "S", "OY", *names), 1)
    sizes |= {"W": rows, "OX": rows, "C": depth} | {f"pads_{i}": 0 for i in range(4)}
    return [_quantized_product(node, w.data, sizes)]


def _quantized_product(node: Node, matrix: np.ndarray, sizes: dict[str, float]) -> Node:
    """A product of integers by weights [K, M]."""
    x, w = node.inputs
    a = node.attributes
    depth, columns = matrix.shape
    count = -(-columns // PANEL_WIDTH)
    padded = np.zeros((depth + depth % 2, count * PANEL_WIDTH), "int16")
    padded[:depth, :columns] = matrix
    pairs = padded.reshape(-1, 2, count, PANEL_WIDTH).transpose(2, 0, 3, 1)
    packed = np.ascontiguousarray(pairs).view("int32")[..., 0]
    bias, factor = (
        np.zeros(count * PANEL_WIDTH, "int32"),
        np.zeros(count * PANEL_WIDTH, "float32"),
    )
    bias[:columns], factor[:columns] = a["bias"], a["factor"]
    constants = sizes | {
        "M": columns,
        "P": count,
        "D": packed.shape[1],
        "E": PANEL_WIDTH,
        "B": count * PANEL_WIDTH,
        "x_sign": 128 if x.dtype == "int8" else 0,
        "x_zero": a["x_zero"],
        "y_zero": a["y_zero"],
        "low": a["limits"][0],
        "high": a["limits"][1],
    }
    inputs = [
        x,
        Value.constant(f"{w.name}_packed", packed),
        Value.constant(f"{w.name}_bias", bias),
        Value.constant(f"{w.name}_factor", factor),
    ]
    dtypes = (x.dtype, node.output.dtype)
    instance = Instance.of("quantized_conv", constants, dtypes)
    return _kernel(inputs, node.output, instance)


def _layer_norm(node: Node) -> list[Node] | None:
    return _trailing("layer_normalization", node, node.attributes["axes"])


def _rms_norm(node: Node) -> list[Node] | None:
    axis = node.attributes["axis"] % len(node.inputs[0].shape)
    axes = range(axis, len(node.inputs[0].shape))
    return _trailing("rms_normalization", node, axes)


def _trailing(operator: str, node: Node, axes: Iterable[int]) -> list[Node] | None:
    """A normalisation over the last axes, whose parameters have a row's shape."""
    x, *parameters = node.inputs
    rank = len(x.shape)
    first = min(a % rank for a in axes)
    if sorted(a % rank for a in axes) != list(range(first, rank)):
        return None
    if any(p.shape != x.shape[first:] or p.dtype != x.dtype for p in parameters):
        return None
    given = {"epsilon": node.attributes["epsilon"]}
    return along(operator, node, range(first, rank), given, whole=True)


def _broadcast(source: Value, result: Value) -> Node:
    def build(inputs: list[Any]) -> Any:
        from tvm import relax

        return relax.op.broadcast_to(inputs[0], result.shape)

    return Node("broadcast_to", [source], [result], {"shape": result.shape}, build)


def _integer_power(node: Node) -> list[Node] | None:
    """By squaring; Relax's power is libm's."""
    out = node.output
    short = has("pow", out.dtype)
    if out.dtype.startswith("float") or not (short or out.dtype == "int64"):
        return None
    nodes, inputs = [], []
    for value in node.inputs:
        if value.shape != out.shape:
            wide = Value(f"{value.name}_wide", out.shape, value.dtype)
            nodes.append(_broadcast(value, wide))
            value = wide
        inputs.append(value)
    name = "pow" if short else "long_pow"
    instance = Instance.of(name, {"n": out.count}, (out.dtype,))
    return [*nodes, _kernel(inputs, out, instance)]


def _rows(operator: str, standard: int = -1) -> Rule:
    """An operator along one axis, whose output has the input's shape."""

    def rule(node: Node) -> list[Node] | None:
        axis = node.attributes.get("axis", standard) % len(node.inputs[0].shape)
        return along(operator, node, [axis], node.attributes, whole=True)

    return rule


def _reduced(operator: str, name: str = "axis") -> Rule:
    """A reduction of axes to one element; none given: of all, or by noop of none."""

    def rule(node: Node) -> list[Node] | None:
        rank, axes = len(node.inputs[0].shape), node.attributes.get(name)
        if isinstance(axes, int):
            axes = [axes]
        if not axes:
            none = node.attributes.get("noop_with_empty_axes", 0)
            axes = [] if none else list(range(rank))
        return along(operator, node, [a % rank for a in axes], node.attributes)

    return rule


def _concat(node: Node) -> list[Node] | None:
    """Copies of rows, where they are long enough for vectors."""
    axis, shape = node.attributes["axis"] or 0, node.output.shape
    axis %= len(shape)
    rows = int(np.prod(shape[:axis]))
    if rows == 0 or any(v.bytes < REGISTER * rows for v in node.inputs):
        return None
    sizes = tuple(v.bytes // rows for v in node.inputs)
    return [_kernel(node.inputs, node.output, Joined(sizes, rows))]


_METHODS = ("nearest_neighbor", "linear")
_PLACES = ("half_pixel", "asymmetric", "align_corners")
_ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


def _resize(node: Node) -> list[Node] | None:
    """Images of float32 as NCHW, by the choices that kernels/resize.py has.

    One column is left to loops: TVM 0.27 fails there in LowerIntrin, where it takes
    a pointer to a row for one to another buffer.
    """
    a, x = node.attributes, node.inputs[0]
    linear = a["method"] == "linear"
    given = (
        (a["method"], _METHODS),
        (a["coordinate_transformation_mode"], _PLACES),
        (_ROUNDINGS[0] if linear else a["rounding_method"], _ROUNDINGS),
    )
    known = all(value in choices for value, choices in given)
    if not known or not _floats(node) or a["layout"] != "NCHW" or x.shape[3] == 1:
        return None
    names = ("mode", "coordinate_transformation_mode", "nearest_mode")
    constants = dict(zip("NCHW", x.shape, strict=True))
    for name, (value, choices) in zip(names, given, strict=True):
        constants[name] = choices.index(value)
    constants |= dict(zip(("sizes_0", "sizes_1"), node.output.shape[2:], strict=True))
    return [_kernel([x], node.output, Instance.of("resize", constants))]


_RULES: dict[str, Rule] = {
    CONV: _convolution,
    QUANTIZED_CONV: _quantized_convolution,
    QUANTIZED_DENSE: _quantized_dense,
    DENSE: _dense,
    "nn.conv2d": _plain_convolution,
    "matmul": _matmul,
    "power": _integer_power,
    "library.conv": _library_convolution,
    "library.gemm": _gemm,
    "nn.layer_norm": _layer_norm,
    "library.rms_normalization": _rms_norm,
    "reshape": _view,
    "expand_dims": _view,
    "squeeze": _view,
    "flatten": _view,
    "permute_dims": _permute,
    "broadcast_to": _same,
    "astype": _same,
    "nn.dropout": _dropout,
    "nn.softmax": _rows("softmax"),
    "nn.log_softmax": _rows("log_softmax"),
    "library.cum_sum": _rows("cum_sum"),
    **{
        f"nn.{kind}_pool{rank}d": by_library
        for kind in ("max", "avg")
        for rank in (1, 2)
    },
    "nn.max_pool3d": volumes,
    "nn.avg_pool3d": volumes,
    "max": _reduced("reduce_max"),
    "mean": _reduced("reduce_mean"),
    "min": _reduced("reduce_min"),
    "prod": _reduced("reduce_prod"),
    "sum": _reduced("reduce_sum"),
    "library.reduce_l2": _reduced("reduce_l2", "axes"),
    "argmax": _reduced("arg_max"),
    "argmin": _reduced("arg_min"),
    "library.arg_max": _reduced("arg_max"),
    "library.arg_min": _reduced("arg_min"),
    "concat": _concat,
    "image.resize2d": _resize,
}
