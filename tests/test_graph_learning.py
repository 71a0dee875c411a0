"""Operators of ai.onnx.ml, against ONNX Runtime, and what they refuse."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from graph_building import model_of
from graph_reference import run
from onnx import TensorProto, helper
from onnx_files import info
from ops_wasm32.__main__ import main
from ops_wasm32.convert import Array

from toolchain.frontends import Given
from toolchain.frontends.graphs import graph_of
from toolchain.graph.graph import Graph
from toolchain.spec import SpecError

ML = "ai.onnx.ml"
INT64, FLOAT = TensorProto.INT64, TensorProto.FLOAT
BOTH, SCORES = (("label", INT64), ("scores", FLOAT)), (("y", FLOAT),)
X = np.random.default_rng(0).standard_normal((9, 2)).astype("f4")
NUMBERS = np.array([[1], [2], [5], [1]])
GAPS = np.array([[1.5], [np.nan], [3], [1.5]], "f4")
TRANSFORMS = ("NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO")
# Two trees: one comparison, and two below each other.
TREES: dict[str, Any] = {
    "nodes_treeids": [0, 0, 0, 1, 1, 1, 1, 1],
    "nodes_nodeids": [0, 1, 2, 0, 1, 2, 3, 4],
    "nodes_featureids": [0, 0, 0, 1, 0, 0, 0, 0],
    "nodes_values": [0.1, 0, 0, -0.2, 0, 0.3, 0, 0],
    "nodes_truenodeids": [1, 0, 0, 1, 0, 3, 0, 0],
    "nodes_falsenodeids": [2, 0, 0, 2, 0, 4, 0, 0],
    "nodes_modes": [
        *("BRANCH_LEQ", "LEAF", "LEAF", "BRANCH_GT", "LEAF"),
        *("BRANCH_LT", "LEAF", "LEAF"),
    ],
}
LEAVES = {"treeids": [0, 0, 1, 1, 1], "nodeids": [1, 2, 1, 3, 4]}
TWICE = {n: [i for i in ids for _ in "12"] for n, ids in LEAVES.items()}
POSITIVE, MIXED = [0.2, 0.7, 0.1, 0.3, 0.4], [-0.2, 0.7, 0.1, -0.3, 0.4]
VECTORS = [0.1, 0.2, -0.3, 0.4, 0.5, -0.6, 0.7, -0.1]
KERNELS = {
    "LINEAR": [0.0, 0, 0],
    "RBF": [0.5, 0, 0],
    "POLY": [0.5, 1.0, 3.0],
    "SIGMOID": [0.5, 0.1, 0],
}
VERSIONS = {"LabelEncoder": 4}  # from which on a NaN is found among keys
Node = tuple[str, tuple[tuple[str, int], ...], Array, dict[str, Any]]


def linear() -> Iterator[Node]:
    for rows, labels in ((1, [0, 1]), (2, [0, 1]), (3, [5, 6, 9])):
        given: dict[str, Any] = {
            "coefficients": [1.0, -0.5, -1, 0.5, 0.2, 0][: 2 * rows],
            "intercepts": [0.1, 0.2, 0][:rows],
        }
        for kind in TRANSFORMS:
            more: dict[str, Any] = {"post_transform": kind}
            more |= {"classlabels_ints": labels}
            yield "LinearClassifier", BOTH, X, given | more
            # ONNX Runtime leaves out the transform of one target.
            if rows > 1 or kind == "NONE":
                more = {"targets": rows, "post_transform": kind}
                yield "LinearRegressor", SCORES, X, given | more


def leaves(kind: str, weights: list[float], ids: list[int], twice: bool) -> Any:
    found = {f"{kind}_{n}": v for n, v in (TWICE if twice else LEAVES).items()}
    if twice:
        pairs = zip(weights, weights[::-1], strict=True)
        weights = [w for pair in pairs for w in pair]
    return TREES | found | {f"{kind}_weights": weights, f"{kind}_ids": ids}


def trees() -> Iterator[Node]:
    for kind in TRANSFORMS:
        more = {"post_transform": kind}
        for weights in (POSITIVE, MIXED):
            pair = {"classlabels_int64s": [0, 1]} | more
            one = leaves("class", weights, [0] * 5, twice=False) | pair
            yield "TreeEnsembleClassifier", BOTH, X, one
            yield "TreeEnsembleClassifier", BOTH, X, one | {"base_values": [0.25]}
            many = leaves("class", weights, [0, 1, 2, 1, 2], twice=False) | more
            many |= {"classlabels_int64s": [3, 8, 9], "base_values": [0.1, 0.2, 0.3]}
            yield "TreeEnsembleClassifier", BOTH, X, many
    for how in ("SUM", "AVERAGE", "MIN", "MAX"):
        more = leaves("target", MIXED, [0, 1, 0, 1, 0], twice=False)
        more |= {"n_targets": 2, "aggregate_function": how}
        yield "TreeEnsembleRegressor", SCORES, X, more


def machines() -> Iterator[Node]:
    for kind, parameters in KERNELS.items():
        more = {"kernel_type": kind, "kernel_params": parameters}
        given = {"coefficients": [0.3, -0.4, 0.2, 1.0], "rho": [0.1]} | more
        one = given | {"n_supports": 4, "support_vectors": VECTORS}
        yield "SVMRegressor", SCORES, X, one
        yield "SVMRegressor", SCORES, X, one | {"one_class": 1}
        pair = given | {"support_vectors": VECTORS, "vectors_per_class": [2, 2]}
        pair |= {"classlabels_ints": [4, 7]}
        yield "SVMClassifier", BOTH, X, pair
        yield "SVMClassifier", BOTH, X, pair | {"prob_a": [-1.5], "prob_b": [0.9]}
        many = pair | {"vectors_per_class": [1, 2, 1], "rho": [0.1, 0.2, -0.1]}
        many |= {"coefficients": [0.3, -0.4, 0.2, 1.0, 0.5, 0.1, -0.2, 0.3]}
        yield "SVMClassifier", BOTH, X, many | {"classlabels_ints": [4, 7, 9]}


def encoders() -> Iterator[Node]:
    given: dict[str, Any] = {"keys_int64s": [1, 5], "values_floats": [0.5, 2.5]}
    yield "LabelEncoder", SCORES, NUMBERS, given | {"default_float": -7.0}
    given = {"keys_floats": [1.5, np.nan], "values_int64s": [5, 2]}
    yield "LabelEncoder", (("y", INT64),), GAPS, given | {"default_int64": -7}
    yield "OneHotEncoder", SCORES, NUMBERS, {"cats_int64s": [1, 2, 3]}
    yield "OneHotEncoder", SCORES, NUMBERS, {"cats_int64s": [5, 2, 1], "zeros": 0}
    for norm in ("MAX", "L1", "L2"):
        yield "Normalizer", SCORES, X, {"norm": norm}
    yield "Scaler", SCORES, X, {"offset": [0.1, 0.2], "scale": [2.0, 3.0]}
    yield "Binarizer", SCORES, X, {"threshold": 0.2}
    missing = {"imputed_value_floats": [9.0], "replaced_value_float": np.nan}
    yield "Imputer", SCORES, GAPS, missing


def file_of(kind: str, outputs: Any, x: Array, given: Any, version: int = 3) -> Any:
    """A model of one node."""
    names = [n for n, _ in outputs]
    node = helper.make_node(kind, ["x"], names, name="n", domain=ML, **given)
    number = helper.np_dtype_to_tensor_dtype(x.dtype)
    graph = helper.make_graph(
        [node],
        "g",
        [info("x", ("rows", *x.shape[1:]), number)],
        [info(n, None, k) for n, k in outputs],
    )
    imports = [helper.make_opsetid("", 18), helper.make_opsetid(ML, version)]
    return helper.make_model(graph, opset_imports=imports, ir_version=9)


def read(proto: Any) -> Graph:
    return graph_of(proto, "net", Given(), "file").graph


def theirs(proto: Any, x: Array) -> list[Array]:
    """What ONNX Runtime gives."""
    session = onnxruntime.InferenceSession(
        proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return [np.asarray(a) for a in session.run(None, {"x": x})]


@pytest.mark.parametrize("kinds", [linear, trees, machines, encoders])
def test_nodes_give_what_onnx_runtime_gives(kinds: Any) -> None:
    for kind, outputs, x, given in kinds():
        proto = file_of(kind, outputs, x, given, VERSIONS.get(kind, 3))
        # ONNX Runtime searches for shares, and stops at 0.005 of them.
        rtol = 2e-2 if "prob_a" in given else 1e-4
        pairs = zip(run(read(proto), [x]), theirs(proto, x), strict=True)
        for found, wanted in pairs:
            assert found.shape == wanted.shape, (kind, given)
            np.testing.assert_allclose(
                found, wanted, rtol, 1e-5, err_msg=f"{kind} {given}"
            )


def test_a_forest_as_a_module(tmp_path: Path) -> None:
    given = leaves("class", MIXED, [0, 2] * 5, twice=True)
    proto = file_of(
        "TreeEnsembleClassifier", BOTH, X, given | {"classlabels_int64s": [0, 1, 7]}
    )
    onnx.save(proto, tmp_path / "net.onnx")
    module = model_of(tmp_path / "net.onnx")
    for found, wanted in zip(module(X), theirs(proto, X), strict=True):
        np.testing.assert_allclose(found, wanted, 1e-5, 1e-6)


def test_members_of_a_set_and_missing_values() -> None:
    double = TensorProto.DOUBLE
    given: dict[str, Any] = {
        "n_targets": 1,
        "nodes_featureids": [0, 1],
        "nodes_splits": helper.make_tensor("s", double, (2,), [np.nan, 0.5]),
        "nodes_modes": helper.make_tensor("m", TensorProto.UINT8, (2,), [6, 0]),
        "nodes_truenodeids": [0, 1],
        "nodes_trueleafs": [1, 1],
        "nodes_falsenodeids": [1, 2],
        "nodes_falseleafs": [0, 1],
        "nodes_missing_value_tracks_true": [0, 1],
        "tree_roots": [0],
        "leaf_targetids": [0, 0, 0],
        "leaf_weights": helper.make_tensor("w", double, (3,), [1.0, 2.0, 4.0]),
        "membership_values": helper.make_tensor("v", double, (3,), [3, 7, np.nan]),
    }
    x = np.array([[7, 9], [3, 0], [4, 0.5], [4, 0.6], [np.nan, np.nan]])
    proto = file_of("TreeEnsemble", (("y", double),), x, given, 5)
    (y,) = run(read(proto), [x])
    assert [1, 1, 2, 4, 2] == y[:, 0].tolist()


def zipped() -> Any:
    """A classifier whose scores become a map of classes."""
    given = {"coefficients": [1.0, -0.5], "intercepts": [0.1]}
    given |= {"classlabels_ints": [0, 1]}
    proto = file_of("LinearClassifier", BOTH, X, given)
    node = helper.make_node("ZipMap", ["scores"], ["map"], domain=ML)
    node.attribute.append(helper.make_attribute("classlabels_int64s", [0, 1]))
    proto.graph.node.append(node)
    kind = helper.make_map_type_proto(INT64, helper.make_tensor_type_proto(FLOAT, []))
    sequence = helper.make_sequence_type_proto(kind)
    proto.graph.output[1].CopyFrom(helper.make_value_info("map", sequence))
    return proto


def test_maps_of_classes_are_tensors() -> None:
    proto = zipped()
    model = graph_of(proto, "net", Given(), "file")
    assert model.notes == ("map is a tensor; its columns are classes 0, 1",)
    assert (9, 2) == run(model.graph, [X])[1].shape


# A node, and what the error says.
REFUSED: tuple[tuple[str, dict[str, Any], str], ...] = (
    (
        "LinearClassifier",
        {"coefficients": [1.0, 2], "classlabels_strings": ["cat", "dog"]},
        "has texts for labels, such as ['cat']",
    ),
    ("LinearRegressor", {"coefficients": [1.0, 2], "post_transform": "X"}, "use NONE"),
    ("OneHotEncoder", {"cats_strings": ["a"]}, "has texts for categories"),
    (
        "LabelEncoder",
        {"keys_int64s": [1], "values_strings": ["a"]},
        "has texts for values",
    ),
    (
        "TreeEnsembleRegressor",
        leaves("target", MIXED, [0] * 5, twice=False)
        | {"nodes_truenodeids": [9, 0, 0, 1, 0, 3, 0, 0]},
        "has no node 9 of tree 0",
    ),
    (
        "TreeEnsembleRegressor",
        leaves("target", MIXED, [0] * 5, twice=False)
        | {"nodes_featureids": [5, 0, 0, 1, 0, 0, 0, 0]},
        "asks for feature 5 of 2",
    ),
    (
        "SVMClassifier",
        {
            **{"support_vectors": VECTORS, "vectors_per_class": [1, 2, 1]},
            **{"classlabels_ints": [1, 2, 3], "prob_a": [1.0] * 3},
            **{"rho": [0.1] * 3, "coefficients": [0.1] * 8},
        },
        "has shares of more than two classes",
    ),
)


@pytest.mark.parametrize(
    ("kind", "given", "text"), REFUSED, ids=[f"{k}-{t}" for k, _, t in REFUSED]
)
def test_what_modules_do_not_hold_is_refused(kind: str, given: Any, text: str) -> None:
    outputs = SCORES if kind.endswith(("Regressor", "Encoder")) else BOTH
    x = NUMBERS if kind == "LabelEncoder" else X
    with pytest.raises(SpecError) as error:
        read(file_of(kind, outputs, x, given))
    assert text in str(error.value)
    assert "node n" in str(error.value)


def test_verify_takes_maps_for_the_tensors_that_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    onnx.save(zipped(), tmp_path / "net.onnx")
    module = str(tmp_path / "net.wasm")
    model_of(tmp_path / "net.onnx")
    assert main(["verify", module, "--against", str(tmp_path / "net.onnx")]) == 0
    assert 2 * 3 == capsys.readouterr().out.count("pass")
