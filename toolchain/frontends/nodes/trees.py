"""Rules of ai.onnx.ml's ensembles of trees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from toolchain.frontends.load import array
from toolchain.frontends.nodes.learning import (
    ML,
    finished,
    label_of,
    labels_of,
    two_classes,
)
from toolchain.frontends.nodes.rules import Call, rule
from toolchain.graph.graph import Value
from toolchain.spec import SpecError

# As toolchain/graph/operators/tree_ensemble.py has them.
LESS, EQUAL, GREATER, NAN_TOO, LEAF = 1, 2, 4, 8, 16
_MODES = {
    "BRANCH_LEQ": LESS | EQUAL,
    "BRANCH_LT": LESS,
    "BRANCH_GTE": GREATER | EQUAL,
    "BRANCH_GT": GREATER,
    "BRANCH_EQ": EQUAL,
    "BRANCH_NEQ": LESS | GREATER | NAN_TOO,
}
_NUMBERED = (*list(_MODES), "BRANCH_MEMBER")  # of TreeEnsemble-5
_AGGREGATES = ("AVERAGE", "SUM", "MIN", "MAX")
_TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")


@dataclass
class Branch:
    """A node. thresholds: several where it asks whether x is one of them."""

    feature: int
    mode: int
    thresholds: Sequence[float]
    yes: Any
    no: Any


Leaf = Sequence[tuple[int, float]]  # targets and weights
Look = Callable[[Any], "Branch | Leaf"]  # what a node's key stands for


@dataclass
class Forest:
    """Trees as the operator has them."""

    nodes: list[list[int]] = field(default_factory=list)
    thresholds: list[float] = field(default_factory=list)
    leaves: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    roots: list[int] = field(default_factory=list)

    def add(self, root: Any, look: Look) -> None:
        """Add a tree, from its root on. Errors: SpecError where it is none."""
        self.roots.append(len(self.nodes))
        seen: set[Any] = set()
        left: list[tuple[Any, list[tuple[int, int]]]] = [(root, [])]
        while left:
            key, above = left.pop()
            if key in seen:
                raise SpecError(f"has node {key} twice in a tree; export it again")
            seen.add(key)
            for node, place in above:
                self.nodes[node][place] = len(self.nodes)
            found = look(key)
            if isinstance(found, Branch):
                first, count = len(self.nodes), len(found.thresholds)
                for i, threshold in enumerate(found.thresholds, 1):
                    self.nodes.append([found.feature, found.mode, 0, first + i])
                    self.thresholds.append(threshold)
                left.append((found.no, [(first + count - 1, 3)]))
                left.append((found.yes, [(first + i, 2) for i in range(count)]))
            else:
                self._leaf(found)

    def _leaf(self, found: Leaf) -> None:
        first = len(self.leaves)
        self.leaves += [t for t, _ in found]
        self.weights += [w for _, w in found]
        self.nodes.append([0, LEAF, first, len(self.leaves)])
        self.thresholds.append(0.0)

    def scores(self, c: Call, targets: int, aggregate: str) -> Value:
        """What the trees give for the node's input, as float32."""
        x = c[0] if c[0].dtype == "float64" else c.cast(c[0], "float32")
        nodes = np.array(self.nodes, "int32").reshape(-1, 4)
        if len(nodes) and x.shape is not None and isinstance(x.shape[-1], int):
            most = int(nodes[:, 0].max(initial=0))
            if most >= x.shape[-1]:
                raise SpecError(
                    f"asks for feature {most} of {x.shape[-1]}; give it more columns"
                )
        x = c.builder.unsqueeze(x, [0]) if x.rank == 1 else x
        found = c.call(
            "tree_ensemble",
            *(x, c.constant(nodes, "int32"), c.constant(self.thresholds, x.dtype)),
            *(c.constant(self.leaves, "int32"), c.constant(self.weights, x.dtype)),
            c.constant(self.roots, "int32"),
            targets=targets,
            aggregate=aggregate,
        )
        return c.cast(found, "float32")


def _numbers(c: Call, name: str) -> list[float]:
    """An attribute: floats, or a tensor of doubles."""
    tensor = c.attributes.get(f"{name}_as_tensor")
    found = c.get(name) or [] if tensor is None else array(tensor).tolist()
    return [float(n) for n in found]


def _read(c: Call, kind: str, targets: dict[int, int]) -> Forest:
    """Trees of the older operators. kind: class or target; targets: ids as numbers."""
    modes = c.get("nodes_modes") or []
    columns = [c.get(f"nodes_{n}ids") for n in ("tree", "node", "feature")]
    ends = [c.get(f"nodes_{n}nodeids") for n in ("true", "false")]
    missing = c.get("nodes_missing_value_tracks_true") or [0] * len(modes)
    rows = zip(
        *columns, modes, _numbers(c, "nodes_values"), *ends, missing, strict=True
    )
    leaves: dict[tuple[int, int], list[tuple[int, float]]] = {}
    for tree, node, target, weight in zip(
        *(c.get(f"{kind}_{n}") for n in ("treeids", "nodeids", "ids")),
        _numbers(c, f"{kind}_weights"),
        strict=True,
    ):
        leaves.setdefault((tree, node), []).append((targets[target], weight))
    found: dict[tuple[int, int], Branch | Leaf] = {}
    inner: set[tuple[int, int]] = set()
    for tree, node, feature, mode, value, yes, no, tracks in rows:
        if mode == "LEAF":
            found[tree, node] = leaves.get((tree, node), [])
            continue
        if mode not in _MODES:
            raise SpecError(f"has mode {mode!r}; use {', '.join(_MODES)}, LEAF")
        bits = _MODES[mode] | (NAN_TOO if tracks else 0)
        branch = Branch(feature, bits, [value], (tree, yes), (tree, no))
        found[tree, node] = branch
        inner |= {branch.yes, branch.no}
    if lacking := inner - found.keys():
        raise SpecError(f"has no node {min(lacking)[1]} of tree {min(lacking)[0]}")
    forest = Forest()
    for key in found:
        if key not in inner:
            forest.add(key, found.__getitem__)
    return forest


def _with_base(c: Call, scores: Value) -> Value:
    base = _numbers(c, "base_values")
    return c.call("add", scores, c.constant(base, "float32")) if base else scores


@rule("TreeEnsembleRegressor", domain=ML)
def regressor(c: Call) -> Value:
    """The sum, average, least or greatest of the trees' leaves for each target."""
    targets = c.get("n_targets", 1) or 1
    forest = _read(c, "target", {i: i for i in range(targets)})
    how = str(c.get("aggregate_function", "SUM"))
    return finished(c, _with_base(c, forest.scores(c, targets, how)))


@rule("TreeEnsembleClassifier", domain=ML)
def classifier(c: Call) -> Sequence[Value | None]:
    """The label of the largest score, and all scores; one for the second of two."""
    labels = labels_of(c)
    used = sorted(set(c.get("class_ids")))
    single = len(labels) == 2 and len(used) == 1
    ids = {used[0]: 0} if single else {i: i for i in range(len(labels))}
    scores = _read(c, "class", ids).scores(c, 1 if single else len(labels), "SUM")
    if single:
        shares = all(w >= 0 for w in _numbers(c, "class_weights"))
        if base := _numbers(c, "base_values"):
            scores = c.call("add", scores, base[-1])
        return two_classes(c, labels, scores, shares)
    scores = _with_base(c, scores)
    return [label_of(c, labels, scores), finished(c, scores)]


@rule("TreeEnsemble", domain=ML)
def ensemble(c: Call) -> Value:
    """As the regressor, with nodes by their places."""
    splits, modes = (
        array(c.attributes[f"nodes_{n}"]).ravel().tolist() for n in ("splits", "modes")
    )
    leaf_weights = array(c.attributes["leaf_weights"]).ravel().tolist()
    missing = c.get("nodes_missing_value_tracks_true") or [0] * len(modes)
    members = _members(c, modes)

    def look(key: tuple[int, int]) -> Branch | Leaf:
        at, is_leaf = key
        if is_leaf:
            return [(c.get("leaf_targetids")[at], leaf_weights[at])]
        name, ends = _NUMBERED[modes[at]], []
        for end in ("true", "false"):
            to = c.get(f"nodes_{end}nodeids")[at]
            ends.append((to, c.get(f"nodes_{end}leafs")[at]))
        bits = _MODES.get(name, EQUAL) | (NAN_TOO if missing[at] else 0)
        return Branch(
            c.get("nodes_featureids")[at], bits, members.get(at, [splits[at]]), *ends
        )

    forest = Forest()
    for root in c.get("tree_roots"):
        alone = c.get("nodes_truenodeids")[root] == c.get("nodes_falsenodeids")[root]
        leaf = alone and c.get("nodes_trueleafs")[root]
        forest.add((c.get("nodes_truenodeids")[root], 1) if leaf else (root, 0), look)
    how = _AGGREGATES[c.get("aggregate_function", 1)]
    scores = forest.scores(c, c.get("n_targets", 1) or 1, how)
    scores = finished(c, scores, _TRANSFORMS[c.get("post_transform", 0)])
    return c.cast(scores, c[0].dtype)


def _members(c: Call, modes: Sequence[int]) -> dict[int, list[float]]:
    """The values of each node that asks whether x is one of some; NaN ends each."""
    tensor = c.attributes.get("membership_values")
    values = [] if tensor is None else array(tensor).ravel()
    groups, found = list[list[float]](), list[float]()
    for value in values:
        if np.isnan(value):
            groups.append(found)
            found = []
        else:
            found.append(float(value))
    asking = [i for i, m in enumerate(modes) if _NUMBERED[m] == "BRANCH_MEMBER"]
    return dict(zip(asking, [*groups, found], strict=False))
