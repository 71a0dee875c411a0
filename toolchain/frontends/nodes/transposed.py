"""The rule of ConvTranspose."""

from __future__ import annotations

from toolchain.frontends.nodes.rules import Call, rule
from toolchain.frontends.nodes.shapes import joined, size_at
from toolchain.frontends.nodes.windows import Window, kernel_of
from toolchain.graph.graph import Value


@rule("ConvTranspose")
def conv_transpose(c: Call) -> Value:
    """The library's, with pads as output_shape or auto_pad may ask for them."""
    x, w = c[0], c[1]
    window = kernel_of(c, w)
    begins, ends = _pads(c, x, window)
    return c.call(
        "conv_transpose",
        *(x, w, c.optional(2)),
        group=c.get("group", 1),
        strides=window.strides,
        pads=joined(c, *begins, *ends),
        dilations=window.dilations,
        output_padding=_more(c, window),
    )


def _more(c: Call, window: Window) -> list[int]:
    given: list[int] = c.get("output_padding") or [0] * window.rank
    return given


def _pads(c: Call, x: Value, window: Window) -> tuple[list[Value], list[Value]]:
    """Begins and ends; those below 0 make the image larger."""
    wanted, kind = c.get("output_shape"), c.get("auto_pad", "NOTSET")
    given = c.get("pads") or [0] * 2 * window.rank
    if not wanted and kind in ("NOTSET", "VALID"):
        values = [c.constant([n if kind == "NOTSET" else 0], "int64") for n in given]
        return values[: window.rank], values[window.rank :]
    begins, ends = [], []
    for i, step in enumerate(window.strides):
        size = size_at(c, x, 2 + i)
        full = c.call("mul", c.call("sub", size, 1), step)
        reach = c.call("add", full, window.reach(i))
        full = c.call("add", reach, _more(c, window)[i])
        if wanted:
            total = c.call("sub", full, wanted[i - window.rank])
        else:
            total = c.call("sub", full, c.call("mul", size, step))
        pads = c.call("maximum", total, 0)
        less = c.call("div", pads, 2)
        rest = c.call("sub", pads, less)
        upper = kind == "SAME_UPPER"
        begins.append(less if upper else rest)
        beyond = c.call("minimum", total, 0)
        ends.append(c.call("add", rest if upper else less, beyond))
    return begins, ends
