"""Models: each one that is built, in wasmtime against ONNX Runtime.

`doit build` makes the small ones, `doit heavy_models` the others.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import ops_wasm32
import pytest
from onnx_runtime import assert_close, session_of
from ops_wasm32.convert import Array

from bench.whole.rows import ARENA, ROWS
from toolchain.link.module import interface
from toolchain.profile import Profile, load_profile
from toolchain.tasks import models

SMALL = models.sources(heavy=False)
HEAVY = models.sources(heavy=True)
# Bytes of a module without its weights.
CODE = {row.model: row.code for row in ROWS if row.code}
# Not reached yet: of LeNet's code the two convolutions and softmax take more than half.
LARGER = {
    ("lenet", "simd128"): 18 << 10,
    ("lenet", "relaxed-simd"): 18 << 10,
    ("lenet", "relaxed-simd-v8"): 19 << 10,
}
STEPS = 16  # of the decoder's loop
ACCURACY = 0.98  # of LeNet on images that its training has not seen
# Images on which a quantized network says what it says in ONNX Runtime.
SAME = 0.995


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Every model for every target that it is built for."""
    if "built" not in metafunc.fixturenames:
        return
    file = metafunc.config.getoption("--profile-file")
    profile = load_profile(Path(file) if file else None)
    wanted = [m.args for m in metafunc.definition.iter_markers("models")]
    names = [n for n in (*SMALL, *HEAVY) if not wanted or n in wanted[0]]
    cells = [
        (profile, name, target)
        for name in names
        for target in models.targets_of(name, profile.targets)
    ]
    ids = [f"{name}-{target}" for _, name, target in cells]
    metafunc.parametrize("built", cells, ids=ids, indirect=True)


class Built:
    """A model's module beside the file that it was made from."""

    def __init__(self, profile: Profile, name: str, target: str) -> None:
        self.name, self.target = name, target
        place = profile.folder / "models" / name
        source = (SMALL | HEAVY)[name]
        self.file = place / f"{name}.onnx" if source.suffix == ".py" else source
        self.wasm = place / target / f"{name}.wasm"

    @property
    def manifest(self) -> Any:
        """The manifest beside the module."""
        return json.loads(self.wasm.with_suffix(".manifest.json").read_text())

    def run(self, *inputs: Array) -> list[Array]:
        """The outputs of the module."""
        result = _library(self.wasm).call(self.name, *inputs)
        return list(result) if isinstance(result, tuple) else [result]

    def expected(self, *inputs: Array) -> list[Array]:
        """The outputs of ONNX Runtime."""
        session = session_of(self.file)
        names = [i.name for i in session.get_inputs()]
        return list(session.run(None, dict(zip(names, inputs, strict=True))))


@cache
def _library(path: Path) -> ops_wasm32.Library:
    return ops_wasm32.load(path)


@pytest.fixture
def built(request: pytest.FixtureRequest) -> Built:
    """A model; skips where a heavy one is not there."""
    profile, name, target = request.param
    model = Built(profile, name, target)
    if name in HEAVY and not model.wasm.exists():
        pytest.skip(f"{name} is not built for {target}; run doit heavy_models")
    return model


def _random(built: Built) -> list[Array]:
    """Inputs as the manifest says them; indices reach all that they may."""
    rng = np.random.default_rng(0)
    tables = _tables(onnx.load(built.file).graph)
    return [
        rng.standard_normal(v["shape"]).astype("float32")
        if v["dtype"] == "float32"
        else rng.integers(*tables.get(v["name"], (0, 2)), v["shape"]).astype(v["dtype"])
        for v in built.manifest["inputs"]
    ]


def _tables(graph: onnx.GraphProto) -> dict[str, tuple[int, int]]:
    """First and end of what inputs may be that are indices; the others are masks."""
    sizes = {w.name: w.dims[0] for w in graph.initializer if w.dims}
    return {
        n.input[1]: (-sizes[n.input[0]], sizes[n.input[0]])
        for n in graph.node
        if n.op_type == "Gather" and n.input[0] in sizes
    }


# Predictions of the first are compared, and the second is no ONNX file: test_mindir.py.
ELSEWHERE = ("lenet_int8", "mindspore_net")


@pytest.mark.models(*(n for n in (*SMALL, *HEAVY) if n not in ELSEWHERE))
def test_it_matches_onnx_runtime(built: Built) -> None:
    inputs = _random(built)
    got, want = built.run(*inputs), built.expected(*inputs)
    assert_close(got, want, built.manifest["tolerance"])


def test_it_imports_nothing(built: Built) -> None:
    assert () == interface(built.wasm.read_bytes()).imports


def test_its_arena_is_near_the_lower_bound(built: Built) -> None:
    memory = built.manifest["memory"]
    assert memory["arena"] <= ARENA * memory["lower_bound"]


@pytest.mark.models(*CODE)
def test_its_code_is_small(built: Built) -> None:
    (artifact,) = built.manifest["artifacts"].values()
    limit = LARGER.get((built.name, built.target), CODE[built.name])
    assert artifact["bytes_without_weights"] <= limit


def _digits() -> tuple[Array, Array]:
    """Images [n, 1, 1, 28, 28] in 0..1, as in training, and their labels."""
    with np.load(Path(__file__).with_name("digits.npz")) as data:
        images, labels = data["images"], data["labels"]
    large = np.kron(images / 16, np.ones((1, 3, 3)))
    large = np.pad(large, ((0, 0), (2, 2), (2, 2)))
    return large[:, None, None].astype("float32"), labels


def _answers(built: Built) -> tuple[Array, Array, Array]:
    """For each image: what the module says, ONNX Runtime says, and is true."""
    images, labels = _digits()
    ours = [int(built.run(image)[0].argmax()) for image in images]
    theirs = [int(built.expected(image)[0].argmax()) for image in images]
    return np.array(ours), np.array(theirs), labels


@pytest.mark.models("lenet")
def test_lenet_reads_digits(built: Built) -> None:
    ours, theirs, labels = _answers(built)
    assert theirs.tolist() == ours.tolist()
    assert (ours == labels).mean() >= ACCURACY


@pytest.mark.models("lenet_int8")
def test_quantized_lenet_reads_digits(built: Built) -> None:
    ours, theirs, labels = _answers(built)
    assert (ours == theirs).mean() >= SAME
    assert (ours == labels).mean() >= ACCURACY


@pytest.mark.models("decoder")
def test_decoder_generates(built: Built) -> None:
    caches = [np.zeros(v["shape"], "float32") for v in built.manifest["inputs"][2:]]
    ours, theirs, token = caches, caches, 1
    for position in range(STEPS):
        now = [np.full((1, 1), n, "int64") for n in (token, position)]
        got, want = built.run(*now, *ours), built.expected(*now, *theirs)
        assert_close(got, want, built.manifest["tolerance"])
        token = int(want[0].argmax())
        assert token == int(got[0].argmax())
        ours, theirs = got[1:], want[1:]
