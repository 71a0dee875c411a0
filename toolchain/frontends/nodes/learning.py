"""Rules of ai.onnx.ml's operators on numbers: scalers and linear models."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from toolchain.frontends.nodes.rules import Call, rule
from toolchain.graph.graph import Value
from toolchain.spec import SpecError

ML = "ai.onnx.ml"


@rule("ArrayFeatureExtractor", domain=ML)
def extract(c: Call) -> Value:
    """Columns by their numbers."""
    x = c[0] if c[0].rank != 1 else c.builder.unsqueeze(c[0], [0])
    return c.call("gather", x, c.builder.reshape(c[1], [-1]), axis=-1)


@rule("Binarizer", domain=ML)
def binarize(c: Call) -> Value:
    """1 above the threshold, else 0."""
    above = c.call("greater", c[0], float(c.get("threshold", 0.0)))
    return c.cast(above, c[0].dtype)


@rule("Scaler", domain=ML)
def scale(c: Call) -> Value:
    """(x - offset) * scale."""
    x = c.cast(c[0], "float32")
    if offset := c.get("offset"):
        x = c.call("sub", x, c.constant(offset, "float32"))
    if factor := c.get("scale"):
        x = c.call("mul", x, c.constant(factor, "float32"))
    return x


@rule("Normalizer", domain=ML)
def normalize(c: Call) -> Value:
    """Rows over their largest element or their norm; rows of norm 0 stay."""
    x, kind = c.cast(c[0], "float32"), c.get("norm", "MAX")
    if kind == "MAX":
        norm = c.call("reduce_max", x, axes=[-1], keepdims=1)
    elif kind == "L1":
        norm = c.call("reduce_sum", c.call("abs", x), axes=[-1], keepdims=1)
    else:
        norm = c.call("reduce_l2", x, axes=[-1], keepdims=1)
    one = c.constant(1, "float32")
    return c.call("div", x, c.call("where", c.call("equal", norm, 0), one, norm))


@rule("Imputer", domain=ML)
def impute(c: Call) -> Value:
    """Other numbers in place of those that stand for missing ones."""
    x, values = c[0], c.get("imputed_value_floats")
    missing = c.get("replaced_value_float", 0.0)
    if not values:
        values = c.get("imputed_value_int64s")
        missing = c.get("replaced_value_int64", 0)
    if np.isnan(missing):
        there = c.call("equal", x, x)
        return c.call("where", there, x, c.constant(values, x.dtype))
    found = c.call("equal", x, missing)
    return c.call("where", found, c.constant(values, x.dtype), x)


@rule("FeatureVectorizer", domain=ML)
def vectorize(c: Call) -> Value:
    """Columns after each other, as float32."""
    parts = [c.cast(v, "float32") for v in c.given()]
    return c.call("concat", *parts, axis=-1)


def _scores(c: Call, rows: int) -> Value:
    """A linear function of the columns for each of so many targets."""
    weights = np.array(c.get("coefficients"), "float32").reshape(rows, -1)
    found = c.call("matmul", c.cast(c[0], "float32"), c.builder.constant(weights.T))
    if intercepts := c.get("intercepts"):
        found = c.call("add", found, c.constant(intercepts, "float32"))
    return found


def _finished(c: Call, scores: Value) -> Value:
    kind = c.get("post_transform", "NONE")
    if kind == "NONE":
        return scores
    if kind == "SOFTMAX":
        return c.call("softmax", scores, axis=-1)
    if kind == "LOGISTIC":
        return c.call("sigmoid", scores)
    raise SpecError(f"has post_transform {kind}; use NONE, SOFTMAX or LOGISTIC")


@rule("LinearRegressor", domain=ML)
def linear_regressor(c: Call) -> Value:
    """A linear function for each target."""
    return _finished(c, _scores(c, c.get("targets", 1)))


@rule("LinearClassifier", domain=ML)
def linear_classifier(c: Call) -> Sequence[Value]:
    """The label of the largest score, and all scores."""
    labels = c.get("classlabels_ints")
    if not labels:
        raise SpecError("has texts for labels; export it with numbers")
    intercepts = c.get("intercepts") or labels
    if len(intercepts) != len(labels):
        raise SpecError("has one score for two classes; give it one for each")
    scores = _scores(c, len(labels))
    place = c.call("arg_max", scores, axis=-1, keepdims=0)
    label = c.call("gather", c.constant(labels, "int64"), place, axis=0)
    return [label, _finished(c, scores)]
