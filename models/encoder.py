"""A transformer encoder in BERT's layout: 6 layers, 384 wide, 12 heads, 128 tokens.

Random weights. attention_mask is 1 for a token and 0 for padding. How many tokens there
are may be open: up to MOST then, as there are positions.
Source: Devlin et al., BERT, 2018 (layer norm after each block, gelu).
"""

from typing import Any

import numpy as np

from toolchain.recipe import Net

LAYERS, WIDTH, HEADS, TOKENS, VOCABULARY = 6, 384, 12, 128, 1000
MOST = 512


def heads(net: Net, x: str, axes: list[int]) -> str:
    """[1, tokens, width] as [1, heads, tokens, size], or with other axes."""
    shape = net.constant(np.array([0, 0, HEADS, WIDTH // HEADS]))
    return str(net.op("Transpose", net.op("Reshape", x, shape), perm=axes))


def attention(net: Net, x: str, mask: str) -> str:
    """Multi-head self-attention."""
    q, k, v = (net.dense(x, (WIDTH, WIDTH)) for _ in range(3))
    scores = net.op("MatMul", heads(net, q, [0, 2, 1, 3]), heads(net, k, [0, 2, 3, 1]))
    scale = net.constant(np.float32((WIDTH // HEADS) ** -0.5))
    scores = net.op("Add", net.op("Mul", scores, scale), mask)
    shares = net.op("Softmax", scores, axis=-1)
    mixed = net.op("MatMul", shares, heads(net, v, [0, 2, 1, 3]))
    flat = net.constant(np.array([0, 0, WIDTH]))
    mixed = net.op("Reshape", net.op("Transpose", mixed, perm=[0, 2, 1, 3]), flat)
    return net.dense(mixed, (WIDTH, WIDTH))


def positions(net: Net, tokens: int | str, ids: str) -> str:
    """A row for each token: a table as long as they, or the first of a longer one."""
    if isinstance(tokens, int):
        return net.normal((1, tokens, WIDTH), 0.5)
    one, start = net.constant(np.array([1])), net.constant(np.array([0]))
    count = net.op("Shape", ids, start=1)
    return str(net.op("Slice", net.normal((1, MOST, WIDTH), 0.5), start, count, one))


def build(tokens: int | str = TOKENS) -> Any:
    """The ONNX model. tokens: how many, or the name of an open size."""
    net = Net("encoder")
    ids = net.input("input_ids", (1, tokens), "int64")
    kinds = net.input("token_type_ids", (1, tokens), "int64")
    seen = net.input("attention_mask", (1, tokens), "int64")
    x = net.op("Gather", net.normal((VOCABULARY, WIDTH), 0.5), ids)
    x = net.op("Add", x, net.op("Gather", net.normal((2, WIDTH), 0.5), kinds))
    x = net.op("Add", x, positions(net, tokens, ids))
    x = net.layer_norm(x, WIDTH)
    axes = net.constant(np.array([1, 2]))
    mask = net.op("Unsqueeze", net.op("Cast", seen, to=1), axes)
    one, large = (net.constant(np.float32(v)) for v in (1, -10000))
    mask = net.op("Mul", net.op("Sub", one, mask), large)
    for _ in range(LAYERS):
        x = net.layer_norm(net.op("Add", x, attention(net, x, mask)), WIDTH)
        y = net.op("Gelu", net.dense(x, (WIDTH, 4 * WIDTH)))
        y = net.dense(y, (4 * WIDTH, WIDTH))
        x = net.layer_norm(net.op("Add", x, y), WIDTH)
    return net.model(hidden=(x, (1, tokens, WIDTH)))
