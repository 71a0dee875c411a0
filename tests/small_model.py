"""A small model that the tests of hosts build in every form."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from abi import runtime_objects
from ops_wasm32.command_verify import compare
from ops_wasm32.convert import Array
from ops_wasm32.exact import exact_session

from toolchain.graph.build import Place
from toolchain.model.build import Options, build_model
from toolchain.model.trace import build_trace
from toolchain.recipe import Net

TARGET = "simd128"  # any Node takes it
IMAGE = np.random.default_rng(0).standard_normal((1, 1, 12, 12), np.float32)


def small_model() -> onnx.ModelProto:
    """A convolution, a pool, a dense layer; an int64 input; two outputs."""
    net = Net("net")
    x = net.input("image", (1, 1, 12, 12))
    kind = net.input("kind", (1,), "int64")
    y = net.op("Relu", net.conv(x, (1, 8), 3, bias=True))
    y = net.op("MaxPool", y, kernel_shape=[2, 2], strides=[2, 2])
    y = net.dense(net.op("Flatten", y), (8 * 36, 10))
    table = net.normal((4, 10), 1.0)
    logits = net.op("Add", y, net.op("Gather", table, kind))
    probabilities = net.op("Softmax", logits, axis=-1)
    model: onnx.ModelProto = net.model(
        logits=(logits, (1, 10)), probabilities=(probabilities, (1, 10))
    )
    return model


class SmallModel:
    """The model built in every form, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "net_int8.onnx"  # a name that ends as kernels' do
        onnx.save(small_model(), self.file)
        cache, runtime = folder / "cache", runtime_objects(TARGET)
        for name in ("embedded", "external"):
            options = Options(TARGET, external=name == "external")
            place = Place(folder / name, cache)
            build_model(self.file, options, place, runtime, lambda _: None)
        self.embedded = folder / "embedded" / "net_int8.wasm"
        self.external = folder / "external" / "net_int8.wasm"
        place = Place(folder / "trace", cache)
        options = Options(TARGET)
        self.trace = build_trace(self.file, options, place, runtime, lambda _: None)

    def wanted(self, kind: int) -> list[Array]:
        """What ONNX Runtime gives for IMAGE."""
        session, _ = exact_session(self.file)
        return list(session.run(None, {"image": IMAGE, "kind": np.array([kind])}))

    def near(self, found: Array, wanted: Array) -> bool:
        """Whether results are within the bound that the manifest says."""
        manifest = json.loads(self.embedded.with_suffix(".manifest.json").read_text())
        return compare(found, wanted)[1] <= float(manifest["tolerance"])
