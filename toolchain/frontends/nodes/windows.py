"""Rules of convolutions and pools.

The library pools over one and two spatial axes; over three that is made of those.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from toolchain.frontends.nodes.rules import Call, plain_numbers, rule
from toolchain.frontends.nodes.shapes import joined, rank_of, size_at
from toolchain.graph.graph import Value
from toolchain.graph.shapes import text
from toolchain.spec import SpecError


class Window:
    """What a node says of its windows. sizes: of a kernel, for each spatial axis."""

    def __init__(self, c: Call, sizes: Sequence[Value | int]) -> None:
        self.call, self.sizes, self.rank = c, list(sizes), len(sizes)
        ones = [1] * self.rank
        self.strides: list[int] = c.get("strides") or ones
        self.dilations: list[int] = c.get("dilations") or ones

    def pads(self, x: Value) -> Any:
        """Begins, then ends: numbers, or a vector where auto_pad asks for open ones."""
        rule_of = self.call.get("auto_pad", "NOTSET")
        if rule_of in ("NOTSET", "", None):
            return self.call.get("pads") or [0] * 2 * self.rank
        if rule_of == "VALID":
            return [0] * 2 * self.rank
        before, after = [], []
        for i in range(self.rank):
            less, more = self._halves(size_at(self.call, x, 2 + i), i)
            before.append(less if rule_of == "SAME_UPPER" else more)
            after.append(more if rule_of == "SAME_UPPER" else less)
        return joined(self.call, *before, *after)

    def _halves(self, size: Value, axis: int) -> tuple[Value, Value]:
        """The smaller and the larger half of an axis's pads."""
        call, step = self.call.call, self.strides[axis]
        reach = self.reach(axis)
        steps = call("sub", call("div", call("add", size, step - 1), step), 1)
        last = call("sub", call("add", call("mul", steps, step), reach), size)
        total = call("maximum", last, 0)
        less = call("div", total, 2)
        return less, call("sub", total, less)

    def nothing(self, x: Value, features: object) -> Value | None:
        """The result, where a window has no place on an axis; None where all have.

        features: channels of the result. Errors: SpecError where an axis is too short
        even for a result of size 0.
        """
        pads, known = self.pads(x), x.shape or ()
        if isinstance(pads, Value) or self.call.get("ceil_mode"):
            return None
        sizes: list[Any] = [known[0] if known else None, features]
        for i, size in enumerate(known[2:]):
            reach, step = self.reach(i), self.strides[i]
            if not isinstance(size, int) or not isinstance(reach, int):
                return None
            padded = size + pads[i] + pads[self.rank + i]
            if reach > padded + (step == 1):
                raise SpecError(
                    f"its window takes {reach} of axis {i + 2} of {text(known)}, which "
                    f"has {padded} with its pads; give a larger input, more pads or a "
                    "smaller kernel"
                )
            sizes.append((padded - reach) // step + 1)
        if 0 not in sizes[2:] or not all(isinstance(n, int) for n in sizes):
            return None
        return self.call.constant(np.zeros(sizes), x.dtype)

    def reach(self, axis: int) -> Value | int:
        """Elements that a window spans."""
        size, step = self.sizes[axis], self.dilations[axis]
        if isinstance(size, int):
            return (size - 1) * step + 1
        call = self.call.call
        return call("add", call("mul", call("sub", size, 1), step), 1)

    def attributes(self, x: Value) -> dict[str, Any]:
        """As the library's operators take them."""
        return {
            "strides": self.strides,
            "dilations": self.dilations,
            "pads": self.pads(x),
        }


def kernel_of(c: Call, w: Value, given: Sequence[int] | None = None) -> Window:
    """Windows of a convolution with weights w."""
    sizes = given or c.get("kernel_shape")
    if sizes is None:
        rank = rank_of(w, "its weights") - 2
        known = [None if w.shape is None else w.shape[2 + i] for i in range(rank)]
        sizes = [
            n if isinstance(n, int) else size_at(c, w, 2 + i)
            for i, n in enumerate(known)
        ]
    return Window(c, sizes)


@rule("Conv")
def convolution(c: Call) -> Value:
    """The library's, or that of volumes."""
    x, w, bias = c[0], c[1], c.optional(2)
    window, group = kernel_of(c, w), c.get("group", 1)
    if window.rank not in (1, 2, 3):
        raise SpecError(f"has {window.rank} spatial axes; use 1..3")
    none = window.nothing(x, None if w.shape is None else w.shape[0])
    if none is not None:
        return none
    name = "conv_3d" if window.rank == 3 else "conv"
    return c.call(name, x, w, bias, group=group, **window.attributes(x))


def numbers_of(values: Any, what: str) -> list[int]:
    """Numbers that must be known. Errors: SpecError."""
    values = values if isinstance(values, list) else [values]
    if any(isinstance(v, Value) for v in values):
        raise SpecError(f"needs {what}, which is open here; give it")
    return [int(v) for v in values]


def _by_image(c: Call, x: Value, name: str, *others: Value, **given: Any) -> Value:
    """An operator of images over each plane of volumes [N, C, D, H, W]."""
    planes = c.call("transpose", x, perm=[0, 2, 1, 3, 4])
    flat = c.builder.reshape(
        planes,
        joined(
            c,
            c.constant([-1], "int64"),
            c.builder.shape_of(x, 1, 2),
            c.builder.shape_of(x, 3),
        ),
        0,
    )
    found = c.call(name, flat, *others, **given)
    heads = (c.builder.shape_of(x, 0, 1), c.builder.shape_of(x, 2, 3))
    shape = joined(c, *heads, c.builder.shape_of(found, 1))
    whole = c.builder.reshape(found, shape, 1)
    return c.call("transpose", whole, perm=[0, 2, 1, 3, 4])


@rule("CausalConvWithState")
def causal_convolution(c: Call) -> Sequence[Value]:
    """A convolution of each channel with what came before; and the last of that."""
    x, w, past = c[0], c[1], c.optional(3)
    channels = plain_numbers(c.builder.reshape(size_at(c, w, 0), []))
    before = c.call("sub", size_at(c, w, 2), 1)
    if past is None:
        none = c.constant([0, 0], "int64")
        whole = joined(c, none, before, none, 0)
        wide = c.call("pad", x, mode="constant", pads=whole)
    else:
        wide = c.call("concat", past, x, axis=2)
    found = c.call("conv", wide, w, c.optional(2), group=channels)
    if c.get("activation", "none") != "none":
        found = c.call("silu", found)
    first = plain_numbers(size_at(c, x, 2))
    rest = c.call("slice", wide, starts=first, ends=[1 << 31], axes=[2])
    return [found, rest]


@rule("MaxPool", "AveragePool")
def pool(c: Call) -> Sequence[Value]:
    """The library's; over three spatial axes first the last two, then the first."""
    x, window = c[0], Window(c, c.get("kernel_shape"))
    name = "max_pool" if c.name == "MaxPool" else "average_pool"
    given = window.attributes(x) | {"kernel_shape": window.sizes}
    given["ceil_mode"] = c.get("ceil_mode", 0) or 0
    if name == "average_pool":
        given["count_include_pad"] = c.get("count_include_pad", 0) or 0
    channels = x.shape[1] if x.shape and len(x.shape) > 1 else None
    none = window.nothing(x, channels)
    if none is not None and not c.wants(1):
        return [none]
    if c.wants(1):
        given["storage_order"] = c.get("storage_order", 0) or 0
        outputs: dict[str, Any] = {"dtypes": None, "outputs": 2}
        return c.builder.calls("max_pool_with_indices", x, **outputs, **given)
    if window.rank in (1, 2):
        return [c.exact(name, x, **given)]
    if window.rank != 3:
        raise SpecError(f"has {window.rank} spatial axes; use 1..3")
    given["pads"] = numbers_of(given["pads"], "its pads")
    return [_deep_pool(c, x, name, given)]


def _deep_pool(c: Call, x: Value, name: str, given: dict[str, Any]) -> Value:
    parts: list[dict[str, Any]] = []
    for axes in ([1, 2], [0]):
        part = {n: v for n, v in given.items() if not isinstance(v, list)}
        for key in ("kernel_shape", "strides", "dilations"):
            part[key] = [given[key][i] for i in axes]
        part["pads"] = [given["pads"][i + j] for j in (0, 3) for i in axes]
        parts.append(part)
    planes = _by_image(c, x, name, **parts[0])
    # Columns: [N, C, H, W, D] as [N, C H W, D].
    moved = c.call("transpose", planes, perm=[0, 1, 3, 4, 2])
    flat = c.builder.reshape(
        moved, joined(c, size_at(c, moved, 0), -1, size_at(c, moved, 4)), 1
    )
    found = c.call(name, flat, **parts[1])
    whole = joined(c, c.builder.shape_of(moved, 0, 4), c.builder.shape_of(found, 2))
    return c.call("transpose", c.builder.reshape(found, whole, 1), perm=[0, 1, 4, 2, 3])


@rule("LpPool")
def norm_pool(c: Call) -> Value:
    """The p-norm of windows."""
    window = Window(c, c.get("kernel_shape"))
    given = window.attributes(c[0]) | {"kernel_shape": window.sizes}
    given["ceil_mode"] = c.get("ceil_mode", 0) or 0
    return c.call("lp_pool", c[0], p=c.get("p", 2), **given)


@rule("MaxUnpool")
def max_unpool(c: Call) -> Value:
    """What MaxPool with indices took, put back."""
    window = Window(c, c.get("kernel_shape"))
    given: dict[str, Any] = {
        "kernel_shape": window.sizes,
        "strides": window.strides,
        "pads": window.pads(c[0]),
    }
    if (shape := c.optional(2)) is not None:
        spatial = c.call("slice", shape, starts=[2], ends=[1 << 31], axes=[0])
        given["output_shape"] = plain_numbers(spatial)
    return c.call("max_unpool", c[0], c[1], **given)


@rule("GlobalMaxPool", "GlobalLpPool", "GlobalAveragePool")
def global_pool(c: Call) -> Value:
    """Over all spatial axes."""
    if c.name == "GlobalAveragePool":
        return c.call("global_average_pool", c[0])
    axes = [*range(2, rank_of(c[0]))]
    if c.name == "GlobalMaxPool":
        return c.call("reduce_max", c[0], axes=axes, keepdims=1)
    if c.get("p", 2) == 2:
        return c.call("reduce_l2", c[0], axes=axes, keepdims=1)
    powers = c.call("pow", c.call("abs", c[0]), float(c.get("p")))
    total = c.call("reduce_sum", powers, axes=axes, keepdims=1)
    return c.call("pow", total, 1.0 / c.get("p"))
