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


@dataclass(frozen=True)
class OpenRow:
    """A model with open sizes, beside the same model compiled for each set of sizes.

    model: its recipe in models/. arguments: of the recipe's build(), by name what its
    open sizes are called. sizes: sets of them to measure at. tolerance: as Row's.

    Goals are upper limits, of each row. OPEN_TIME: of the time of the module for those
    sizes. OPEN_CODE: of its bytes. OPEN_PLAN: seconds to plan 500 nodes for new sizes.
    """

    name: str
    model: str
    arguments: Mapping[str, str]
    sizes: tuple[Mapping[str, int], ...]
    tolerance: float = 1e-4
    note: str = ""

    @property
    def key(self) -> str:
        """What the command line and files call it."""
        return f"{self.model}_open"

    @property
    def title(self) -> str:
        """What tables call it."""
        return f"{self.name}, open"

    def file(self, models: Path) -> Path:
        """The ONNX file that the recipe writes, in the folder of models."""
        return models / self.key / f"{self.key}.onnx"

    def folder(self, models: Path, sizes: Mapping[str, int] | None = None) -> Path:
        """Folder of the modules for sizes, or of those that leave them open."""
        words = [f"{name}{n}" for name, n in (sizes or {}).items()]
        return models / self.key / ("-".join(words) or "open")


OPEN_TIME, OPEN_CODE, OPEN_PLAN, OPEN_NODES = 1.03, 1.4, 30e-6, 500
_IMAGE = {"height": "height", "width": "width"}
OPEN_ROWS = [
    OpenRow("encoder", "encoder", {"tokens": "seq"}, ({"seq": 32}, {"seq": 128})),
    OpenRow(
        "MobileNetV2",
        "mobilenet_v2",
        _IMAGE,
        ({"height": 224, "width": 224}, {"height": 160, "width": 128}),
    ),
    OpenRow(
        "U-Net",
        "unet",
        _IMAGE,
        ({"height": 96, "width": 96}, {"height": 64, "width": 160}),
    ),
    OpenRow(
        "decoder",
        "decoder",
        {"past": "past"},
        ({"past": 16}, {"past": 127}),
        note="one step; its cache grows",
    ),
]
MODELS = list(dict.fromkeys([r.model for r in ROWS] + [r.key for r in OPEN_ROWS]))


def select(models: list[str]) -> tuple[list[Row], list[OpenRow]]:
    """Rows of the models named; all for none. Errors: UnknownModelError."""
    if unknown := [n for n in models if n not in MODELS]:
        raise UnknownModelError(
            f"model {unknown[0]!r} has no row; use {', '.join(MODELS)}"
        )
    rows = [row for row in ROWS if not models or row.model in models]
    return rows, [row for row in OPEN_ROWS if not models or row.key in models]
