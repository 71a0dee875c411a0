"""out[n, c, y * stride + r * dilation - pad, ...] = sum of x[n, (c, r, ...), (y, ...)]

Shapes: x [N, C * taps of a block, blocks], out [N, C, image_shape...]; lists have an
entry for each of one to three axes, pads has the begins, then the ends.
Source: ONNX Col2Im-18, whose image_shape and block_shape are tensors; MindSpore Col2Im.
"""

import numpy as np

from toolchain.spec import Attribute, Bound, Case, Input, Operator
from toolchain.spec import windows as w
from toolchain.spec.cases import values

TAKEN = (  # N, C, image, block, strides, dilations, pads
    (1, 1, [5], [3], [1], [1], [0, 0]),
    (2, 3, [17], [4], [2], [3], [1, 2]),
    (1, 2, [5, 5], [1, 5], [1, 1], [1, 1], [0] * 4),
    (2, 3, [7, 9], [3, 2], [2, 1], [1, 2], [1, 0, 2, 1]),
    (1, 2, [4, 5, 6], [2, 1, 3], [1, 2, 1], [1, 1, 2], [0, 1, 1, 1, 0, 2]),
    (0, 2, [4, 5], [2, 2], [1, 1], [1, 1], [0] * 4),
)


def counts(image, block, strides, dilations, pads):
    ends = np.add(*np.split(np.array(pads), 2))
    room = np.array(image) + ends - np.array(dilations) * (np.array(block) - 1) - 1
    return room // strides + 1


def reference(x, image_shape, block_shape, strides=(), dilations=(), pads=()):
    ones = [1] * len(image_shape)
    strides, dilations = strides or ones, dilations or ones
    pads = pads or [0, 0] * len(ones)
    axes = counts(image_shape, block_shape, strides, dilations, pads)
    taps, rank = int(np.prod(block_shape)), len(image_shape)
    parts = x.reshape(x.shape[0], x.shape[1] // taps, *block_shape, *axes)
    out = np.zeros((*parts.shape[:2], *image_shape))
    for tap in np.ndindex(*block_shape):
        for window in np.ndindex(*axes):
            at = [
                window[i] * strides[i] + tap[i] * dilations[i] - pads[i]
                for i in range(rank)
            ]
            if all(0 <= p < n for p, n in zip(at, image_shape, strict=True)):
                out[(..., *at)] += parts[(slice(None), slice(None), *tap, *window)]
    return out


def cases(dtypes, rng):
    for images, channels, *lists in TAKEN:
        image, block, strides, dilations, pads = lists
        columns = int(np.prod(counts(*lists)))
        shape = (images, channels * int(np.prod(block)), columns)
        given = {"image_shape": image, "block_shape": block, "strides": strides}
        given |= {"dilations": dilations, "pads": pads}
        yield Case("x".join(map(str, image)), (values(rng, shape, "float32"),), given)


def shapes(call):
    x, image = call.shape(0) or (None,) * 3, call.sizes("image_shape")
    block = call.sizes("block_shape")
    if image is None:
        return [None]
    taps = None if block is None else call.count(tuple(block))
    channels = None if x[1] is None or taps is None else x[1] // taps
    return [(x[0], channels, *image)]


KERNEL = Operator(
    collapse="own.plain",
    shapes=shapes,
    inputs=(Input("x", ""),),
    attributes=(
        Attribute("image_shape", minimum=0, per_unit=1),
        Attribute("block_shape", minimum=1, maximum=w.LARGEST, per_unit=1),
        *(w.STRIDES, w.PADS, w.DILATIONS),
    ),
    units=3,
    dtypes=("float32",),
    source="col2im.c",
    reference=reference,
    reference_scale=lambda x, **given: reference(np.abs(x), **given),
    cases=cases,
    narrow="sums of the largest numbers leave float32",
    bound=Bound(ulp=8, why="as many sums as blocks overlap; of |x|"),
)
