"""ResNet-50 for ImageNet's shape, with random weights: a deep convolutional network.

Source: He et al., Deep Residual Learning for Image Recognition, 2015 (version 1.5:
the stride is in the 3x3 convolution).
"""

from typing import Any

from toolchain.recipe import Net

HEAVY = True

# Width, blocks and stride of each stage.
STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))


def block(net: Net, x: str, channels: int, width: int, stride: int) -> str:
    """A bottleneck: 1x1, 3x3, 1x1 and the shortcut."""
    y = net.op("Relu", net.batch_norm(net.conv(x, (channels, width), 1), width))
    y = net.conv(y, (width, width), 3, stride=stride)
    y = net.op("Relu", net.batch_norm(y, width))
    # A small gain keeps the sums over blocks from growing.
    y = net.batch_norm(net.conv(y, (width, 4 * width), 1), 4 * width, gain=0.3)
    if stride > 1 or channels != 4 * width:
        x = net.conv(x, (channels, 4 * width), 1, stride=stride)
        x = net.batch_norm(x, 4 * width)
    return str(net.op("Relu", net.op("Add", y, x)))


def build() -> Any:
    """The ONNX model."""
    net = Net("resnet50")
    x = net.input("image", (1, 3, 224, 224))
    x = net.batch_norm(net.conv(x, (3, 64), 7, stride=2), 64)
    x = net.op("Relu", x)
    x = net.op("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    channels = 64
    for width, blocks, stride in STAGES:
        for i in range(blocks):
            x = block(net, x, channels, width, stride if i == 0 else 1)
            channels = 4 * width
    x = net.op("Flatten", net.op("GlobalAveragePool", x))
    x = net.op("Softmax", net.dense(x, (channels, 1000)), axis=-1)
    return net.model(probabilities=(x, (1, 1000)))
