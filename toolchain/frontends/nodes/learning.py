"""Rules of ai.onnx.ml's operators on numbers: scalers and linear models."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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


def finished(c: Call, scores: Value, transform: str | None = None) -> Value:
    """Scores after the node's post_transform."""
    kind = str(c.get("post_transform", "NONE")) if transform is None else transform
    if kind not in _TRANSFORMS:
        raise SpecError(f"has post_transform {kind}; use {', '.join(_TRANSFORMS)}")
    return _TRANSFORMS[kind](c, scores)


def _softmax_without_zeros(c: Call, x: Value) -> Value:
    """Shares of those that are not 0."""
    zero = c.call("less_or_equal", c.call("abs", x), 1e-7)
    most = c.call("reduce_max", x, axes=[-1], keepdims=1)
    power = c.call("exp", c.call("sub", x, most))
    kept = c.call("where", zero, c.constant(0, "float32"), power)
    total = c.call("reduce_sum", kept, axes=[-1], keepdims=1)
    none = c.call("equal", total, 0)
    return c.call("div", kept, c.call("where", none, c.constant(1, "float32"), total))


def _probit(c: Call, x: Value) -> Value:
    """The inverse of the normal distribution, as ONNX Runtime approximates it."""
    turned = c.call("sub", c.call("mul", x, 2.0), 1.0)
    square = c.call("mul", turned, turned)
    log = c.call("log", c.call("sub", c.constant(1, "float32"), square))
    part = c.call("add", c.call("mul", log, 0.5), 2 / (np.pi * 0.147))
    rest = c.call("sub", c.call("mul", part, part), c.call("div", log, 0.147))
    size = c.call("sqrt", c.call("sub", c.call("sqrt", rest), part))
    return c.call("mul", c.call("mul", c.call("sign", turned), size), 2**0.5)


_TRANSFORMS: dict[str, Callable[[Call, Value], Value]] = {
    "NONE": lambda c, x: x,
    "SOFTMAX": lambda c, x: c.call("softmax", x, axis=-1),
    "LOGISTIC": lambda c, x: c.call("sigmoid", x),
    "SOFTMAX_ZERO": _softmax_without_zeros,
    "PROBIT": _probit,
}


@rule("LinearRegressor", domain=ML)
def linear_regressor(c: Call) -> Value:
    """A linear function for each target."""
    return finished(c, _scores(c, c.get("targets", 1)))


def labels_of(c: Call) -> Sequence[int]:
    """Numbers of a classifier's classes; texts only count: no tensor holds them."""
    for name in ("classlabels_ints", "classlabels_int64s"):
        if labels := c.get(name):
            return [int(n) for n in labels]
    texts = c.get("classlabels_strings") or []
    if c.wants(0):
        raise SpecError(
            f"has texts for labels, such as {texts[:1]}, which modules do not give; "
            "train it on numbers, or keep its scores alone"
        )
    return range(len(texts))


def label_of(c: Call, labels: Sequence[int], scores: Value) -> Value:
    """The label of the largest score of each row."""
    place = c.call("arg_max", scores, axis=-1, keepdims=0)
    return c.call("gather", c.constant(list(labels), "int64"), place, axis=0)


def two_classes(
    c: Call, labels: Sequence[int], score: Value, shares: bool
) -> list[Value]:
    """The label and both scores from [rows, 1], the score of the second of two.

    shares: it is from 0 to 1, and that of the first is the rest.
    """
    label = second_or_first(c, labels, score, 0.5 if shares else 0.0)
    if c.get("post_transform") == "PROBIT":
        raise SpecError("has PROBIT of one score for two classes; use LOGISTIC")
    if c.get("post_transform") == "LOGISTIC":
        first = c.call("sigmoid", c.call("neg", score))
        score = c.call("sigmoid", score)
    elif shares:
        first = c.call("sub", c.constant(1, "float32"), score)
    else:
        first = c.call("neg", score)
    return [label, c.call("concat", first, score, axis=-1)]


def second_or_first(
    c: Call, labels: Sequence[int], score: Value, limit: float
) -> Value:
    """The second of two labels where its score [rows, 1] is above a limit."""
    second = c.call("greater", c.builder.squeeze(score, [-1]), limit)
    return c.call("where", second, *(c.constant(n, "int64") for n in labels[::-1]))


@rule("LinearClassifier", domain=ML)
def linear_classifier(c: Call) -> Sequence[Value]:
    """The label of the largest score, and all scores; or of one, of two classes."""
    labels = labels_of(c)
    columns = c[0].shape[-1] if c[0].shape else None
    rows = len(c.get("intercepts") or labels)
    if isinstance(columns, int):
        rows = len(c.get("coefficients")) // columns
    scores = _scores(c, rows)
    if rows > 1 or len(labels) != 2:
        return [label_of(c, labels, scores), finished(c, scores)]
    label = second_or_first(c, labels, scores, 0.0)
    return [label, two_classes(c, labels, scores, shares=True)[1]]


@rule("ZipMap", domain=ML)
def zip_map(c: Call) -> Value:
    """The tensor itself: the columns are the classes, in the order of their labels."""
    return c[0]
