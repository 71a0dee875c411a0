"""Frontends: model files become Relax."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolchain.spec import SpecError


@dataclass(frozen=True)
class Model:
    """A model in Relax: `main` of the module, all of whose shapes are known.

    inputs, outputs: names that C and Python take, in the order of `main`.
    """

    name: str
    module: Any
    inputs: list[str]
    outputs: list[str]


def read_model(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> Model:
    """Read a model file, by its suffix. Errors: SpecError, with every reason at once.

    shapes: of inputs by name, where the file leaves them open.
    """
    if path.suffix == ".onnx":
        from toolchain.frontends import onnx

        return onnx.read(path, shapes)
    raise SpecError(f"{path}: suffix {path.suffix!r} is unknown; use .onnx")
