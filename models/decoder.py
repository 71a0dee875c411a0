"""One step of a GPT-style decoder: 6 layers, 384 wide, 12 heads, with its KV cache.

Random weights. Inputs: the token, its position, and for each layer the keys and values
of CONTEXT positions, of which those before `position` count; outputs: logits and the
caches with this token's keys and values at `position`. A loop passes the caches on.
Or the caches grow: they hold `past` positions, all of which count, and one more after.
Source: Radford et al., GPT-2, 2019 (layer norm before each block, gelu by tanh).
"""

from typing import Any

import numpy as np

from toolchain.recipe import Net

LAYERS, WIDTH, HEADS, CONTEXT, VOCABULARY = 6, 384, 12, 128, 1000
SIZE = WIDTH // HEADS
Shape = tuple[int | str, ...]


def cache_shapes(past: int | str | None) -> tuple[Shape, Shape]:
    """Shapes of a layer's keys before and after a step."""
    before: int | str = CONTEXT if past is None else past
    after = f"{past} + 1" if isinstance(past, str) else CONTEXT
    if isinstance(past, int):
        after = past + 1
    return (1, HEADS, before, SIZE), (1, HEADS, after, SIZE)


def head_rows(net: Net, x: str) -> str:
    """[1, 1, width] as [1, heads, 1, size]."""
    return str(net.op("Reshape", x, net.constant(np.array([1, HEADS, 1, SIZE]))))


def stored(net: Net, cache: str, row: str, here: str) -> str:
    """The cache with a row at the position: here is true there; "": behind the rest."""
    if not here:
        return str(net.op("Concat", cache, row, axis=2))
    return str(net.op("Where", here, row, cache))


def attention(
    net: Net, x: str, caches: tuple[str, str], here: str, mask: str
) -> tuple[str, str, str]:
    """The attention's result and the new keys and values."""
    q, k, v = (head_rows(net, net.dense(x, (WIDTH, WIDTH))) for _ in range(3))
    keys, values = stored(net, caches[0], k, here), stored(net, caches[1], v, here)
    scores = net.op("MatMul", q, net.op("Transpose", keys, perm=[0, 1, 3, 2]))
    scores = net.op("Mul", scores, net.constant(np.float32(SIZE**-0.5)))
    scores = net.op("Add", scores, mask) if mask else scores
    shares = net.op("Softmax", scores, axis=-1)
    flat = net.constant(np.array([1, 1, WIDTH]))
    mixed = net.op("Reshape", net.op("MatMul", shares, values), flat)
    return net.dense(mixed, (WIDTH, WIDTH)), keys, values


def places(net: Net, position: str) -> tuple[str, str]:
    """Of a cache of CONTEXT: where the position is, and a mask of those after it."""
    steps = net.constant(np.arange(CONTEXT))
    axes = net.constant(np.array([0, 1, 3]))
    here = net.op("Equal", steps, net.op("Squeeze", position))
    here = net.op("Unsqueeze", here, axes)
    later = net.op("Greater", steps, net.op("Squeeze", position))
    none, minus = net.constant(np.float32(0)), net.constant(np.float32(-10000))
    return here, net.op("Where", later, minus, none)


def build(past: int | str | None = None) -> Any:
    """The ONNX model. past: positions of caches that grow, or the open size's name."""
    net = Net("decoder")
    token = net.input("token", (1, 1), "int64")
    position = net.input("position", (1, 1), "int64")
    given, grown = cache_shapes(past)
    caches = [
        (net.input(f"keys_{i}", given), net.input(f"values_{i}", given))
        for i in range(LAYERS)
    ]
    here, mask = places(net, position) if past is None else ("", "")
    x = net.op("Gather", net.normal((VOCABULARY, WIDTH), 0.5), token)
    x = net.op("Add", x, net.op("Gather", net.normal((CONTEXT, WIDTH), 0.2), position))
    outputs: dict[str, Any] = {}
    for i in range(LAYERS):
        y, keys, values = attention(
            net, net.layer_norm(x, WIDTH), caches[i], here, mask
        )
        x = net.op("Add", x, y)
        y = net.dense(net.layer_norm(x, WIDTH), (WIDTH, 4 * WIDTH))
        y = net.dense(net.op("Gelu", y, approximate="tanh"), (4 * WIDTH, WIDTH))
        x = net.op("Add", x, y)
        outputs[f"new_keys_{i}"] = (keys, grown)
        outputs[f"new_values_{i}"] = (values, grown)
    logits = net.dense(net.layer_norm(x, WIDTH), (WIDTH, VOCABULARY))
    return net.model(logits=(logits, (1, 1, VOCABULARY)), **outputs)
