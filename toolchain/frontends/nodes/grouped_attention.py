"""Rules of com.microsoft's GroupQueryAttention and RotaryEmbedding."""

from __future__ import annotations

from collections.abc import Sequence

from toolchain.frontends.nodes.microsoft import MS
from toolchain.frontends.nodes.rules import Call, plain_numbers, rule
from toolchain.frontends.nodes.shapes import joined, numbers, rank_of, size_at
from toolchain.graph.graph import Value
from toolchain.spec import SpecError

LOWEST = -3.4028234663852886e38


def rotated(c: Call, x: Value, turns: Sequence[Value], interleaved: int) -> Value:
    """The first features [..., 2 R] turned in pairs, of halves or of neighbours.

    turns: cosines and sines [..., R].
    """
    cos, sin = turns
    width = size_at(c, cos, -1)
    both = c.call("mul", width, 2)
    if interleaved:
        a, b = (_features(c, x, i, both, 2) for i in (0, 1))
    else:
        a, b = _features(c, x, 0, width, 1), _features(c, x, width, both, 1)
    turned = [
        c.call("sub", c.call("mul", a, cos), c.call("mul", b, sin)),
        c.call("add", c.call("mul", b, cos), c.call("mul", a, sin)),
    ]
    if interleaved:
        pairs = [c.builder.unsqueeze(t, [-1]) for t in turned]
        lead = [size_at(c, x, i) for i in range(rank_of(x) - 1)]
        whole = c.call("concat", *pairs, axis=-1)
        turned = [c.builder.reshape(whole, joined(c, *lead, both))]
    rest = _features(c, x, both, size_at(c, x, -1), 1)
    return c.call("concat", *turned, rest, axis=-1)


def _features(c: Call, x: Value, start: Value | int, end: Value, step: int) -> Value:
    first = start if isinstance(start, Value) else c.constant([start], "int64")
    ends = {"starts": plain_numbers(first), "ends": plain_numbers(end)}
    return c.call("slice", x, axes=[-1], steps=[step], **ends)


def _turns(c: Call, table: Value, places: Value, axis: int) -> Value:
    """Rows of a table for places [B, S], with an axis for the heads."""
    rows = c.call("gather", table, places, axis=0)
    return c.builder.unsqueeze(rows, [axis])


@rule("RotaryEmbedding", domain=MS)
def rotary_embedding(c: Call) -> Value:
    """Of [B, S, H] or [B, heads, S, D], at places [B, S] or from one place on."""
    x, places, tables = c[0], c.cast(c[1], "int64"), (c[2], c[3])
    if rank_of(places, "its position_ids") == 1:
        length = size_at(c, x, 1 if rank_of(x) == 3 else 2)
        steps = c.call("add", numbers(c, plain_numbers(length)), places)
        places = c.builder.unsqueeze(steps, [0])
    interleaved = c.get("interleaved", 0) or 0
    if rank_of(x) == 4:
        turns = [_turns(c, t, places, 1) for t in tables]
        return rotated(c, x, turns, interleaved)
    shape, heads = c.builder.shape_of(x), c.get("num_heads", 0)
    width = -1 if heads else c.call("mul", size_at(c, tables[0], 1), 2)
    lead = [size_at(c, x, i) for i in (0, 1)]
    wide = c.builder.reshape(x, joined(c, *lead, heads or -1, width))
    turns = [_turns(c, t, places, 2) for t in tables]
    return c.builder.reshape(rotated(c, wide, turns, interleaved), plain_numbers(shape))


class _Cache:
    """Keys or values of all steps: [B, heads, room, D].

    start: [B], how many there are before each row's new ones.
    """

    def __init__(self, c: Call, start: Value, total: Value, new: Value) -> None:
        self.c, self.start, self.total = c, start, total
        sizes = [size_at(c, new, i) for i in range(4)]
        self.batch, self.heads, self.steps, self.width = sizes
        self.places = self._places()

    def _places(self) -> Value:
        """[B, heads, S, 3]: where new ones go."""
        c, parts = self.c, []
        shape = joined(c, self.batch, self.heads, self.steps)
        steps = numbers(c, plain_numbers(self.steps))
        at = c.call("add", c.builder.unsqueeze(self.start, [1, 2]), steps)
        row = c.builder.unsqueeze(numbers(c, plain_numbers(self.batch)), [1, 2])
        head = c.builder.unsqueeze(numbers(c, plain_numbers(self.heads)), [0, 2])
        for part in (row, head, at):
            wide = c.call("expand", part, shape=shape)
            parts.append(c.builder.unsqueeze(wide, [-1]))
        return c.call("concat", *parts, axis=-1)

    def with_new(self, past: Value | None, new: Value) -> Value:
        """The past with new ones, in as much room as the past has or all need."""
        c = self.c
        known = c.constant([0], "int64") if past is None else size_at(c, past, 2)
        more = c.call("maximum", c.call("sub", self.total, known), 0)
        shape = joined(c, self.batch, self.heads, more, self.width)
        room = c.call("expand", c.constant(0, new.dtype), shape=shape)
        if past is not None:
            room = c.call("concat", past, room, axis=2)
        return c.call("scatter_nd", room, self.places, new)


def _heads(c: Call, x: Value, count: int) -> Value:
    """[B, S, heads D] as [B, heads, S, D]."""
    parts = c.builder.reshape(x, [0, 0, count, -1])
    return c.call("transpose", parts, perm=[0, 2, 1, 3])


def _inputs(c: Call) -> list[Value]:
    """Queries, keys and values with their heads."""
    count, groups = c.get("num_heads"), c.get("kv_num_heads")
    if c.optional(1) is not None:
        return [_heads(c, c[i], n) for i, n in enumerate((count, groups, groups))]
    every = _heads(c, c[0], count + 2 * groups)
    split = [count, groups, groups]
    return c.builder.calls("split", every, outputs=3, axis=1, split=split)


def _hidden(c: Call, places: Value, room: Value) -> Value:
    """[B, 1, 1, S, room]: what hides keys from queries at places [B, S]."""
    keys = numbers(c, plain_numbers(room))
    at = c.builder.unsqueeze(places, [1, 2, 4])
    seen = c.call("less_or_equal", keys, at)
    if (window := c.get("local_window_size", -1)) and window > 0:
        near = c.call("greater", keys, c.call("sub", at, window))
        seen = c.call("logical_and", seen, near)
    return c.call("where", seen, *(c.constant(n, "float32") for n in (0, LOWEST)))


@rule("GroupQueryAttention", domain=MS)
def grouped(c: Call) -> Sequence[Value]:
    """Attention whose queries share keys in groups, with a cache of keys and values."""
    if c.get("smooth_softmax", 0) or c.optional(11) is not None:
        raise SpecError("has smooth_softmax or head_sink, which are not supported")
    q, k, v = _inputs(c)
    steps = size_at(c, q, 2)
    ends = c.cast(c[5], "int64")
    ends = c.builder.reshape(ends, [-1])
    last = c.call("add", c.call("sub", ends, steps), 1)
    start = c.call("maximum", last, 0)
    places = c.call(
        "add", c.builder.unsqueeze(start, [1]), numbers(c, plain_numbers(steps))
    )
    if c.get("do_rotary", 0):
        at = c.optional(9)
        at = places if at is None else c.cast(at, "int64")
        turns = [_turns(c, c[i], at, 1) for i in (7, 8)]
        q, k = (rotated(c, x, turns, c.get("rotary_interleaved", 0)) for x in (q, k))
    total = c.builder.reshape(c.cast(c[6], "int64"), [1])
    cache = _Cache(c, start, total, k)
    keys = cache.with_new(c.optional(3), k)
    values = cache.with_new(c.optional(4), v)
    found = _attended(c, q, keys, values, places)
    return [found, keys, values]


def _attended(c: Call, q: Value, k: Value, v: Value, places: Value) -> Value:
    """[B, S, H] from queries [B, heads, S, D], and keys and values of fewer heads."""
    groups, count = c.get("kv_num_heads"), c.get("num_heads")
    if not (scale := float(c.get("scale") or 0)):
        root = c.call("sqrt", c.cast(size_at(c, q, 3), "float32"))
        q = c.call("div", q, root)
    else:
        q = c.call("mul", q, scale)
    sizes = [size_at(c, q, i) for i in (0, 2, 3)]
    shape = joined(c, sizes[0], groups, count // groups, *sizes[1:])
    q = c.builder.reshape(q, shape)
    turned = c.builder.unsqueeze(c.call("transpose", k, perm=[0, 1, 3, 2]), [2])
    scores = c.call("matmul", q, turned)
    if cap := float(c.get("softcap") or 0):
        scores = c.call("mul", c.call("tanh", c.call("div", scores, cap)), cap)
    if (bias := c.optional(10)) is not None:
        scores = c.call("add", scores, c.builder.unsqueeze(bias, [2]))
    scores = c.call("add", scores, _hidden(c, places, size_at(c, k, 2)))
    shares = c.call("softmax", scores, axis=-1)
    mixed = c.call("matmul", shares, c.builder.unsqueeze(v, [2]))
    mixed = c.builder.reshape(mixed, joined(c, sizes[0], count, *sizes[1:]))
    found = c.call("transpose", mixed, perm=[0, 2, 1, 3])
    return c.builder.reshape(found, [0, 0, -1])
