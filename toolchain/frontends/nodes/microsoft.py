"""Rules of com.microsoft's operators, which ONNX Runtime's optimiser writes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from toolchain.frontends.nodes.automatic import automatic
from toolchain.frontends.nodes.normalization import normalized, row_shaped, statistics
from toolchain.frontends.nodes.products import product
from toolchain.frontends.nodes.rules import Call, Results, rule, tables
from toolchain.frontends.nodes.shapes import rank_of, size_at
from toolchain.frontends.nodes.windows import convolution
from toolchain.graph.graph import Value
from toolchain.spec import SpecError

MS = "com.microsoft"
# By the name of an activation: from alpha (or min) and beta (or max).
_ACTIVATIONS: dict[str, Callable[[Call, Value, float, float], Value]] = {
    "": lambda c, x, a, b: x,
    "Relu": lambda c, x, a, b: c.call("relu", x),
    "Tanh": lambda c, x, a, b: c.call("tanh", x),
    "Sigmoid": lambda c, x, a, b: c.call("sigmoid", x),
    "LeakyRelu": lambda c, x, a, b: c.call("leaky_relu", x, alpha=a),
    "Elu": lambda c, x, a, b: c.call("elu", x, alpha=a),
    "HardSigmoid": lambda c, x, a, b: c.call("hard_sigmoid", x, alpha=a, beta=b),
    "Clip": lambda c, x, a, b: c.call("clip", x, a, b),
}
_DEFAULTS = {"LeakyRelu": (0.01, 0.0), "Elu": (1.0, 0.0), "HardSigmoid": (0.2, 0.5)}


def activated(c: Call, x: Value) -> Value:
    """The activation that a fused node ends with."""
    name = str(c.get("activation") or "")
    if name not in _ACTIVATIONS:
        known = ", ".join(n for n in _ACTIVATIONS if n)
        raise SpecError(f"has activation {name!r}; use {known}")
    given = [float(n) for n in c.get("activation_params") or ()]
    alpha, beta = _DEFAULTS.get(name, (0.0, 0.0))
    alpha = c.get("activation_alpha", alpha)
    beta = c.get("activation_beta", beta)
    given = (given + [alpha, beta][len(given) :])[:2]
    return _ACTIVATIONS[name](c, x, *given)


@rule("FusedConv", domain=MS)
def fused_conv(c: Call) -> Value:
    """Conv, a summand and an activation."""
    found = convolution(c)
    if (more := c.optional(3)) is not None:
        found = c.call("add", found, more)
    return activated(c, found)


@rule("FusedMatMul", "TransposeMatMul", domain=MS)
def fused_matmul(c: Call) -> Value:
    """MatMul of matrices, transposed or not, times alpha."""
    if c.get("transBatchA", 0) or c.get("transBatchB", 0):
        raise SpecError("transposes batches too; take the file before it was optimised")
    a, b = (
        _turned(c, c[i]) if c.get(name, 0) else c[i]
        for i, name in enumerate(("transA", "transB"))
    )
    found, alpha = product(c, a, b), float(c.get("alpha", 1.0))
    return found if alpha == 1 else c.call("mul", found, alpha)


def _turned(c: Call, x: Value) -> Value:
    """With its last two axes exchanged."""
    rank = rank_of(x)
    perm = [*range(rank - 2), rank - 1, rank - 2]
    return c.call("transpose", x, perm=perm) if rank > 1 else x


@rule("FusedGemm", domain=MS)
def fused_gemm(c: Call) -> Value:
    """Gemm with an activation."""
    found = c.call(
        "gemm",
        *(c[0], c[1], c.optional(2)),
        transA=c.get("transA", 0),
        transB=c.get("transB", 0),
        alpha=float(c.get("alpha", 1.0)),
        beta=float(c.get("beta", 1.0)),
    )
    return activated(c, found)


@rule("Gelu", "BiasGelu", "FastGelu", domain=MS)
def gelu(c: Call) -> Value:
    """Gelu of x and a bias; fast: by the hyperbolic tangent."""
    x, bias = c[0], c.optional(1)
    x = x if bias is None else c.call("add", x, bias)
    return c.call("gelu", x, approximate="tanh" if c.name == "FastGelu" else "none")


@rule("QuickGelu", domain=MS)
def quick_gelu(c: Call) -> Value:
    """Return x / (1 + exp(-alpha x))."""
    scaled = c.call("mul", c[0], float(c.get("alpha", 1.702)))
    return c.call("mul", c[0], c.call("sigmoid", scaled))


@rule("SimplifiedLayerNormalization")
@rule("SimplifiedLayerNormalization", domain=MS)
def simplified(c: Call) -> Sequence[Value]:
    """RMSNormalization, and 1 over the root mean square where it is wanted."""
    return _simplified(c, c[0], c[1], c.get("axis", -1))


def _simplified(c: Call, x: Value, scale: Value, axis: int) -> list[Value]:
    epsilon = float(c.get("epsilon", 1e-5))
    scale = row_shaped(c, scale, x, axis)
    found = c.call("rms_normalization", x, scale, axis=axis, epsilon=epsilon)
    if not c.wants(1):
        return [found]
    square = c.call("reduce_mean", c.call("mul", x, x), axes=[axis], keepdims=1)
    root = c.call("sqrt", c.call("add", square, epsilon))
    return [found, c.call("reciprocal", root)]


@rule("SkipLayerNormalization", "SkipSimplifiedLayerNormalization", domain=MS)
def skip_normalization(c: Call) -> Sequence[Value | None]:
    """The normalization of a sum, and the sum."""
    plain = c.name == "SkipLayerNormalization"
    total = c.call("add", c[0], c[1])
    if (bias := c.optional(4 if plain else 3)) is not None:
        total = c.call("add", total, bias)
    epsilon = float(c.get("epsilon", 1e-5 if c.name.startswith("SkipS") else 1e-12))
    if plain:
        found: list[Value | None] = [
            normalized(c, total, c[2], c.optional(3), -1, epsilon)
        ]
        if c.wants(1) or c.wants(2):
            found += statistics(c, total, -1, epsilon)
    else:
        found = [*_simplified(c, total, c[2], -1)]
    return [*found, *[None] * (3 - len(found)), total]


@rule("EmbedLayerNormalization", domain=MS)
def embeddings(c: Call) -> Sequence[Value]:
    """The normalized sum of embeddings, the length of each text, and the sum."""
    ids, segments = c[0], c.optional(1)
    total = c.call("gather", c[2], ids, axis=0)
    length = size_at(c, ids, 1)
    if (places := c.optional(8)) is None:
        places = c.call("range", dtypes=("int64",), start=0, limit=length, delta=1)
    total = c.call("add", total, c.call("gather", c[3], places, axis=0))
    if segments is not None and (table := c.optional(4)) is not None:
        total = c.call("add", total, c.call("gather", table, segments, axis=0))
    found = normalized(c, total, c[5], c[6], -1, float(c.get("epsilon", 1e-12)))
    if (mask := c.optional(7)) is not None:
        lengths = c.call("reduce_sum", mask, axes=[1], keepdims=0)
    else:
        zero = c.constant(0, "int32")
        lengths = c.call("expand", zero, shape=size_at(c, ids, 0))
    return [found, lengths, total]


@rule("CDist", domain=MS)
def distances(c: Call) -> Value:
    """[n, m]: how far each row of a [n, k] is from each row of b [m, k]."""
    rows, columns = c.builder.unsqueeze(c[0], [1]), c.builder.unsqueeze(c[1], [0])
    apart = c.call("sub", rows, columns)
    square = c.call("mul", apart, apart)
    total = c.call("reduce_sum", square, axes=[-1], keepdims=0)
    return c.call("sqrt", total) if c.get("metric") == "euclidean" else total


@rule("ExpandDims", domain=MS)
def expand_dims(c: Call) -> Value:
    """With an axis of size 1."""
    return c.builder.unsqueeze(c[0], [int(np.reshape(c.known(1, "axis"), ()))])


@rule("Trilu", "GatherND", "Range", "Pad", domain=MS)
def as_standard(c: Call) -> Results:
    """What the standard took over."""
    c.domain, c.opset = "", c.scope.opsets.get("", 1)
    found = tables()[0].get(("", c.name))
    return found(c) if found else automatic(c)
