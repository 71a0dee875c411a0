"""h, c = o * h'(c), f * c + i * g(x w_c + h r_c + b), for each step

i, o, f = f'(x w + h r + p * c + b), the gates, in this order in w, r and b; p for the
gate o is of the new c.
Shapes: x [T, B, I], w [D, 4 H, I], r [D, 4 H, H], b [D, 8 H] (w's, then r's),
sequence_lens [B], initial_h and initial_c [D, B, H], p [D, 3 H]; y [T, D, B, H], y_h
and y_c [D, B, H], after the last step of each sequence. D is 2 for both directions;
layout=1 has the batch first.
Attributes: activations of f', g, h' for each direction (none: sigmoid, tanh, tanh),
with their numbers; clip limits what they get; input_forget=1 takes 1 - i for f.
Edges: steps beyond a sequence are 0 in y and leave the state.
Source: ONNX LSTM-22.
"""

import numpy as np

from toolchain.spec import Attribute, Input, Output
from toolchain.spec import recurrent as shared

STANDARD = ("sigmoid", "tanh", "tanh")


def cell(d, products, states):
    h, c = states
    gates = products + d.r @ h
    if d.b is not None:
        gates = gates + np.add(*np.split(d.b, 2))
    i, o, f, new = np.split(gates, 4)
    p = [0, 0, 0] if d.p is None else np.split(d.p, 3)
    i = d.function(0, i + p[0] * c)
    f = 1 - i if d.given.get("input_forget") else d.function(0, f + p[2] * c)
    c = f * c + i * d.function(1, new)
    return [d.function(0, o + p[1] * c) * d.function(2, c), c]


def reference(x, w, r, b, lens, h, c, p, **given):
    return shared.reference(cell, STANDARD, x, (w, r, b, p), lens, (h, c), given)


KERNEL = shared.operator(
    "lstm",
    3,
    reference,
    shared.cases(4, 2, 3, ({}, {"input_forget": 1, "clip": 0.7})),
    inputs=(Input("initial_c", "", optional=True), Input("p", "", optional=True)),
    outputs=(Output("y_c"),),
    own=(Attribute("input_forget", **shared.FLAG),),
)
