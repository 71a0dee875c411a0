"""Rows: the models that `doit bench models` measures, with every goal, as data.

dodo.py reads them to build the models, so they load nothing large.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import UnknownModelError
from toolchain.targets import simd_families

# What a row is built for: what bench/row.py measures, and what Node runs instead.
_FAMILIES = simd_families()
BUILT = (
    *(family[0].name for family in _FAMILIES),
    *(target.name for family in _FAMILIES for target in family[1:]),
)
ARENA = 1.1  # of the largest set of values that live at the same time
_KIB = 1 << 10


@dataclass(frozen=True)
class Row:
    """A line of the table.

    model: its name in models/. options: of `toolchain.model.build.Options`, where the
    model is built with others than by default. onnx: the file for ONNX Runtime, where
    the model is made of another. tolerance: the largest difference
    from ONNX Runtime's result, in its largest magnitude.

    Goals are upper limits. web: time with and without fused multiply-adds, divided by
    that of ONNX Runtime Web. native: time with them, divided by that of native ONNX
    Runtime. code: bytes of the module without weights. start: seconds to compile and
    instantiate it in Node.
    """

    name: str
    model: str
    web: tuple[float, float] | None = None
    native: float | None = None
    code: int | None = None
    start: float | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    onnx: str | None = None
    tolerance: float = 1e-4
    note: str = ""

    def folder(self, models: Path) -> Path:
        """Folder of the row's modules, one for each target, in the folder of models."""
        return models / self.model / "-".join(["external", *sorted(self.options)])


ROWS = [
    Row("LeNet", "lenet", web=(0.5, 0.5), code=16 * _KIB),
    # Its output has steps of 1/256: a step is 1e-2 of a small probability.
    Row("LeNet, int8", "lenet_int8", web=(0.5, 0.5), tolerance=2e-2),
    Row(
        "ResNet-50",
        "resnet50",
        web=(0.57, 0.7),
        code=64 * _KIB,
        start=30e-3,
        note="without Winograd",
    ),
    Row(
        "ResNet-50, Winograd",
        "resnet50",
        web=(0.5, 0.6),
        native=2.2,
        code=64 * _KIB,
        options={"winograd": True},
    ),
    Row("MobileNetV2", "mobilenet_v2", web=(0.45, 0.55), code=80 * _KIB),
    Row("encoder", "encoder", web=(0.5, 0.65), code=48 * _KIB),
    Row(
        "decoder",
        "decoder",
        web=(0.5, 0.65),
        code=48 * _KIB,
        note="one step with its KV cache",
    ),
    Row("LSTM", "lstm"),
    Row("U-Net", "unet"),
    Row("MindSpore net", "mindspore_net", onnx="tests/mindspore_net.onnx"),
]
MODELS = list(dict.fromkeys(row.model for row in ROWS))


def select(models: list[str]) -> list[Row]:
    """Rows of the models named; all for none. Errors: UnknownModelError."""
    if unknown := [n for n in models if n not in MODELS]:
        raise UnknownModelError(
            f"model {unknown[0]!r} has no row; use {', '.join(MODELS)}"
        )
    return [row for row in ROWS if not models or row.model in models]
