"""Recipe: the vocabulary of models/*.py, which write ONNX files by program."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolchain.records.replace import fresh
from toolchain.spec import SpecError

OPSET = 20


class Net:
    """An ONNX graph under construction; methods return names of values.

    Weights are drawn from one generator, so that the same calls give the same file.
    """

    def __init__(self, name: str, seed: int = 0) -> None:
        self.name = name
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.initializers: list[Any] = []
        self.inputs: list[Any] = []
        self.count = 0

    def input(
        self, name: str, shape: Sequence[int | str], dtype: str = "float32"
    ) -> str:
        """An input of the model; a size may be a name."""
        from onnx import helper

        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self.inputs.append(helper.make_tensor_value_info(name, kind, list(shape)))
        return name

    def constant(self, data: NDArray[Any]) -> str:
        """A weight with these elements."""
        from onnx import numpy_helper

        name = self._name("w")
        self.initializers.append(numpy_helper.from_array(np.asarray(data), name))
        return name

    def normal(self, shape: Sequence[int], scale: float) -> str:
        """A weight drawn from a normal distribution."""
        data = self.rng.standard_normal(tuple(shape)) * scale
        return self.constant(data.astype("float32"))

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """An operation; the name of its output, or a list of several."""
        from onnx import helper

        names = [self._name(kind.lower()) for _ in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def conv(
        self,
        x: str,
        channels: tuple[int, int],
        size: int,
        *,
        stride: int = 1,
        pad: int | None = None,
        group: int = 1,
        bias: bool = False,
    ) -> str:
        """A square convolution from channels[0] to channels[1]."""
        source, features = channels
        depth = source // group
        pads = [size // 2 if pad is None else pad] * 4
        scale = float(np.sqrt(2 / (depth * size * size)))
        weights = [self.normal((features, depth, size, size), scale)]
        if bias:
            weights.append(self.normal((features,), 0.1))
        return str(
            self.op("Conv", x, *weights, strides=[stride] * 2, pads=pads, group=group)
        )

    def batch_norm(self, x: str, channels: int, gain: float = 1.0) -> str:
        """Batch normalization with statistics near (0, 1)."""
        draw = self.rng.uniform
        values = (
            gain * draw(0.8, 1.2, channels),
            draw(-0.1, 0.1, channels),
            draw(-0.1, 0.1, channels),
            draw(0.8, 1.2, channels),
        )
        weights = [self.constant(v.astype("float32")) for v in values]
        return str(self.op("BatchNormalization", x, *weights))

    def dense(self, x: str, sizes: tuple[int, int], gain: float = 1.0) -> str:
        """X @ w + b over the last axis."""
        w = self.normal(sizes, gain / float(np.sqrt(sizes[0])))
        b = self.normal((sizes[1],), 0.02)
        return str(self.op("Add", self.op("MatMul", x, w), b))

    def layer_norm(self, x: str, size: int) -> str:
        """Layer normalization over the last axis."""
        gamma = self.constant(self.rng.uniform(0.8, 1.2, size).astype("float32"))
        beta = self.normal((size,), 0.1)
        return str(self.op("LayerNormalization", x, gamma, beta, axis=-1))

    def model(self, **outputs: tuple[str, Sequence[int | str]]) -> Any:
        """The ONNX model; outputs: name = (value, shape), all float32."""
        from onnx import TensorProto, checker, helper

        for name, (value, _) in outputs.items():
            self.nodes.append(helper.make_node("Identity", [value], [name]))
        infos = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
            for name, (_, shape) in outputs.items()
        ]
        graph = helper.make_graph(
            self.nodes, self.name, self.inputs, infos, self.initializers
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=9,
            producer_name="ops-wasm32",
        )
        checker.check_model(model, full_check=True)
        return model

    def _name(self, kind: str) -> str:
        self.count += 1
        return f"{kind}_{self.count}"


def load_recipe(source: Path) -> Any:
    """The module of a recipe: a file with `build()`, which gives an ONNX model."""
    spec = importlib.util.spec_from_file_location(f"_recipe_{source.stem}", source)
    if spec is None or spec.loader is None:
        raise SpecError(f"{source}: is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "build"):
        raise SpecError(f"{source}: has no function build() that gives an ONNX model")
    return module


def write_model(
    source: Path, out: Path, sizes: Mapping[str, int | str] | None = None
) -> None:
    """Write the model of a recipe.

    sizes: arguments of its build(), where the model is to have others, or open ones.
    """
    import onnx

    module = load_recipe(source)
    with fresh(out) as new:
        onnx.save(module.build(**(sizes or {})), new)
