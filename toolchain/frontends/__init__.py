"""Frontends: model files become Relax."""

from __future__ import annotations

import re
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
    if path.suffix == ".mindir":
        from toolchain.frontends import mindir

        return mindir.read(path, shapes)
    raise SpecError(f"{path}: suffix {path.suffix!r} is unknown; use .onnx or .mindir")


def plain(name: str) -> str:
    """A name that C and Python take."""
    name = re.sub(r"\W", "_", name, flags=re.ASCII)
    return name if name[:1].isalpha() else f"t{name}"


def shapes_of(words: list[str]) -> dict[str, tuple[int, ...]]:
    """Shapes by name, from texts such as image=1,3,224,224. Errors: SpecError."""
    shapes = {}
    for word in words:
        name, _, sizes = word.rpartition("=")
        if not name or not re.fullmatch(r"\d+(,\d+)*", sizes):
            raise SpecError(
                f"--shape {word!r} is no shape; give name=sizes, as in "
                "image=1,3,224,224"
            )
        shapes[name] = tuple(int(n) for n in sizes.split(","))
    return shapes
