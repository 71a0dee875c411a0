"""Rules of com.microsoft's Attention and MultiHeadAttention."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from toolchain.frontends.nodes.microsoft import MS
from toolchain.frontends.nodes.rules import Call, plain_numbers, rule
from toolchain.frontends.nodes.shapes import numbers, rank_of, size_at
from toolchain.graph.graph import Value
from toolchain.spec import SpecError

LOWEST = float(np.finfo("float32").min)


def heads(c: Call, x: Value) -> Value:
    """[B, S, H] as [B, heads, S, H / heads]."""
    parts = c.builder.reshape(x, [0, 0, c.get("num_heads"), -1])
    return c.call("transpose", parts, perm=[0, 2, 1, 3])


def attended(
    c: Call, q: Value, k: Value, v: Value, masks: Sequence[Value | None]
) -> Value:
    """[B, S, H] from heads of queries, keys and values; masks are summands."""
    scores = c.call("matmul", q, c.call("transpose", k, perm=[0, 1, 3, 2]))
    if scale := float(c.get("scale") or 0.0):
        scores = c.call("mul", scores, scale)
    else:
        width = c.cast(size_at(c, q, 3), "float32")
        scores = c.call("div", scores, c.call("sqrt", width))
    for mask in masks:
        if mask is not None:
            scores = c.call("add", scores, mask)
    shares = c.call("softmax", scores, axis=-1)
    found = c.call("matmul", shares, v)
    return c.builder.reshape(c.call("transpose", found, perm=[0, 2, 1, 3]), [0, 0, -1])


def key_mask(c: Call, mask: Value | None, keys: Value) -> Value | None:
    """A summand for [B, heads, S, T], from lengths [B] or from ones and zeros."""
    if mask is None:
        return None
    rank = rank_of(mask, "its mask")
    if rank == 1:
        if mask.shape is not None and c[0].shape is not None:
            _check_lengths(mask, c[0])
        places = numbers(c, plain_numbers(size_at(c, keys, 2)))
        lengths = c.builder.unsqueeze(c.cast(mask, "int64"), [1])
        inside, rank = c.call("less", places, lengths), 2
    else:
        inside = c.call("greater", mask, 0)
    if rank > 3:
        raise SpecError("has a mask of rank 4; use [batch, keys]")
    inside = c.builder.unsqueeze(inside, [1, 2] if rank == 2 else [1])
    low = float(c.get("mask_filter_value", -10000.0))
    return c.call("where", inside, c.constant(0, "float32"), c.constant(low, "float32"))


def _check_lengths(mask: Value, x: Value) -> None:
    assert mask.shape is not None
    assert x.shape is not None
    if mask.shape[0] != x.shape[0]:
        raise SpecError(
            f"has a mask of {mask.shape[0]} numbers for a batch of {x.shape[0]}; use "
            "[batch] or [batch, keys]"
        )


def causal_mask(c: Call, q: Value, k: Value) -> Value | None:
    """A summand that hides keys after their query."""
    if not c.get("unidirectional", 0):
        return None
    rows, columns = size_at(c, q, 2), size_at(c, k, 2)
    past = c.call("sub", columns, rows)
    queries = c.call("add", numbers(c, plain_numbers(rows)), past)
    keys = numbers(c, plain_numbers(columns))
    seen = c.call("less_or_equal", keys, c.builder.unsqueeze(queries, [1]))
    return c.call(
        "where", seen, c.constant(0, "float32"), c.constant(LOWEST, "float32")
    )


@rule("Attention", domain=MS)
def attention(c: Call) -> Sequence[Value]:
    """Queries, keys and values by one product; the past comes before them."""
    joint = c.call("matmul", c[0], c[1])
    if (bias := c.optional(2)) is not None:
        joint = c.call("add", joint, bias)
    if sizes := c.get("qkv_hidden_sizes"):
        parts = c.builder.calls("split", joint, outputs=3, axis=-1, split=sizes)
    else:
        parts = c.builder.calls("split", joint, outputs=3, axis=-1)
    q, k, v = (heads(c, p) for p in parts)
    if (past := c.optional(4)) is not None:
        old_k, old_v = (
            c.call("gather", past, c.constant(i, "int64"), axis=0) for i in (0, 1)
        )
        k = c.call("concat", old_k, k, axis=2)
        v = c.call("concat", old_v, v, axis=2)
    masks = [key_mask(c, c.optional(3), k), causal_mask(c, q, k), c.optional(5)]
    found = [attended(c, q, k, v, masks)]
    if c.wants(1):
        both = [c.builder.unsqueeze(x, [0]) for x in (k, v)]
        found.append(c.call("concat", *both, axis=0))
    return found


@rule("MultiHeadAttention", domain=MS)
def multi_head_attention(c: Call) -> Sequence[Value]:
    """Of queries, keys and values [B, S, H]; keys and values may have their heads."""
    q, k, v = c[0], c[1], c[2]
    if rank_of(q, "its queries") != 3:
        raise SpecError("has packed queries, keys and values; use three inputs")
    if (bias := c.optional(3)) is not None:
        q, k, v = _with_bias(c, (q, k, v), bias)
    q = heads(c, q)
    k, v = (heads(c, x) if rank_of(x) == 3 else x for x in (k, v))
    if (old_k := c.optional(6)) is not None:
        k = c.call("concat", old_k, k, axis=2)
        v = c.call("concat", c[7], v, axis=2)
    masks = [key_mask(c, c.optional(4), k), causal_mask(c, q, k), c.optional(5)]
    return [attended(c, q, k, v, masks), k, v]


def _with_bias(c: Call, tensors: Sequence[Value], bias: Value) -> list[Value]:
    """Tensors [B, S, H] with their parts of a bias; others have them already."""
    found, start = [], c.constant([0], "int64")
    for x in tensors:
        if rank_of(x) != 3:
            found.append(x)
            continue
        end = c.call("add", start, size_at(c, x, 2))
        ends = {"starts": plain_numbers(start), "ends": plain_numbers(end)}
        part = c.call("slice", bias, axes=[0], **ends)
        found.append(c.call("add", x, part))
        start = end
    return found
