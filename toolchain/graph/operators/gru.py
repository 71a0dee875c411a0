"""h = (1 - z) * g(x w_h + (r * h) r_h + b_h) + z * h, for each step

z, r = f(x w + h r + b), the gates, in this order in w, r and b, before the new state.
Shapes: x [T, B, I], w [D, 3 H, I], r [D, 3 H, H], b [D, 6 H] (w's, then r's),
sequence_lens [B], initial_h [D, B, H]; y [T, D, B, H], y_h [D, B, H], after the last
step of each sequence. D is 2 for both directions; layout=1 has the batch first.
Attributes: activations of f and g for each direction (none: sigmoid, tanh), with their
numbers; clip limits what they get; linear_before_reset=1 takes r * (h r_h + b_h).
Edges: steps beyond a sequence are 0 in y and leave the state.
Source: ONNX GRU-22.
"""

import numpy as np

from toolchain.spec import Attribute
from toolchain.spec import recurrent as shared

STANDARD = ("sigmoid", "tanh")


def cell(d, products, states):
    (h,) = states
    bias = np.zeros(2 * products.size) if d.b is None else d.b
    wz, wr, wh, rz, rr, rh = np.split(bias, 6)
    xz, xr, xh = np.split(products, 3)
    kz, kr, kh = np.split(d.r, 3)
    z = d.function(0, xz + kz @ h + wz + rz)
    r = d.function(0, xr + kr @ h + wr + rr)
    if d.given.get("linear_before_reset"):
        new = xh + wh + r * (kh @ h + rh)
    else:
        new = xh + wh + kh @ (r * h) + rh
    return [(1 - z) * d.function(1, new) + z * h]


def reference(x, w, r, b, lens, h, **given):
    return shared.reference(cell, STANDARD, x, (w, r, b, None), lens, (h,), given)


KERNEL = shared.operator(
    "gru",
    2,
    reference,
    shared.cases(3, 1, 2, ({}, {"linear_before_reset": 1, "clip": 0.7})),
    own=(Attribute("linear_before_reset", **shared.FLAG),),
)
