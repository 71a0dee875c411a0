"""The rule of Einsum: two operands at a time, as products of matrices.

An axis is a letter; those that "..." stands for are numbers counted from the end, so
that they meet as numpy broadcasts them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import reduce

from toolchain.frontends.nodes.products import product
from toolchain.frontends.nodes.rules import Call, rule
from toolchain.frontends.nodes.shapes import counted, joined, rank_of, size_at
from toolchain.graph.graph import Value
from toolchain.spec import SpecError

Labels = list[str]


@rule("Einsum")
def einsum(c: Call) -> Value:
    """Sums of products over axes that the result has not."""
    terms, result = parsed(c)
    operands = [_diagonal(c, v, t) for v, t in zip(c.given(), terms, strict=True)]
    while len(operands) > 1:
        (a, left), (b, right), *rest = operands
        kept = set(result).union(*(labels for _, labels in rest))
        operands = [_contracted(c, a, left, b, right, kept), *rest]
    value, labels = operands[0]
    value, labels = _summed(c, value, labels, set(result))
    if labels == result:
        return value
    return c.call("transpose", value, perm=[labels.index(n) for n in result])


def parsed(c: Call) -> tuple[list[Labels], Labels]:
    """Labels of the operands and of the result."""
    equation = c.get("equation").replace(" ", "")
    left, arrow, right = equation.partition("->")
    texts = left.split(",")
    if len(texts) != len(c.given()):
        raise SpecError(f"has {len(c.given())} operands for {equation!r}")
    terms = [
        _labels(t, rank_of(v) if "..." in t else len(t))
        for t, v in zip(texts, c.given(), strict=True)
    ]
    most = max((len([n for n in t if n.isdecimal()]) for t in terms), default=0)
    every = [str(i) for i in range(most)[::-1]]
    if arrow:
        head, dots, tail = right.partition("...")
        return terms, [*head, *(every if dots else []), *tail]
    letters = re.sub(r"[^A-Za-z]", "", left)
    return terms, every + sorted(n for n in set(letters) if letters.count(n) == 1)


def _labels(text: str, rank: int) -> Labels:
    """Labels of an operand; those of "..." count down to 0 at its end."""
    head, dots, tail = text.partition("...")
    count = rank - len(head) - len(tail)
    return [*head, *(str(i) for i in range(count)[::-1] if dots), *tail]


def _diagonal(c: Call, x: Value, labels: Labels) -> tuple[Value, Labels]:
    """An operand whose labels are all different: others are summed off a diagonal."""
    for name in dict.fromkeys(labels):
        while labels.count(name) > 1:
            first = labels.index(name)
            second = labels.index(name, first + 1)
            hit = c.call("equal", counted(c, x, first), counted(c, x, second))
            x = c.call("mul", x, c.cast(hit, x.dtype))
            x = c.call("reduce_sum", x, axes=[second], keepdims=0)
            labels = labels[:second] + labels[second + 1 :]
    return x, labels


def _summed(c: Call, x: Value, labels: Labels, kept: set[str]) -> tuple[Value, Labels]:
    """Without the axes that nothing else has."""
    gone = [i for i, n in enumerate(labels) if n not in kept]
    if gone:
        x = c.call("reduce_sum", x, axes=gone, keepdims=0)
    return x, [n for n in labels if n in kept]


def _contracted(
    c: Call, a: Value, left: Labels, b: Value, right: Labels, kept: set[str]
) -> tuple[Value, Labels]:
    """The product of two operands, summed over what no other has."""
    a, left = _summed(c, a, left, kept | set(right))
    b, right = _summed(c, b, right, kept | set(left))
    shared = [n for n in left if n in right]
    batch = [n for n in shared if n in kept]
    inner = [n for n in shared if n not in kept]
    rows = [n for n in left if n not in shared]
    columns = [n for n in right if n not in shared]
    labels = batch + rows + columns
    if not inner:
        wide = _placed(c, a, left, labels), _placed(c, b, right, labels)
        return c.exact("mul", *wide), labels
    first = _grouped(c, a, left, batch, [rows, inner])
    second = _grouped(c, b, right, batch, [inner, columns])
    found = product(c, first, second)
    if len(rows) == len(columns) == 1:
        return found, labels
    ends = [size_at(c, a, left.index(n)) for n in rows]
    ends += [size_at(c, b, right.index(n)) for n in columns]
    begin = [c.builder.shape_of(found, 0, len(batch))] if batch else []
    if not (begin or ends):
        return c.builder.reshape(found, []), labels
    return c.builder.reshape(found, joined(c, *begin, *ends), 1), labels


def _placed(c: Call, x: Value, own: Labels, labels: Labels) -> Value:
    """Axes in the order of labels, of size 1 where x has none."""
    x = _ordered(c, x, own, [n for n in labels if n in own])
    gaps = [i for i, n in enumerate(labels) if n not in own]
    return c.builder.unsqueeze(x, gaps) if gaps else x


def _ordered(c: Call, x: Value, own: Labels, labels: Labels) -> Value:
    if own == labels:
        return x
    return c.call("transpose", x, perm=[own.index(n) for n in labels])


def _grouped(
    c: Call, x: Value, own: Labels, batch: Labels, groups: Sequence[Labels]
) -> Value:
    """The batch axes, then one axis for each group."""
    flat = [n for g in groups for n in g]
    moved = _ordered(c, x, own, [*batch, *flat])
    if all(len(g) == 1 for g in groups):
        return moved
    sizes = [size_at(c, x, own.index(n)) for n in batch]
    for group in groups:
        parts = [size_at(c, x, own.index(n)) for n in group]
        one = c.constant([1], "int64")
        sizes.append(reduce(lambda p, q: c.call("mul", p, q), parts, one))
    return c.builder.reshape(moved, joined(c, *sizes), 1)
