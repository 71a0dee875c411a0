"""ONNX: a model file becomes Relax, by TVM's importer with what it lacks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toolchain.frontends import Given, Model, plain, unique
from toolchain.frontends.load import load
from toolchain.frontends.sizes import with_shapes, with_values


def read(path: Path, given: Given) -> Model:
    """Read an ONNX file; see toolchain.frontends.read_model."""
    return convert(load(path), path.stem, given, str(path))


def convert(proto: Any, name: str, given: Given, where: str) -> Model:
    """A loaded model as Relax. where: what errors call it."""
    from toolchain.frontends.importer import Importer, prepared

    proto = with_values(proto, given, where)
    proto = with_shapes(prepared(proto, where), given, where)
    weights = {w.name for w in proto.graph.initializer}
    inputs = [i.name for i in proto.graph.input if i.name not in weights]
    outputs = [o.name for o in proto.graph.output]
    importer = Importer(proto, where)
    module, names = importer.module(), unique(outputs)
    places = dict(importer.places.names)
    # The variables of outputs are called as the outputs are.
    places |= {
        n: importer.makers.get(o, o) for n, o in zip(names, outputs, strict=True)
    }
    notes = tuple(importer.notes)
    return Model(plain(name), module, unique(inputs), names, places, notes)
