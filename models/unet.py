"""A small U-Net: skip connections, resizing and concatenation.

Random weights. Source: Ronneberger et al., U-Net, 2015 (bilinear resizing in place of
transposed convolutions).
"""

from typing import Any

import numpy as np

from toolchain.recipe import Net

SIZE, WIDTHS = 96, (16, 32, 64)


def double(net: Net, x: str, channels: tuple[int, int]) -> str:
    """Two 3 x 3 convolutions with batch norm and relu."""
    source, features = channels
    for depth in (source, features):
        x = net.batch_norm(net.conv(x, (depth, features), 3), features)
        x = net.op("Relu", x)
    return x


def build(height: int | str = SIZE, width: int | str = SIZE) -> Any:
    """The ONNX model. Sizes of the image may be names of open ones."""
    net = Net("unet")
    x = net.input("image", (1, 3, height, width))
    skips, channels = [], 3
    for features in WIDTHS:
        x = double(net, x, (channels, features))
        skips.append(x)
        x = net.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
        channels = features
    x = double(net, x, (channels, 2 * channels))
    channels *= 2
    none = net.constant(np.zeros(0, "float32"))
    twice = net.constant(np.array([1, 1, 2, 2], "float32"))
    for features, skip in zip(WIDTHS[::-1], skips[::-1], strict=True):
        x = net.op("Resize", x, none, twice, mode="linear")
        x = net.op("Concat", x, skip, axis=1)
        x = double(net, x, (channels + features, features))
        channels = features
    x = net.op("Sigmoid", net.conv(x, (channels, 1), 1, bias=True))
    return net.model(mask=(x, (1, 1, height, width)))
