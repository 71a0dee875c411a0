"""Rules of ai.onnx.ml's support vector machines, by products of matrices."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from toolchain.frontends.nodes.learning import ML, finished, label_of, labels_of
from toolchain.frontends.nodes.rules import Call, rule
from toolchain.graph.graph import Value
from toolchain.spec import SpecError

Matrix = NDArray[np.float64]


def _kernel(c: Call, x: Value, vectors: Matrix) -> Value:
    """[rows, vectors]: the kernel of each row with each vector."""
    kind = str(c.get("kernel_type", "LINEAR"))
    gamma, offset, degree = (*(c.get("kernel_params") or ()), 0.0, 0.0, 0.0)[:3]
    dots = c.call("matmul", x, c.constant(vectors.T, "float32"))
    if kind == "LINEAR":
        return dots
    if kind == "RBF":
        own = c.call("reduce_sum", c.call("mul", x, x), axes=[-1], keepdims=1)
        theirs = c.constant(np.sum(vectors**2, 1), "float32")
        both = c.call("sub", c.call("add", own, theirs), c.call("mul", dots, 2.0))
        distance = c.call("maximum", both, 0.0)
        return c.call("exp", c.call("mul", distance, -gamma))
    moved = c.call("add", c.call("mul", dots, gamma), offset)
    if kind == "POLY":
        return c.call("pow", moved, c.constant(degree, "float32"))
    if kind == "SIGMOID":
        return c.call("tanh", moved)
    raise SpecError(f"has kernel_type {kind!r}; use LINEAR, POLY, RBF or SIGMOID")


def _vectors(c: Call, count: int) -> Matrix:
    return np.array(c.get("support_vectors"), "float64").reshape(count, -1)


@rule("SVMRegressor", domain=ML)
def regressor(c: Call) -> Value:
    """A sum of kernels and rho; of one class its sign."""
    x, count = c.cast(c[0], "float32"), c.get("n_supports", 0) or 0
    weights = np.array(c.get("coefficients"), "float64")
    if count:
        x, weights = _kernel(c, x, _vectors(c, count)), weights.reshape(count, 1)
    else:
        x, weights = _kernel(c, x, weights.reshape(1, -1)), np.ones((1, 1))
    found = c.call("matmul", x, c.constant(weights, "float32"))
    found = c.call("add", found, float(c.get("rho")[0]))
    if c.get("one_class", 0):
        above = c.call("greater", found, 0.0)
        pair = [c.constant(n, "float32") for n in (1, -1)]
        return c.call("where", above, *pair)
    return finished(c, found)


def _pairs(c: Call, counts: Sequence[int]) -> Matrix:
    """[vectors, pairs]: weights of the vectors for each two classes."""
    weights = np.array(c.get("coefficients"), "float64").reshape(-1, sum(counts))
    ends = np.cumsum([0, *counts])
    found = []
    for i, j in combinations(range(len(counts)), 2):
        row = np.zeros(sum(counts))
        row[ends[i] : ends[i + 1]] = weights[j - 1, ends[i] : ends[i + 1]]
        row[ends[j] : ends[j + 1]] = weights[i, ends[j] : ends[j + 1]]
        found.append(row)
    return np.array(found).T


def _votes(c: Call, scores: Value, classes: int) -> Value:
    """[rows, classes]: how many of its pairs each class wins."""
    pairs = list(combinations(range(classes), 2))
    first, second = np.zeros((2, len(pairs), classes))
    for k, (i, j) in enumerate(pairs):
        first[k, i] = second[k, j] = 1
    won = c.cast(c.call("greater", scores, 0.0), "float32")
    lost = c.call("sub", c.constant(1, "float32"), won)
    both = zip((won, lost), (first, second), strict=True)
    parts = [c.call("matmul", v, c.constant(m, "float32")) for v, m in both]
    return c.call("add", *parts)


@rule("SVMClassifier", domain=ML)
def classifier(c: Call) -> Sequence[Value]:
    """The class that wins most pairs, and the pairs' scores; shares of two classes."""
    counts, labels = c.get("vectors_per_class"), labels_of(c)
    if not counts:
        raise SpecError("has no support vectors; use a LinearClassifier")
    kernel = _kernel(c, c.cast(c[0], "float32"), _vectors(c, sum(counts)))
    pairs = c.constant(_pairs(c, counts), "float32")
    scores = c.call("matmul", kernel, pairs)
    scores = c.call("add", scores, c.constant(c.get("rho"), "float32"))
    label = label_of(c, labels, _votes(c, scores, len(labels)))
    if a := c.get("prob_a"):
        return [label, finished(c, _shares(c, scores, a, c.get("prob_b")))]
    if len(labels) == 2:
        scores = c.call("concat", c.call("neg", scores), scores, axis=-1)
    return [label, finished(c, scores)]


def _shares(c: Call, scores: Value, a: Sequence[float], b: Sequence[float]) -> Value:
    """How likely each of two classes is. Errors: SpecError for more of them."""
    if len(a) != 1:
        raise SpecError(
            "has shares of more than two classes, which need a search; export it with "
            "probability=False"
        )
    moved = c.call("add", c.call("mul", scores, float(a[0])), float(b[0]))
    first = c.call("clip", c.call("sigmoid", c.call("neg", moved)), 1e-7, 1 - 1e-7)
    rest = c.call("sub", c.constant(1, "float32"), first)
    return c.call("concat", first, rest, axis=-1)
