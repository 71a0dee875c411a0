"""Ceilings: what an engine can do at most, measured beside the rows."""

from __future__ import annotations

from typing import Protocol

from ops_wasm32.tables import PAGE

from bench import loops
from bench.library import NodeLoop, NodeProcess, WasmtimeLoop
from bench.row import fuses

# Bytes of one array, so that a stream of two lies inside a level of common caches.
LEVELS = {"L1": 8 << 10, "L2": 256 << 10, "L3": 4 << 20, "memory": 96 << 20}
STEP = 128  # bytes: sizes of streams are multiples of it
FLOAT = tuple(name for name in loops.RATES if "dot" not in name)
INT8 = tuple(name for name in loops.RATES if "dot" in name)


class Loop(Protocol):
    """A loop in an engine."""

    def run(self, *arguments: int) -> float:
        """Seconds of one call; the last argument says how often it loops."""


class Ceilings:
    """The loops of one engine; node: the process, None for wasmtime."""

    def __init__(self, node: NodeProcess | None = None) -> None:
        self.node = node
        self._loops: dict[str, Loop] = {}

    def _loop(self, name: str, text: str) -> Loop:
        if self.node:
            return NodeLoop(self.node, name, text)
        return WasmtimeLoop(text)

    def rate(self, name: str) -> tuple[Loop, tuple[int, ...], float]:
        """The loop of a rate, its first arguments, the work of an iteration."""
        rate = loops.RATES[name]
        if name not in self._loops:
            self._loops[name] = self._loop(name, loops.rate_module(rate))
        return self._loops[name], (), rate.work * loops.CHAINS * loops.UNROLL

    def stream(self, kind: str, size: int) -> tuple[Loop, tuple[int, ...], float]:
        """The same of a stream over arrays of about `size` bytes; work in bytes."""
        size = max(STEP, size - size % STEP)
        arrays = loops.STREAMS[kind]
        pages = (arrays * size + STEP) // PAGE + 2
        # Not kept: Node would hold the memory of every row.
        loop = self._loop("stream", loops.stream_module(kind, pages))
        return loop, (size,), arrays * size


def of_target(target: str) -> tuple[str, ...]:
    """The float rates that a target can reach: that of fused multiply-adds, if any."""
    return FLOAT if fuses(target) else ("mul+add",)


def most(target: str, rates: dict[str, float]) -> float:
    """The ceiling of a target among float rates of one engine."""
    return max(rates[name] for name in of_target(target))
