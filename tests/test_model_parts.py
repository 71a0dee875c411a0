"""Parts of models: what each layer becomes, in wasmtime against ONNX Runtime."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import ops_wasm32
import pytest
from abi import runtime_objects
from onnx_runtime import assert_close, session_of
from ops_wasm32.convert import Array

from toolchain.graph.build import Place
from toolchain.model.build import Options, build_fixed, build_model
from toolchain.profile import load_profile
from toolchain.recipe import Net
from toolchain.tasks import model_files, models

LENET = models.sources(heavy=False)["lenet"]


def _runtime(pytestconfig: pytest.Config, target: str) -> list[Path]:
    file = pytestconfig.getoption("--profile-file")
    return runtime_objects(target, load_profile(Path(file) if file else None).folder)


def _by_winograd(pads: list[int], sizes: tuple[Any, Any, Any] = (2, 9, 14)) -> Any:
    """Images whose tiles the edges cut; the last convolution does not suit."""
    net = Net("winograd")
    limits = [net.constant(np.array(v, "float32")) for v in (-1, 1)]
    batch, height, width = sizes
    x = net.input("image", (batch, 16, height, width))
    x = net.op("Conv", x, net.normal((24, 16, 3, 3), 0.1), pads=pads)
    x = net.op("Relu", x)
    x = net.op("Conv", x, net.normal((32, 24, 3, 3), 0.1), net.normal((32,), 1.0))
    x = net.op("Clip", x, *limits)
    x = net.op("Conv", x, net.normal((7, 32, 3, 3), 0.1))
    if isinstance(height, int):
        height, width = height + pads[0] + pads[2] - 6, width + pads[1] + pads[3] - 6
    else:
        height, width = "rows", "columns"
    return net.model(y=(x, (batch, 7, height, width)))


@pytest.mark.parametrize("target", ["mvp", "simd128", "relaxed-simd"])
@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 1, 1, 1], [2, 0, 1, 3]])
def test_winograd(
    pads: list[int], target: str, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    file = tmp_path / "winograd.onnx"
    onnx.save(_by_winograd(pads), file)
    place, options = Place(tmp_path, tmp_path / "cache"), Options(target, winograd=True)
    runtime = _runtime(pytestconfig, target)
    manifest = build_model(file, options, place, runtime, lambda _: None)
    used = [k["name"] for k in manifest["kernels"]]
    assert sum(name.startswith("winograd_conv") for name in used) == 2
    assert sum(name.startswith("conv_packed") for name in used) == 1
    _compare_winograd(file, [(2, 9, 14)], manifest["tolerance"])


def _compare_winograd(
    file: Path, sizes: list[tuple[int, int, int]], tolerance: float
) -> None:
    module, session = ops_wasm32.load(file.with_suffix(".wasm")), session_of(file)
    for batch, *image in sizes:
        rng = np.random.default_rng(0)
        x = rng.standard_normal((batch, 16, *image), dtype="float32")
        assert_close([module(x)], session.run(None, {"image": x}), tolerance)


@pytest.mark.parametrize("target", ["mvp", "simd128"])
def test_winograd_of_images_of_any_size(target: str, tmp_path: Path) -> None:
    file = tmp_path / "winograd.onnx"
    onnx.save(_by_winograd([2, 0, 1, 3], ("n", "h", "w")), file)
    options: dict[str, Any] = {"dim": [], "shape": [], "value": [], "timeout": 600.0}
    out, options = str(tmp_path), options | {"winograd": True}
    model_files.compile_file(str(file), target, out, "embedded", **options)
    manifest = json.loads((tmp_path / "winograd.manifest.json").read_text())
    used = manifest["kernels"]
    assert [k for k in used if "conv" in k] == [
        "conv_packed_float32",
        "winograd_conv_float32",
    ]
    _compare_winograd(file, [(2, 9, 14), (1, 4, 5), (3, 31, 18)], manifest["tolerance"])


def test_winograd_of_known_sizes_without_relax(tmp_path: Path) -> None:
    file = tmp_path / "winograd.onnx"
    onnx.save(_by_winograd([1, 1, 1, 1]), file)
    options = Options("simd128", winograd=True)
    place, runtime = Place(tmp_path, tmp_path / "cache"), runtime_objects("simd128")
    manifest = build_fixed(file, options, place, runtime, lambda _: None)
    used = [k["name"] for k in manifest["kernels"]]
    assert sum(name.startswith("winograd_conv") for name in used) == 2
    _compare_winograd(file, [(2, 9, 14)], manifest["tolerance"])


PERMUTED = (  # shape, perm: planes that are transposed, and what is not
    ((12, 40, 32), (0, 2, 1)),
    ((1, 70, 6, 24), (0, 2, 3, 1)),
    ((3, 50, 60), (2, 0, 1)),
    ((5, 31, 47), (2, 1, 0)),
    ((2, 3, 40, 50), (3, 1, 2, 0)),
    ((6, 128, 12, 2), (0, 2, 1, 3)),
    ((16, 16), (1, 0)),
)
JOINED = (  # shapes, axis, whether rows are copied
    (((3, 5, 4), (3, 7, 4), (3, 1, 4)), 1, True),
    (((2, 6, 16), (2, 6, 9)), -1, True),
    (((40,), (5,)), 0, True),
    (((2, 3), (2, 8)), 1, False),
)
SIZED = (((1, 3, 8, 9), 2), ((2, 2, 5, 7), 3), ((1, 2, 6, 1), 2))  # shape, factor


class _Parts:
    """A model under construction: inputs with elements, and outputs."""

    def __init__(self, name: str) -> None:
        self.net, self.rng = Net(name), np.random.default_rng(0)
        self.given: dict[str, Array] = {}
        self.outputs: dict[str, tuple[str, tuple[int, ...]]] = {}

    def add(self, shape: tuple[int, ...], dtype: str = "float32") -> str:
        data = self.rng.standard_normal(shape) * 3
        name = self.net.input(f"x{len(self.given)}", shape, dtype)
        self.given[name] = np.asarray(data > 0 if dtype == "bool" else data, dtype)
        return name

    def keep(self, name: str, shape: tuple[int, ...]) -> None:
        self.outputs[f"y{len(self.outputs)}"] = (name, shape)


def _permuted(parts: _Parts) -> dict[str, int]:
    for shape, perm in PERMUTED:
        y = parts.net.op("Transpose", parts.add(shape), perm=perm)
        parts.keep(y, tuple(shape[i] for i in perm))
    return {}


def _joined(parts: _Parts) -> dict[str, int]:
    for shapes, axis, _ in JOINED:
        y = parts.net.op("Concat", *map(parts.add, shapes), axis=axis)
        whole = list(shapes[0])
        whole[axis] = sum(shape[axis] for shape in shapes)
        parts.keep(y, tuple(whole))
    return {r"concatenate_\d_": sum(known for *_, known in JOINED)}


def _chosen(parts: _Parts) -> dict[str, int]:
    """By conditions that are the same along a row or not, beside functions."""
    net, add = parts.net, parts.add
    for width in (32, 6):
        sides = add((1, 12, 1, width)), add((1, 12, 20, width))
        y = net.op("Where", add((1, 1, 20, 1), "bool"), *sides)
        parts.keep(y, (1, 12, 20, width))
    for kind in ("Exp", "Tanh", "Sigmoid", "Softplus", "Elu", "Sin"):
        side = net.op(kind, add((3, 16)))
        y = net.op("Where", add((16,), "bool"), side, add((3, 16)))
        parts.keep(y, (3, 16))
    parts.keep(net.op("Where", add((), "bool"), add(()), add(())), ())
    return {}


def _pooled(parts: _Parts) -> dict[str, int]:
    """Images as NHWC, their channels in vectors or not."""
    pads: dict[str, Any] = {"kernel_shape": [3, 4], "strides": [2, 2]}
    pads["pads"] = [1, 0, 1, 1]
    for channels in (16, 3):
        weights = parts.net.normal((channels, 3, 1, 1), 1)
        image = parts.net.op("Conv", parts.add((2, 3, 9, 10)), weights)
        for kind in ("MaxPool", "AveragePool"):
            parts.keep(parts.net.op(kind, image, **pads), (2, channels, 5, 4))
    return {"conv_packed_": 2}


def _normalised(parts: _Parts) -> dict[str, int]:
    """A convolution in groups takes what scales its result, but not from others."""
    net, shape = parts.net, (2, 12, 5, 4)
    scales = net.constant(np.arange(1, 13, dtype="float32"))
    means = net.normal((12,), 1)
    for shared in (False, True):
        weights = net.normal((12, 4, 3, 3), 1)
        image = net.op("Conv", parts.add((2, 8, 7, 6)), weights, group=2)
        y = net.op("BatchNormalization", image, scales, means, means, scales)
        parts.keep(net.op("Relu", y), shape)
        if shared:
            parts.keep(net.op("Sin", image), shape)
    return {"conv_": 1, "batch_norm": 1}


def _resized(parts: _Parts) -> dict[str, int]:
    roi = parts.net.constant(np.zeros(0, "float32"))
    for shape, factor in SIZED:
        scales = parts.net.constant(np.array([1, 1, factor, factor], "float32"))
        for mode in ("linear", "nearest"):
            for places in ("half_pixel", "asymmetric", "align_corners"):
                names: dict[str, Any] = {"mode": mode}
                names["coordinate_transformation_mode"] = places
                y = parts.net.op("Resize", parts.add(shape), roi, scales, **names)
                parts.keep(y, (*shape[:2], shape[2] * factor, shape[3] * factor))
    return {"resize_": 6 * len(SIZED)}


def _kept(parts: _Parts) -> dict[str, int]:
    """Products that are outputs too: what follows them may not become part of them."""
    net = parts.net
    y = net.op("MatMul", parts.add((3, 8)), net.normal((8, 5), 1))
    z = net.op("Conv", parts.add((1, 4, 6, 6)), net.normal((8, 4, 3, 3), 1))
    for value, shape in ((y, (3, 5)), (z, (1, 8, 4, 4))):
        parts.keep(value, shape)
        parts.keep(net.op("Relu", value), shape)
    return {"matmul_packed": 1, "conv_packed": 1}


def _batches(parts: _Parts) -> dict[str, int]:
    """Products of batches, one factor of which is the same for all."""
    net, add = parts.net, parts.add
    one = add((1, 5, 7))
    parts.keep(net.op("MatMul", add((4, 3, 5)), one), (4, 3, 7))
    parts.keep(net.op("MatMul", add((2, 4, 3, 5)), one), (2, 4, 3, 7))
    parts.keep(net.op("MatMul", add((2, 5)), add((6, 5, 3))), (6, 2, 3))
    parts.keep(net.op("MatMul", add((6, 2, 5)), add((6, 5, 3))), (6, 2, 3))
    return {"matmul_": 4}


def _outputs(parts: _Parts) -> dict[str, int]:
    """Outputs that are an input, another output, a view of an output, or a constant."""
    net, x, shape = parts.net, parts.add((2, 3)), (2, 3)
    y = net.op("Relu", x)
    for value in (x, y, y, net.normal(shape, 1)):
        parts.keep(value, shape)
    flat = net.op("Reshape", y, net.constant(np.array([3, 2])))
    parts.keep(flat, (3, 2))
    return {"copy_24": 1}


PARTS = (
    *(_permuted, _joined, _chosen, _pooled, _normalised, _resized),
    *(_kept, _batches, _outputs),
)


@pytest.mark.parametrize("target", ["mvp", "simd128", "relaxed-simd"])
@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.__name__.strip("_"))
def test_parts(
    part: Callable[[_Parts], dict[str, int]],
    target: str,
    tmp_path: Path,
    pytestconfig: pytest.Config,
) -> None:
    """What models are made of besides products, and by which kernels."""
    parts = _Parts("parts")
    kernels = part(parts)
    got, used = _built_parts(parts, target, tmp_path, pytestconfig)
    for name, count in kernels.items():
        assert sum(bool(re.match(name, n)) for n in used) == count, (name, used)
    want = session_of(tmp_path / "parts.onnx").run(None, parts.given)
    manifest = json.loads((tmp_path / "parts.manifest.json").read_text())
    assert_close(got, want, manifest["tolerance"])


def _built_parts(
    parts: _Parts, target: str, folder: Path, config: pytest.Config
) -> tuple[list[Array], list[str]]:
    """Results of the model, and names of its kernels."""
    file = folder / "parts.onnx"
    onnx.save(parts.net.model(**parts.outputs), file)
    place, options = Place(folder, folder / "cache"), Options(target)
    runtime = _runtime(config, target)
    manifest = build_model(file, options, place, runtime, lambda _: None)
    got = ops_wasm32.load(folder / "parts.wasm")(**parts.given)
    assert list(parts.outputs) == [v["name"] for v in manifest["outputs"]]
    return list(got), [k["name"] for k in manifest["kernels"]]


LEAST = (("uint8", 0), ("uint8", 100), ("int8", -128), ("int8", -7))
# Zero points of results, the least or not, with and without ReLU before.
QUANTIZED = [(dtype, z, r) for dtype, z in LEAST for r in (True, False)]


@pytest.mark.parametrize("target", ["mvp", "simd128"])
def test_quantized_layers_are_exact(
    target: str, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """By scales that are powers of 2 every level is what integers give."""
    parts = _Parts("quantized")
    net, rng = parts.net, np.random.default_rng(0)
    bytes_ = rng.integers(0, 256, (6, 32)).astype("uint8")
    weights = rng.integers(-128, 128, (32, 8)).astype("int8")
    scales = [net.constant(np.array(s, "float32")) for s in (0.5, 0.25, 16.0)]
    parts.given["x"] = bytes_
    zero = net.constant(np.array(120, "uint8"))
    x = net.input("x", bytes_.shape, "uint8")
    x = net.op("DequantizeLinear", x, scales[0], zero)
    w = net.op("DequantizeLinear", net.constant(weights), scales[1])
    product, wanted = net.op("MatMul", x, w), []
    sums = (bytes_.astype("int64") - 120) @ weights.astype("int64")
    for dtype, point, relu in QUANTIZED:
        y = net.op("Relu", product) if relu else product
        place = net.constant(np.array(point, dtype))
        y = net.op("QuantizeLinear", y, scales[2], place)
        parts.keep(net.op("Cast", y, to=onnx.TensorProto.FLOAT), (6, 8))
        ends = np.iinfo(dtype)
        levels = np.rint(np.maximum(sums, 0 if relu else sums.min()) / 128) + point
        wanted.append(np.clip(levels, ends.min, ends.max))
    assert all(np.unique(levels).size > 9 for levels in wanted)
    got, used = _built_parts(parts, target, tmp_path, pytestconfig)
    # ReLU changes no limit where the zero point is the least: one kernel for both.
    kernels = sum(name.startswith("quantized_conv") for name in used)
    assert kernels == len(QUANTIZED) - 2
    for levels, want in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(levels, want)


@pytest.mark.parametrize("external", [False, True])
def test_builds_are_alike(
    external: bool, tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    target = "simd128"
    runtime = _runtime(pytestconfig, target)
    made = []
    for name in ("first", "second"):
        place = Place(tmp_path / name, tmp_path / f"{name}-cache")
        options = Options(target, external=external)
        build_model(LENET, options, place, runtime, lambda _: None)
        made.append({p.name: p.read_bytes() for p in place.folder.iterdir()})
    assert made[0] == made[1]
