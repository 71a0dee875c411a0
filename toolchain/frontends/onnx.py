"""ONNX: a model file becomes Relax, by TVM's importer with what it lacks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from toolchain.frontends import Model, plain


def read(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> Model:
    """Read an ONNX file; see toolchain.frontends.read_model."""
    import onnx
    from tvm.relax.frontend.onnx import from_onnx

    model = onnx.load(path)
    module = from_onnx(model, keep_params_in_input=False)
    weights = {w.name for w in model.graph.initializer}
    inputs = [i.name for i in model.graph.input if i.name not in weights]
    return Model(
        plain(path.stem),
        module,
        [plain(n) for n in inputs],
        [plain(o.name) for o in model.graph.output],
    )
