"""out[i] = (image, class, box) of the i-th best box that hardly overlaps better ones

A box is left out where it shares more than iou_threshold of its union with a box that
was taken, or its score is not above score_threshold (-inf: any score). Each class of
each image for itself, the best first; of equal scores the first box.
Shapes: boxes [N, boxes, 4], scores [N, classes, boxes]; out [chosen, 3], int64; the
largest has max_output_boxes_per_class or all boxes of each class.
Boxes: two corners (y, x, y, x), or center_point_box=1: (x, y, width, height).
Edges: a score of NaN is never taken; boxes without an area overlap nothing.
Source: ONNX NonMaxSuppression-11, whose attributes but one are tensors.
"""

from typing import Any

import numpy as np

from toolchain.spec import Attribute, Case, Input, Operator, Output
from toolchain.spec.cases import values

LIMITS = ((3, 0.5, 0.0), (100, 0.1, -np.inf), (0, 0.5, 0.0), (2, 0.0, 0.9))


def corners(box, center):
    a, b, c, d = box
    if center:
        return b - d / 2, a - c / 2, b + d / 2, a + c / 2
    return min(a, c), min(b, d), max(a, c), max(b, d)


def overlap(a, b, threshold):
    top, left = max(a[0], b[0]), max(a[1], b[1])
    bottom, right = min(a[2], b[2]), min(a[3], b[3])
    if not (bottom > top and right > left):
        return False
    shared = (bottom - top) * (right - left)
    one, other = ((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b))
    both = one + other - shared
    known = one > 0 and other > 0 and both > 0
    return bool(known and shared / both > np.float32(threshold))


def chosen(boxes, scores, center, most, iou, least):
    kept: list[tuple[Any, Any]] = []
    for i in np.argsort(-scores, kind="stable"):
        known = np.isneginf(least) and not np.isnan(scores[i])
        if (known or scores[i] > np.float32(least)) and len(kept) < most:
            box = corners(boxes[i], center)
            if not any(overlap(box, other, iou) for _, other in kept):
                kept.append((i, box))
    return [i for i, _ in kept]


def reference(boxes, scores, center_point_box, max_output_boxes_per_class, **given):
    boxes, scores = boxes.astype("float32"), scores.astype("float32")
    limits = (max_output_boxes_per_class, *given.values())
    found = [
        (n, c, i)
        for n in range(scores.shape[0])
        for c in range(scores.shape[1])
        for i in chosen(boxes[n], scores[n, c], center_point_box, *limits)
    ]
    return np.array(found, np.int64).reshape(-1, 3)


def cases(dtypes, rng):
    for images, classes, count in ((1, 1, 6), (2, 3, 40), (1, 2, 0), (1, 1, 300)):
        boxes = values(rng, (images, count, 4), "float32", 0, 1)
        scores = values(rng, (images, classes, count), "float32", -0.2, 1)
        ties = np.round(scores, 1).astype("float32")
        for most, iou, least in LIMITS:
            for center in (0, 1):
                given = {
                    "center_point_box": center,
                    "max_output_boxes_per_class": most,
                    "iou_threshold": iou,
                    "score_threshold": least,
                }
                name = f"{images}-{classes}-{count}-{most}-{iou}-{least}-{center}"
                yield Case(name, (boxes, scores), given)
                yield Case(f"{name}-ties", (boxes, ties), given)
    special = scores.copy()
    special[..., ::7], special[..., 1::7] = np.nan, -np.inf
    yield Case("special", (boxes, special), {"max_output_boxes_per_class": 300})


KERNEL = Operator(
    collapse="own.plain",
    inputs=(Input("boxes", ""), Input("scores", "")),
    outputs=(Output(dtype="int64", late=True),),
    attributes=(
        Attribute("center_point_box", default=0, minimum=0, maximum=1),
        Attribute("max_output_boxes_per_class", default=0, minimum=0),
        Attribute("iou_threshold", "float", default=0.0, minimum=0, maximum=1),
        Attribute("score_threshold", "float", default=-np.inf, unbounded=True),
    ),
    dtypes=("float32",),
    source="non_max_suppression.c",
    shapes=lambda call: [(None, 3)],
    reference=reference,
    cases=cases,
)
