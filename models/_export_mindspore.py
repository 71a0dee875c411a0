"""How mindspore_net.mindir and mindspore_net.onnx were made.

By MindSpore 2.10.0 on a CPU, in an environment of its own (it needs no network):

    pip install mindspore==2.10.0 && python models/_export_mindspore.py

Both files come from one network with the same weights. MindSpore rounds nothing when
it writes them, so ONNX Runtime on the ONNX file is the reference of the MindIR file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Parameter, Tensor, nn, ops

SEED = 5
CHANNELS, WIDTH, HEADS, TOKENS, WORDS = 8, 32, 4, 16, 50


def weight(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> Any:
    """A parameter drawn from a normal distribution."""
    return Tensor((rng.standard_normal(shape) * scale).astype(np.float32))


class Trunk(nn.Cell):
    """Convolutions: padded alike, padded by hand, grouped; both poolings."""

    def __init__(self) -> None:
        super().__init__()
        c = CHANNELS
        self.first = nn.Conv2d(3, c, 3, pad_mode="same", has_bias=True)
        self.norm = nn.BatchNorm2d(c)
        self.relu = nn.ReLU()
        self.max = nn.MaxPool2d(3, stride=2, pad_mode="same")
        self.second = nn.Conv2d(c, 2 * c, 3, stride=2, pad_mode="pad", padding=1)
        self.deep = nn.Conv2d(2 * c, 2 * c, 3, pad_mode="pad", padding=1, group=2 * c)
        self.point = nn.Conv2d(2 * c, WIDTH, 1, pad_mode="valid")
        self.relu6 = nn.ReLU6()
        self.mean = nn.AvgPool2d(2, stride=2)

    def construct(self, image: Any) -> Any:
        x = self.max(self.relu(self.norm(self.first(image))))
        y = self.second(x)
        y = ops.sigmoid(y) * y
        y = self.relu6(self.deep(y)) + ops.tanh(y)
        y = self.point(y)
        return ops.concat((self.mean(y), ops.neg(self.mean(y))), 1)


class Attention(nn.Cell):
    """One layer of a transformer."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Dense(WIDTH, WIDTH)
        self.key = nn.Dense(WIDTH, WIDTH)
        self.value = nn.Dense(WIDTH, WIDTH)
        self.out = nn.Dense(WIDTH, WIDTH)
        self.norm = nn.LayerNorm((WIDTH,))
        self.wide = nn.Dense(WIDTH, 2 * WIDTH)
        self.gelu = nn.GELU()
        self.narrow = nn.Dense(2 * WIDTH, WIDTH)
        self.scores = ops.BatchMatMul(transpose_b=True)
        self.mix = ops.BatchMatMul()

    def heads(self, x: Any) -> Any:
        x = ops.reshape(x, (1, TOKENS, HEADS, WIDTH // HEADS))
        return ops.transpose(x, (0, 2, 1, 3))

    def construct(self, x: Any) -> Any:
        q, k = self.heads(self.query(x)), self.heads(self.key(x))
        scale = float(np.sqrt(WIDTH // HEADS))
        weights = ops.softmax(self.scores(q, k) / scale, -1)
        mixed = ops.transpose(
            self.mix(weights, self.heads(self.value(x))), (0, 2, 1, 3)
        )
        x = self.norm(x + self.out(ops.reshape(mixed, (1, TOKENS, WIDTH))))
        return x + self.narrow(self.gelu(self.wide(x)))


class Net(nn.Cell):
    """An image and a sentence; probabilities of ten classes, and a pooled sentence."""

    def __init__(self) -> None:
        super().__init__()
        rng = np.random.default_rng(SEED)
        self.trunk = Trunk()
        self.attention = Attention()
        self.table = Parameter(weight(rng, (WORDS, WIDTH), 1.0), name="table")
        self.flatten = nn.Flatten()
        self.last = nn.Dense(2 * WIDTH * 4 + WIDTH, 10)
        for parameter in self.get_parameters():
            parameter.set_data(self._draw(rng, parameter))

    def _draw(self, rng: np.random.Generator, parameter: Any) -> Any:
        shape = parameter.shape
        if parameter.name.endswith(("gamma", "variance")):
            return Tensor(rng.uniform(0.8, 1.2, shape).astype(np.float32))
        fan = int(np.prod(shape[1:])) if len(shape) > 1 else 100
        return weight(rng, shape, 1.0 if parameter.name == "table" else fan**-0.5)

    def construct(self, image: Any, sentence: Any) -> Any:
        words = self.attention(ops.gather(self.table, sentence, 0))
        pooled = ops.mean(words, 1)
        both = ops.concat((self.flatten(self.trunk(image)), pooled), 1)
        return ops.softmax(self.last(both), -1), pooled


def main() -> None:
    """Write both files beside this script."""
    ms.set_context(mode=ms.GRAPH_MODE, device_target="CPU")
    folder = Path(__file__).resolve().parent
    net = Net().set_train(False)
    image = Tensor(np.zeros((1, 3, 16, 16), np.float32))
    sentence = Tensor(np.zeros((1, TOKENS), np.int32))
    for kind, file in (
        ("MINDIR", folder / "mindspore_net.mindir"),
        ("ONNX", folder.parent / "tests" / "mindspore_net.onnx"),
    ):
        ms.export(net, image, sentence, file_name=str(file), file_format=kind)


if __name__ == "__main__":
    main()
