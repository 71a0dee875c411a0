"""ONNX RNN, GRU and LSTM, unrolled into Relax."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from toolchain.frontends.converters import (
    const,
    constant_of,
    converter,
    relax_ops,
    sizes_of,
)
from toolchain.frontends.importer import Call
from toolchain.spec import SpecError

MAX_STEPS = 4096


def _activation(c: Call, name: str, alpha: float, beta: float) -> Callable[[Any], Any]:
    op = relax_ops()

    def scaled(x: Any) -> Any:
        wide = c.emit(op.multiply(x, const(alpha, "float32")))
        return c.emit(op.add(wide, const(beta, "float32")))

    table: dict[str, Callable[[Any], Any]] = {
        "sigmoid": lambda x: c.emit(op.sigmoid(x)),
        "tanh": lambda x: c.emit(op.tanh(x)),
        "relu": lambda x: c.emit(op.nn.relu(x)),
        "leakyrelu": lambda x: c.emit(op.nn.leakyrelu(x, alpha)),
        "hardsigmoid": lambda x: c.emit(op.clip(scaled(x), 0.0, 1.0)),
        "affine": scaled,
    }
    if name.lower() not in table:
        raise SpecError(
            f"has activation {name}, which is not supported; use {', '.join(table)}"
        )
    return table[name.lower()]


_DEFAULTS = {"leakyrelu": (0.01, 0.0), "hardsigmoid": (0.2, 0.5), "affine": (1.0, 0.0)}


def _activations(c: Call, count: int, standard: Sequence[str], at: int) -> list[Any]:
    """The functions of one direction."""
    names = c.get("activations") or [*standard] * (at + 1)
    alphas, betas = (
        list(c.get("activation_alpha", [])),
        list(c.get("activation_beta", [])),
    )
    functions = []
    for name in names:
        alpha, beta = _DEFAULTS.get(name.lower(), (0.0, 0.0))
        if name.lower() in _DEFAULTS:
            alpha = alphas.pop(0) if alphas else alpha
            beta = betas.pop(0) if betas and name.lower() != "leakyrelu" else beta
        functions.append(_activation(c, name, alpha, beta))
    return functions[at * count : (at + 1) * count]


def _at(c: Call, x: Any, axis: int, index: int) -> Any:
    """One slice along an axis, without the axis."""
    part = c.emit(relax_ops().strided_slice(x, [axis], [index], [index + 1]))
    return c.emit(relax_ops().squeeze(part, [axis]))


def _gates(c: Call, x: Any, count: int) -> list[Any]:
    """Equal parts along the last axis."""
    width = sizes_of(x)[-1] // count
    axis = len(sizes_of(x)) - 1
    return [
        c.emit(relax_ops().strided_slice(x, [axis], [i * width], [(i + 1) * width]))
        for i in range(count)
    ]


def _direction(c: Call, at: int, back: bool, gates: int, cell: Any) -> tuple[Any, ...]:
    """Results of one direction: [T, batch, hidden], and the last states."""
    op, x = relax_ops(), c[0]
    if c.get("layout", 0):
        x = c.emit(op.permute_dims(x, [1, 0, 2]))
    steps, batch, width = sizes_of(x)
    hidden = c.shape(2)[2]
    weight, recurrent = (c.emit(op.permute_dims(_at(c, c[i], 0, at))) for i in (1, 2))
    flat = c.emit(op.reshape(x, (steps * batch, width)))
    wide = c.emit(op.matmul(flat, weight))
    bias = [None, None]
    if c[3] is not None:
        whole = _at(c, c[3], 0, at)
        bias = _gates(c, whole, 2)
        wide = c.emit(op.add(wide, bias[0]))
    wide = c.emit(op.reshape(wide, (steps, batch, gates * hidden)))
    states = []
    for i in (5, 6)[: 2 if c.node.op_type == "LSTM" else 1]:
        if c.value(i) is None:
            states.append(const(np.zeros((batch, hidden)), "float32"))
        else:
            states.append(_at(c, c[i], 1 if c.get("layout", 0) else 0, at))
    outputs = []
    for t in range(steps)[:: -1 if back else 1]:
        states = cell(_at(c, wide, 0, t), states, recurrent, bias[1], at)
        outputs.append(c.emit(op.expand_dims(states[0], 0)))
    outputs = outputs[:: -1 if back else 1]
    return c.emit(op.concat(outputs, 0)), *states


def _recurrent(c: Call, gates: int, cell: Any) -> list[Any]:
    op = relax_ops()
    steps = c.shape(0)[1 if c.get("layout", 0) else 0]
    lengths = constant_of(c.value(4))
    if c.value(4) is not None and (lengths is None or (lengths != steps).any()):
        raise SpecError("has sequence_lens, which are not supported; leave them out")
    if not 0 < steps <= MAX_STEPS:
        raise SpecError(f"has {steps} steps; use 1..{MAX_STEPS}")
    name = c.get("direction", "forward")
    kinds = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[
        name
    ]
    results = [_direction(c, i, back, gates, cell) for i, back in enumerate(kinds)]
    turned = bool(c.get("layout", 0))
    found = []
    for i, parts in enumerate(zip(*results, strict=True)):
        wide = [c.emit(op.expand_dims(p, 1 if i == 0 else 0)) for p in parts]
        whole = (
            c.emit(op.concat(wide, 1 if i == 0 else 0)) if len(wide) > 1 else wide[0]
        )
        if turned and i == 0:
            whole = c.emit(op.permute_dims(whole, [2, 0, 1, 3]))
        elif turned:
            whole = c.emit(op.permute_dims(whole, [1, 0, 2]))
        found.append(whole)
    return found


def _limit(c: Call, x: Any) -> Any:
    bound = c.get("clip", 0.0)
    return c.emit(relax_ops().clip(x, -bound, bound)) if bound else x


def _product(c: Call, h: Any, recurrent: Any, bias: Any) -> Any:
    y = c.emit(relax_ops().matmul(h, recurrent))
    return y if bias is None else c.emit(relax_ops().add(y, bias))


@converter("RNN")
def rnn(c: Call) -> list[Any]:
    """H = f(W x + R h + b)."""
    op = relax_ops()

    def cell(x: Any, states: Any, recurrent: Any, bias: Any, at: int) -> list[Any]:
        (f,) = _activations(c, 1, ("Tanh",), at)
        total = c.emit(op.add(x, _product(c, states[0], recurrent, bias)))
        return [f(_limit(c, total))]

    return _recurrent(c, 1, cell)


@converter("GRU")
def gru(c: Call) -> list[Any]:
    """Gates z and r, and a new state h."""
    op = relax_ops()
    hidden = c.shape(2)[2]

    def cell(x: Any, states: Any, recurrent: Any, bias: Any, at: int) -> list[Any]:
        f, g = _activations(c, 2, ("Sigmoid", "Tanh"), at)
        (h,) = states
        xz, xr, xh = _gates(c, x, 3)

        def part(first: int, last: int, state: Any) -> Any:
            span = [first * hidden], [last * hidden]
            r = c.emit(op.strided_slice(recurrent, [1], *span))
            b = None if bias is None else c.emit(op.strided_slice(bias, [0], *span))
            return _product(c, state, r, b)

        hz, hr = _gates(c, part(0, 2, h), 2)
        z = f(_limit(c, c.emit(op.add(xz, hz))))
        r = f(_limit(c, c.emit(op.add(xr, hr))))
        if c.get("linear_before_reset", 0):
            rest = c.emit(op.multiply(r, part(2, 3, h)))
        else:
            rest = part(2, 3, c.emit(op.multiply(r, h)))
        new = g(_limit(c, c.emit(op.add(xh, rest))))
        # (1 - z) new + z h
        difference = c.emit(op.subtract(h, new))
        return [c.emit(op.add(new, c.emit(op.multiply(z, difference))))]

    return _recurrent(c, 3, cell)


@converter("LSTM")
def lstm(c: Call) -> list[Any]:
    """Gates i, o, f and a cell state."""
    op = relax_ops()

    def cell(x: Any, states: Any, recurrent: Any, bias: Any, at: int) -> list[Any]:
        f, g, h = _activations(c, 3, ("Sigmoid", "Tanh", "Tanh"), at)
        hidden, memory = states
        total = c.emit(op.add(x, _product(c, hidden, recurrent, bias)))
        i, o, forget, new = _gates(c, total, 4)
        peep = None if c[7] is None else _gates(c, _at(c, c[7], 0, at), 3)

        def gate(x: Any, index: int, state: Any) -> Any:
            if peep is not None:
                x = c.emit(op.add(x, c.emit(op.multiply(peep[index], state))))
            return f(_limit(c, x))

        i = gate(i, 0, memory)
        if c.get("input_forget", 0):
            forget = c.emit(op.subtract(const(1, "float32"), i))
        else:
            forget = gate(forget, 2, memory)
        kept = c.emit(op.multiply(forget, memory))
        memory = c.emit(op.add(kept, c.emit(op.multiply(i, g(_limit(c, new))))))
        return [c.emit(op.multiply(gate(o, 1, memory), h(memory))), memory]

    return _recurrent(c, 4, cell)
