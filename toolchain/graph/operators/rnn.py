"""h = f(x w + h r + b), for each step

Shapes: x [T, B, I], w [D, H, I], r [D, H, H], b [D, 2 H] (w's, then r's),
sequence_lens [B], initial_h [D, B, H]; y [T, D, B, H], y_h [D, B, H], after the last
step of each sequence. D is 2 for both directions; layout=1 has the batch first.
Attributes: the activation f for each direction (none: tanh), with its numbers; clip
limits what it gets.
Edges: steps beyond a sequence are 0 in y and leave the state.
Source: ONNX RNN-22.
"""

import numpy as np

from toolchain.spec import recurrent as shared


def cell(d, products, states):
    (h,) = states
    bias = 0 if d.b is None else np.add(*np.split(d.b, 2))
    return [d.function(0, products + d.r @ h + bias)]


def reference(x, w, r, b, lens, h, **given):
    return shared.reference(cell, ("tanh",), x, (w, r, b, None), lens, (h,), given)


KERNEL = shared.operator(
    "rnn", 1, reference, shared.cases(1, 1, 1, ({}, {"clip": 0.7}))
)
