"""Train LeNet-5 on scikit-learn's digits: writes lenet.onnx and tests/digits.npz.

Run once, by hand: `pip install scikit-learn && python -m models._train_lenet`. The
digits are 8 x 8; three pixels for each, with a border of 2, make LeNet's 28 x 28.
Source: LeCun et al., Gradient-based learning applied to document recognition, 1998
(relu and max pooling in place of tanh and averages).
"""

from pathlib import Path
from typing import Any

import numpy as np

from toolchain.recipe import Net

FOLDER = Path(__file__).parent
EPOCHS, BATCH, RATE, MOMENTUM = 20, 32, 0.02, 0.9
# Shapes of the weights, in the order of the layers: two convolutions, three products.
SHAPES = ((6, 1, 5, 5), (16, 6, 5, 5), (400, 120), (120, 84), (84, 10))


def digits() -> tuple[Any, Any]:
    """Images [n, 1, 28, 28] in 0..1 and their labels."""
    from sklearn.datasets import load_digits

    data = load_digits()
    images = np.kron(data.images / 16, np.ones((3, 3)))
    images = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    return images[:, None].astype("float32"), data.target


def windows(x: Any, size: int) -> Any:
    """[n, c, h, w] as [n, y, x, c, r, s]."""
    view = np.lib.stride_tricks.sliding_window_view(x, (size, size), (2, 3))
    return view.transpose(0, 2, 3, 1, 4, 5)


class Conv:
    """A 5 x 5 convolution, relu and 2 x 2 max pooling."""

    def __init__(self, w: Any, b: Any, pad: int) -> None:
        self.w, self.b, self.pad = w, b, pad

    def forward(self, x: Any) -> Any:
        """[n, c, h, w] to [n, m, y, x]."""
        p = self.pad
        self.x = windows(np.pad(x, ((0, 0), (0, 0), (p, p), (p, p))), 5)
        y = np.tensordot(self.x, self.w, ((3, 4, 5), (1, 2, 3))) + self.b
        y = np.maximum(y.transpose(0, 3, 1, 2), 0)
        n, m, h, w = y.shape
        blocks = y.reshape(n, m, h // 2, 2, w // 2, 2)
        out = blocks.max((3, 5))
        self.mask = (blocks == out[:, :, :, None, :, None]) & (blocks > 0)
        return out

    def backward(self, g: Any) -> Any:
        """The gradients of x, w and b from that of the result."""
        spread = self.mask * g[:, :, :, None, :, None]
        n, m, h, _, w, _ = spread.shape
        spread = spread.reshape(n, m, 2 * h, 2 * w)
        dw = np.tensordot(spread, self.x, ((0, 2, 3), (0, 1, 2)))
        back = windows(np.pad(spread, ((0, 0), (0, 0), (4, 4), (4, 4))), 5)
        flipped = self.w[:, :, ::-1, ::-1]
        dx = np.tensordot(back, flipped, ((3, 4, 5), (0, 2, 3))).transpose(0, 3, 1, 2)
        p = self.pad
        dx = dx[:, :, p : dx.shape[2] - p, p : dx.shape[3] - p]
        return dx, dw, spread.sum((0, 2, 3))


def step(x: Any, labels: Any, weights: list[Any]) -> tuple[list[Any], Any]:
    """Gradients of the cross entropy, and the logits."""
    convs = [Conv(weights[0], weights[1], 2), Conv(weights[2], weights[3], 0)]
    for conv in convs:
        x = conv.forward(x)
    shape = x.shape
    layers = [x.reshape(len(x), -1)]
    for i in (4, 6, 8):
        y = layers[-1] @ weights[i] + weights[i + 1]
        layers.append(np.maximum(y, 0) if i < 8 else y)
    shares = np.exp(layers[-1] - layers[-1].max(1, keepdims=True))
    shares /= shares.sum(1, keepdims=True)
    shares[np.arange(len(labels)), labels] -= 1
    g = shares / len(labels)
    gradients: list[Any] = []
    for i in (8, 6, 4):
        x = layers[i // 2 - 2]
        gradients = [x.T @ g, g.sum(0), *gradients]
        g = (g @ weights[i].T) * (x > 0 if i > 4 else 1)
    g = g.reshape(shape)
    for conv in convs[::-1]:
        g, dw, db = conv.backward(g)
        gradients = [dw, db, *gradients]
    return gradients, layers[-1]


def train(images: Any, labels: Any, rng: Any) -> list[Any]:
    """Weights and biases, after stochastic gradient descent with momentum."""
    weights: list[Any] = []
    for shape in SHAPES:
        fan = int(np.prod(shape[1:] if len(shape) == 4 else shape[:1]))
        weights.append(rng.standard_normal(shape) * np.sqrt(2 / fan))
        weights.append(np.zeros(shape[0] if len(shape) == 4 else shape[1]))
    speed = [np.zeros_like(w) for w in weights]
    for epoch in range(EPOCHS):
        order = rng.permutation(len(images))
        right = 0
        for start in range(0, len(order), BATCH):
            part = order[start : start + BATCH]
            gradients, logits = step(images[part], labels[part], weights)
            right += int((logits.argmax(1) == labels[part]).sum())
            for i, gradient in enumerate(gradients):
                speed[i] = MOMENTUM * speed[i] - RATE * gradient
                weights[i] = weights[i] + speed[i]
        print(f"epoch {epoch + 1}: {right / len(images):.4f}")
    return weights


def lenet(weights: list[Any]) -> Any:
    """The ONNX model."""
    net = Net("lenet")
    names = [net.constant(w.astype("float32")) for w in weights]
    x = net.input("image", (1, 1, 28, 28))
    for i, pad in ((0, 2), (2, 0)):
        x = net.op("Conv", x, names[i], names[i + 1], pads=[pad] * 4)
        x = net.op("Relu", x)
        x = net.op("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    x = net.op("Flatten", x)
    for i in (4, 6, 8):
        x = net.op("Gemm", x, names[i], names[i + 1])
        x = net.op("Relu", x) if i < 8 else x
    return net.model(probabilities=(net.op("Softmax", x, axis=-1), (1, 10)))


def main() -> None:
    """Train on four fifths, keep the rest for the tests."""
    import onnx

    rng = np.random.default_rng(0)
    images, labels = digits()
    order = rng.permutation(len(images))
    cut = len(images) * 4 // 5
    known, new = order[:cut], order[cut:]
    weights = train(images[known].astype("float64"), labels[known], rng)
    _, logits = step(images[new].astype("float64"), labels[new], weights)
    print(f"new images: {(logits.argmax(1) == labels[new]).mean():.4f}")
    onnx.save(lenet(weights), FOLDER / "lenet.onnx")
    small = np.round(images[new, 0, 3:-2:3, 3:-2:3] * 16).astype("uint8")
    np.savez_compressed(
        FOLDER.parent / "tests" / "digits.npz",
        images=small,
        labels=labels[new].astype("uint8"),
    )


if __name__ == "__main__":
    main()
