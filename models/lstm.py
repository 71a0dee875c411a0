"""A classifier of sequences: two LSTM layers, one of them in both directions.

Random weights. Source: Hochreiter and Schmidhuber, Long short-term memory, 1997.
"""

from typing import Any

import numpy as np

from toolchain.recipe import Net

STEPS, FEATURES, HIDDEN, CLASSES = 24, 32, 64, 10


def lstm(net: Net, x: str, features: int, direction: str) -> str:
    """[steps, 1, features] to [steps, 1, directions * hidden]."""
    count = 2 if direction == "bidirectional" else 1
    scale = HIDDEN**-0.5
    weights = (
        net.normal((count, 4 * HIDDEN, features), scale),
        net.normal((count, 4 * HIDDEN, HIDDEN), scale),
        net.normal((count, 8 * HIDDEN), 0.1),
    )
    y = net.op("LSTM", x, *weights, outputs=3, hidden_size=HIDDEN, direction=direction)[
        0
    ]
    y = net.op("Transpose", y, perm=[0, 2, 1, 3])
    shape = net.constant(np.array([STEPS, 1, count * HIDDEN]))
    return str(net.op("Reshape", y, shape))


def build() -> Any:
    """The ONNX model."""
    net = Net("lstm")
    x = net.input("sequence", (1, STEPS, FEATURES))
    x = net.op("Transpose", x, perm=[1, 0, 2])
    x = lstm(net, x, FEATURES, "bidirectional")
    x = lstm(net, x, 2 * HIDDEN, "forward")
    last = net.op("Gather", x, net.constant(np.int64(STEPS - 1)), axis=0)
    x = net.op("Softmax", net.dense(last, (HIDDEN, CLASSES), gain=3.0), axis=-1)
    return net.model(probabilities=(x, (1, CLASSES)))
