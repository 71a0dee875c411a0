"""A row of the bench: our call, the same call for each peer, its unit and goals."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike
from ops_wasm32.convert import Array

from toolchain.targets import TARGETS as KNOWN
from toolchain.targets import simd_families

Attributes = Mapping[str, Any]  # an operator's, of the kinds that it takes
# What is measured, of each set of features with SIMD.
TARGETS = tuple(family[0].name for family in simd_families())
ENGINE_NAMES = {"wasmtime": "wasmtime", "node": "Node"}
ENGINES = tuple(ENGINE_NAMES)
ORT_WEB: Final = "onnxruntime-web"
TFJS: Final = "tensorflow.js"
Against = Literal["ceiling", "stream", "best peer", "onnxruntime-web"]

# Orders of axes, and what a row says where the peers' layouts are others.
NHWC, NCHW = (0, 2, 3, 1), (0, 3, 1, 2)
LAYOUTS = "NCHW; TensorFlow.js: NHWC"


def fuses(target: str) -> bool:
    """Whether a target fuses multiply-adds; the bits of others are every engine's."""
    return KNOWN[target].contract


@dataclass(frozen=True)
class Goal:
    """What a rate must be, divided by another: 0.85 of the ceiling, 1.7 x a peer's.

    ceiling: the engine's arithmetic. stream: its bandwidth at the row's size. Peers
    are compared in Node alone. relaxed, simd128: with and without fused multiply-adds.
    node_relaxed: another goal for the first in Node. or_rate: operations per second
    that are enough by themselves.
    """

    against: Against
    relaxed: float
    simd128: float
    node_relaxed: float | None = None
    or_rate: float | None = None

    def wanted(self, engine: str, target: str) -> float:
        """What the goal is for a target in an engine."""
        if not fuses(target):
            return self.simd128
        if engine == "node" and self.node_relaxed is not None:
            return self.node_relaxed
        return self.relaxed


@dataclass(frozen=True)
class Pack:
    """An operator that makes an input's packed form, outside of what is timed."""

    operator: str
    index: int
    attributes: Attributes = field(default_factory=dict)


@dataclass(frozen=True)
class Ours:
    """A call of ours, as in Library.call()."""

    operator: str
    inputs: tuple[Array, ...]
    attributes: Attributes = field(default_factory=dict)
    pack: Pack | None = None


@dataclass(frozen=True)
class Onnx:
    """An ONNX node. constants: inputs that are initialisers, by their number.

    perm: transposes its output to the layout of ours.
    """

    op_type: str
    inputs: tuple[Array, ...]
    constants: tuple[int, ...] = ()
    attributes: Attributes = field(default_factory=dict)
    perm: tuple[int, ...] | None = None
    opset: int = 21


@dataclass(frozen=True)
class Tfjs:
    """An operator of bench/node/tfjs.mjs. unpack: the input packed in every call."""

    operator: str
    inputs: tuple[Array, ...]
    attributes: Attributes = field(default_factory=dict)
    unpack: int | None = None
    perm: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Case:
    """A computation in the terms of each participant. numpy: float32, timed.

    reference: what the results are compared with; None: native ONNX Runtime's.
    tolerance: largest difference, in the reference's largest magnitude.
    """

    ours: Ours
    onnx: Onnx | None
    tfjs: Tfjs | None = None
    numpy: Callable[[], Array] | None = None
    reference: Callable[[], Array] | None = None
    tolerance: float = 1e-5


@dataclass(frozen=True)
class Row:
    """A line of the table.

    unit: what its rate counts. work: operations (flop), multiply-adds twice (int8)
    or bytes, of one call. traffic: bytes of one call, each tensor once. stream: kind
    and bytes of one array of the stream beside it.
    """

    name: str
    operator: str
    make: Callable[[], Case]
    goals: tuple[Goal, ...]
    unit: Literal["flop", "int8", "byte"]
    work: float
    operations: float
    traffic: float
    stream: tuple[str, int] | None = None
    note: str = ""


def floats(*shapes: tuple[int, ...]) -> tuple[Array, ...]:
    """Normally distributed float32, the same at each call."""
    rng = np.random.default_rng(sum(math.prod(s) for s in shapes))
    return tuple(rng.standard_normal(s, dtype=np.float32) for s in shapes)


def in_float64(
    function: Callable[..., ArrayLike], *inputs: Array
) -> Callable[[], Array]:
    """A reference: the function of the inputs in float64."""
    return lambda: np.asarray(function(*(x.astype(np.float64) for x in inputs)))


def byte_count(*shapes: tuple[int, ...]) -> int:
    """Bytes of float32 tensors."""
    return 4 * sum(math.prod(s) for s in shapes)


def both(against: Against, goal: float) -> Goal:
    """One goal for both targets."""
    return Goal(against, goal, goal)
