"""out[r, t] = the weights for target t of the leaves that row r of x comes to

Shapes: x [rows, features]; a node, of nodes [n, 4], is a feature, a mode, and the nodes
to go to where x[feature] compares with its threshold as the mode says, and where not.
Modes: bits for less, equal, greater and NaN; 16 is a leaf: then the last two numbers
are its first place in leaves (targets) and weights, and the place after its last.
Nodes are numbered from their root on. roots: the first node of each tree.
Attributes: targets, and aggregate: of the leaves of all trees for a target.
Dtypes: added up in that of x, in the order of the trees.
Edges: a target without a weight is 0.
Source: ONNX ai.onnx.ml TreeEnsemble-5, TreeEnsembleClassifier-5 and -Regressor-5.
"""

from typing import Any

import numpy as np

from toolchain.spec import Attribute, Bound, Case, Input, Operator
from toolchain.spec.cases import values

LESS, EQUAL, GREATER, NAN_TOO, LEAF = 1, 2, 4, 8, 16
AGGREGATES = ("SUM", "AVERAGE", "MIN", "MAX")


def _leaf(row, nodes, thresholds, node):
    while not nodes[node, 1] & LEAF:
        feature, mode, yes, no = nodes[node]
        x, limit = row[feature], thresholds[node]
        bits = {x < limit: LESS, x == limit: EQUAL, x > limit: GREATER}
        node = yes if mode & bits.get(True, NAN_TOO) else no
    return nodes[node]


def reference(x, nodes, thresholds, leaves, weights, roots, targets, aggregate):
    out = np.zeros((len(x), targets))
    for r, row in enumerate(x):
        found: list[list[float]] = [[] for _ in range(targets)]
        for root in roots:
            _, _, first, end = _leaf(row, nodes, thresholds, root)
            for to, weight in zip(leaves[first:end], weights[first:end], strict=True):
                found[to].append(weight)
        how = {"MIN": min, "MAX": max}.get(aggregate, sum)
        out[r] = [how(f) if f else 0 for f in found]
    return out / len(roots) if aggregate == "AVERAGE" else out


def _forest(rng, trees, depth, features, targets):
    """Full trees with some leaves above their ends."""
    nodes: list[Any] = []
    leaves: list[Any] = []
    roots: list[int] = []

    def grow(level):
        at = len(nodes)
        nodes.append([0, LEAF, len(leaves), len(leaves)])
        if level == 0 or rng.random() < 0.2:
            leaves.extend(rng.integers(0, targets, rng.integers(0, 3)))
            nodes[at][3] = len(leaves)
            return at
        mode = int(rng.integers(1, 16))
        nodes[at] = [int(rng.integers(features)), mode, grow(level - 1), 0]
        nodes[at][3] = grow(level - 1)
        return at

    for _ in range(trees):
        roots.append(grow(depth))
    return [np.array(a, "int32") for a in (nodes, leaves, roots)]


def cases(dtypes, rng):
    for rows, trees, depth, targets in ((1, 1, 0, 1), (5, 3, 4, 2), (300, 9, 6, 3)):
        nodes, leaves, roots = _forest(rng, trees, depth, 4, targets)
        x, thresholds = (
            np.round(values(rng, s, "float32", -3, 3)).astype(dtypes[0])
            for s in ((rows, 4), (len(nodes),))
        )
        x[0, 0] = np.nan
        weights = values(rng, leaves.shape, "float32").astype(dtypes[0])
        tensors = (x, nodes, thresholds, leaves, weights, roots)
        for aggregate in AGGREGATES:
            given = {"targets": targets, "aggregate": aggregate}
            yield Case(f"{rows}x{trees}-{aggregate}", tensors, given)


KERNEL = Operator(
    collapse="own.plain",
    inputs=(
        Input("x", ""),
        Input("nodes", "", dtype="int32"),
        Input("thresholds", ""),
        Input("leaves", "", dtype="int32"),
        Input("weights", ""),
        Input("roots", "", dtype="int32"),
    ),
    attributes=(
        Attribute("targets", minimum=1),
        Attribute("aggregate", default=0, choices=AGGREGATES),
    ),
    dtypes=("float32", "float64"),
    source="tree_ensemble.c",
    shapes=lambda call: [
        None if (x := call.shape(0)) is None else (x[0], call.integer("targets"))
    ],
    reference=reference,
    reference_scale=lambda x, nodes, thresholds, leaves, weights, roots, **given: (
        reference(x, nodes, thresholds, leaves, np.abs(weights), roots, **given)
    ),
    cases=cases,
    bound=Bound(ulp=8, why="sums over the trees, of sums of magnitudes"),
)
