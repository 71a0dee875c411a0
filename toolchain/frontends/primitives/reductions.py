"""Rules of reductions, and of what is computed along an axis."""

from __future__ import annotations

import numpy as np

from toolchain.frontends.nodes.rules import plain_numbers
from toolchain.frontends.nodes.scope import Items
from toolchain.frontends.nodes.shapes import rank_of, size_at
from toolchain.frontends.primitives.calls import Primitive, dtype_of, primitive
from toolchain.graph.graph import Value
from toolchain.spec import SpecError

_NAMES = {
    "ReduceAll": "ReduceMin",
    "ReduceAny": "ReduceMax",
    "SumExt": "ReduceSum",
    "MeanExt": "ReduceMean",
    "ProdExt": "ReduceProd",
    **{
        n: n
        for n in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd")
    },
}


def reduced(c: Primitive, name: str, x: Value, axes: list[int], kept: bool) -> Value:
    """A reduction by ONNX's operator; over all axes where there are none."""
    given = c.constant(axes, "int64") if axes else None
    return c.onnx(name, x, given, keepdims=int(kept))


@primitive(*_NAMES)
def reduction(c: Primitive) -> Value:
    """Over axes, or all of them; the Ext forms add integers as int64."""
    x, axes = c[0], c.axes()
    if c.name.endswith("Ext"):
        said = c.known(3, "dtype")
        wide = "float32" if x.dtype == "float32" else "int64"
        x = c.cast(x, wide if said is None else dtype_of(c, said))
    elif not axes and c.known(3, "skip_mode", False):
        return x
    return reduced(c, _NAMES[c.name], x, axes, bool(c.known(2, "keep_dims", False)))


@primitive("ReduceStd")
def deviation(c: Primitive) -> Value:
    """The standard deviation and the mean; unbiased: over one less than the count."""
    x, axes = c[0], c.axes() or [*range(rank_of(c[0]))]
    unbiased, kept = bool(c.known(2, "unbiased", True)), bool(c.known(3, "keep_dims"))
    mean = reduced(c, "ReduceMean", x, axes, True)
    centred = c.call("sub", x, mean)
    square = c.call("mul", centred, centred)
    if unbiased:
        sizes = [size_at(c, x, a % rank_of(x)) for a in axes]
        count = c.call("concat", *sizes, axis=0) if len(sizes) > 1 else sizes[0]
        count = c.cast(c.call("reduce_prod", count, keepdims=0), "float32")
        total = reduced(c, "ReduceSum", square, axes, kept)
        variance = c.call("div", total, c.call("sub", count, 1))
    else:
        variance = reduced(c, "ReduceMean", square, axes, kept)
    outer = mean if kept else reduced(c, "ReduceMean", x, axes, False)
    return Items([c.call("sqrt", variance), outer])


@primitive("Argmax", "Argmin")
def place(c: Primitive) -> Value:
    """Where the first largest or smallest element is."""
    found = _place(c, c.name, int(c.known(1, "axis", -1)), 0)
    return c.cast(found, dtype_of(c, c.known(2, "output_type", 34)))


def _place(c: Primitive, name: str, axis: int, kept: int) -> Value:
    operator = {"Argmax": "ArgMax", "Argmin": "ArgMin"}[name]
    return c.onnx(operator, c[0], axis=axis, keepdims=kept)


@primitive("ArgMaxWithValue", "ArgMinWithValue")
def place_with_value(c: Primitive) -> Value:
    """Where the largest or smallest element is, as int32, and the element."""
    largest = c.name == "ArgMaxWithValue"
    axis, kept = int(c.known(1, "axis", 0)), int(c.known(2, "keep_dims", False))
    index = _place(c, "Argmax" if largest else "Argmin", axis, kept)
    name = "ReduceMax" if largest else "ReduceMin"
    return Items([c.cast(index, "int32"), reduced(c, name, c[0], [axis], bool(kept))])


@primitive("Softmax", "LogSoftmax")
def along_axis(c: Primitive) -> Value:
    """Along one axis."""
    axes = c.axes() or [-1]
    if len(axes) != 1:
        raise SpecError(f"runs along axes {axes}; use one")
    return c.onnx(c.name, c[0], axis=axes[0])


@primitive("CumSum")
def sums(c: Primitive) -> Value:
    """Sums of the elements up to each."""
    axis = c.constant(int(c.known(1, "axis")), "int64")
    flags = {n: int(c.known(i, n, 0)) for i, n in ((2, "exclusive"), (3, "reverse"))}
    return c.onnx("CumSum", c[0], axis, **flags)


@primitive("TopK")
def largest(c: Primitive) -> Value:
    """The k largest along the last axis, and where they are, as int32."""
    k = c.option(1, "k")
    count = k if isinstance(k, Value) else c.constant(np.ravel(k), "int64")
    count = c.builder.reshape(c.cast(count, "int64"), [1])
    return _sorted(c, count, -1, largest=True)


@primitive("Sort")
def in_order(c: Primitive) -> Value:
    """All elements along an axis in order, and where they were, as int32."""
    axis = int(c.known(1, "axis", -1))
    count = size_at(c, c[0], axis % rank_of(c[0]))
    return _sorted(c, count, axis, largest=bool(c.known(2, "descending", False)))


def _sorted(c: Primitive, count: Value, axis: int, *, largest: bool) -> Value:
    given = {"axis": axis, "largest": int(largest), "sorted": 1}
    values, places = c.onnx_outputs("TopK", 2, c[0], count, **given)
    return Items([values, c.cast(places, "int32")])


@primitive("L2Normalize")
def l2_normalized(c: Primitive) -> Value:
    """X over its norm along axes, at least sqrt(epsilon)."""
    x, axes = c[0], c.axes(1, "axis")
    total = reduced(c, "ReduceSum", c.call("mul", x, x), axes, True)
    least = float(c.get("epsilon", 1e-4))
    return c.call("div", x, c.call("sqrt", c.call("maximum", total, least)))


@primitive("Shape", "TensorShape", "DynamicShape")
def shape(c: Primitive) -> Value:
    """Sizes: a tuple of numbers, or a tensor."""
    sizes = c.builder.shape_of(c[0])
    if c.name != "Shape":
        return sizes
    c.inputs = [sizes]
    parts = c.elements(0)
    return Items([p if isinstance(p, Value) else c.constant(p, "int64") for p in parts])


@primitive("Size")
def size(c: Primitive) -> Value:
    """The number of elements."""
    return c.onnx("Size", c[0])


@primitive("Range")
def counted(c: Primitive) -> Value:
    """start, start + delta, ... before limit."""
    return c.onnx("Range", c[0], c.like(1, c[0]), c.like(2, c[0]))


@primitive("sequence_len")
def length(c: Primitive) -> Value:
    """The number of a tuple's elements."""
    value = c[0]
    count = len(value.items) if isinstance(value, Items) else len(c.elements(0))
    return c.constant(count, "int64")


@primitive("TupleToTensor", "ListToTensor")
def tensor(c: Primitive) -> Value:
    """The numbers of a tuple as a vector."""
    said = c.known(1, "dtype", 35)
    found = c.vector(c.elements(0))
    if plain_numbers(found) is found:
        return c.cast(found, dtype_of(c, said))
    return c.constant(plain_numbers(found), dtype_of(c, said))


@primitive("TensorToTuple", "TensorToList")
def numbers(c: Primitive) -> Value:
    """A vector itself: it is taken apart where its numbers are needed."""
    return c[0]


@primitive("MakeTuple", "MakeList", "RealMakeTuple", "RealMakeList")
def made(c: Primitive) -> Value:
    """The inputs."""
    return Items([v for v in c.inputs if v is not None])


@primitive("TupleGetItem", "ListGetItem", "RealTupleGetItem", "list_getitem")
def item(c: Primitive) -> Value:
    """An element of a tuple."""
    value, at = c[0], int(c.known(1, "index"))
    if not isinstance(value, Items):
        c.inputs = [value]
        found = c.elements(0)[at]
        return found if isinstance(found, Value) else c.constant(found, "int64")
    if not -len(value.items) <= at < len(value.items):
        raise SpecError(
            f"takes element {at} of a tuple of which {len(value.items)} are made here"
        )
    return value.items[at]
