"""MobileNetV2 for ImageNet's shape, with random weights: depthwise convolutions.

Source: Sandler et al., MobileNetV2: Inverted Residuals and Linear Bottlenecks, 2018.
"""

from typing import Any

import numpy as np

from toolchain.recipe import Net

HEAVY = True

# Expansion, output channels, blocks and stride of each stage.
STAGES = (
    *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
    *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
)


def relu6(net: Net, x: str) -> str:
    """Limit to 0..6."""
    limits = [net.constant(np.float32(v)) for v in (0, 6)]
    return str(net.op("Clip", x, *limits))


def block(net: Net, x: str, channels: tuple[int, int], expand: int, stride: int) -> str:
    """An inverted residual: 1x1 up, depthwise 3x3, 1x1 down."""
    source, features = channels
    width, y = source * expand, x
    if expand > 1:
        y = relu6(net, net.batch_norm(net.conv(y, (source, width), 1), width))
    y = net.conv(y, (width, width), 3, stride=stride, group=width)
    y = relu6(net, net.batch_norm(y, width))
    y = net.batch_norm(net.conv(y, (width, features), 1), features)
    return str(net.op("Add", x, y)) if stride == 1 and source == features else y


def build(height: int | str = 224, width: int | str = 224) -> Any:
    """The ONNX model. Sizes of the image may be names of open ones."""
    net = Net("mobilenet_v2")
    x = net.input("image", (1, 3, height, width))
    x = relu6(net, net.batch_norm(net.conv(x, (3, 32), 3, stride=2), 32))
    channels = 32
    for expand, features, blocks, stride in STAGES:
        for i in range(blocks):
            x = block(net, x, (channels, features), expand, stride if i == 0 else 1)
            channels = features
    x = relu6(net, net.batch_norm(net.conv(x, (channels, 1280), 1), 1280))
    x = net.op("Flatten", net.op("GlobalAveragePool", x))
    return net.model(logits=(net.dense(x, (1280, 1000)), (1, 1000)))
