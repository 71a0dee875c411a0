"""Rows of convolutions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from ops_wasm32.convert import Array

from bench.row import (
    LAYOUTS,
    NCHW,
    NHWC,
    Case,
    Goal,
    Onnx,
    Ours,
    Pack,
    Row,
    Tfjs,
    both,
    byte_count,
    floats,
)

# Convolutions. Sizes: H = W, C, M, filter, stride, padding.
CONVS = {
    "3×3 56×56×64→64": (56, 64, 64, 3, 1, 1),
    "7×7 stride 2 224×224×3→64": (224, 3, 64, 7, 2, 3),
    "3×3 14×14×256→256": (14, 256, 256, 3, 1, 1),
    "1×1 56×56×64→64": (56, 64, 64, 1, 1, 0),
    "1×1 7×7×512→2048": (7, 512, 2048, 1, 1, 0),
}


def conv(label: str, nhwc: bool, goals: tuple[Goal, ...]) -> Row:
    """A convolution of CONVS, weights as a constant of the peers."""
    size, c, m, taps, stride, pad = CONVS[label]
    out = (size + 2 * pad - taps) // stride + 1
    layout = {"strides": [stride] * 2, "pads": [pad] * 4}

    def make() -> Case:
        x, w = floats((1, c, size, size), (m, c, taps, taps))
        xt = np.ascontiguousarray(x.transpose(NHWC))
        ours = Ours("conv", (x, w), layout)
        if nhwc:
            pack = Pack("conv_pack", 1)
            ours = Ours("conv_packed", (xt, w), _packed_attributes(w, layout), pack)
        hwio = np.ascontiguousarray(w.transpose(2, 3, 1, 0))
        return Case(
            ours,
            Onnx("Conv", (x, w), (1,), layout, NHWC if nhwc else None),
            Tfjs(
                "conv2d",
                (xt, hwio),
                {"strides": stride, "pads": pad},
                perm=None if nhwc else NCHW,
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
        byte_count((c, size, size), (m, c, taps, taps), (m, out, out)),
        note="ONNX Runtime: NCHW; TensorFlow.js: NHWC" if nhwc else LAYOUTS,
    )


def _packed_attributes(w: Array, layout: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes of conv_packed: the weights' sizes, which packing hides."""
    m, _, r, s = w.shape
    return {"features": m, "kernel_shape": [r, s], **layout}


def depthwise(size: int, c: int, stride: int, nhwc: bool) -> Row:
    """A depthwise 3×3 convolution, H = W = size, c channels."""
    out = (size - 1) // stride + 1
    layout = {"strides": [stride] * 2, "pads": [1] * 4}

    def make() -> Case:
        x, w = floats((1, c, size, size), (c, 1, 3, 3))
        xt = np.ascontiguousarray(x.transpose(NHWC))
        rsc = np.ascontiguousarray(w.transpose(2, 3, 0, 1))
        attributes = {**layout, "group": c}
        ours = Ours("conv", (x, w), attributes)
        if nhwc:
            ours = Ours("depthwise_packed", (xt, rsc.reshape(3, 3, c)), layout)
        return Case(
            ours,
            Onnx("Conv", (x, w), (1,), attributes, NHWC if nhwc else None),
            Tfjs(
                "depthwiseConv2d",
                (xt, rsc),
                {"strides": stride, "pads": 1},
                perm=None if nhwc else NCHW,
            ),
        )

    flop = 2 * out * out * c * 9
    where = "NHWC, packed, " if nhwc else ""
    return Row(
        f"depthwise 3×3 {where}stride {stride}, {size}×{size}×{c}",
        "depthwise_packed" if nhwc else "conv",
        make,
        (both("best peer", 1.7),),
        "flop",
        flop,
        flop,
        byte_count((c, size, size), (c, 9), (c, out, out)),
        note="ONNX Runtime: NCHW; TensorFlow.js: NHWC" if nhwc else LAYOUTS,
    )
