"""Traces of models of any size: the clock is read before each step (graph/trace.c)."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from ops_wasm32.draw import random_inputs
from ops_wasm32.model import model_of

from bench.library import Call, Wasmtime
from bench.records import Json

RUNS = 15
SPAN = 3.0  # seconds for all runs, where so many take longer
LEAST = 3  # runs, however long
PLANNING = 0xFFFF  # what is no step's: OPS_NO_VALUE
_LEAST = 1e-9  # seconds of a step that takes less than the clock sees
_ALIGNMENT = 64

# Operations of one element of the result, from the shapes of the inputs.
_OPERATIONS: dict[str, Callable[[list[tuple[int, ...]]], float]] = {
    "conv": lambda s: 2 * prod(s[1][1:]),
    "conv_packed": lambda s: 2 * s[1][1],
    "depthwise_packed": lambda s: 2 * prod(s[1][:2]),
    "matmul": lambda s: 2 * s[0][-1],
    "matmul_packed": lambda s: 2 * s[1][1],
    # Of its 36 products, for each of 16 pixels; its transforms are not counted.
    "winograd_conv": lambda s: 2 * s[1][1] * 36 / 16,
}


def measure(trace: Json, wasm: Path) -> Json:
    """Seconds and shapes of each step, and where values lay, as bench/trace.py draws.

    Of several runs with the same inputs the least; a step runs on what the one before
    has just written.
    """
    model = model_of(trace, str(wasm))
    assert model is not None
    inputs = random_inputs(model, seed=0, max_int=1, sizes=trace["at"])
    host = Wasmtime(wasm)
    outputs = tuple((t.dtype, None) for t in model.outputs)
    host.prepare(Call(model.name, tuple(inputs), outputs))
    count = len(trace["steps"])
    best, whole, spent = np.full(count, np.inf), float("inf"), 0.0
    for i in range(RUNS):
        seconds = host.run(1)
        nanoseconds = [host.ask("ops_trace_spent", s) for s in range(count)]
        best, whole = np.minimum(best, nanoseconds), min(whole, seconds)
        spent += seconds
        if spent > SPAN and i + 1 >= LEAST:
            break
    return {
        "seconds": [max(float(n) * 1e-9, _LEAST) for n in best],
        "whole": whole,
        **_described(trace, host),
    }


def _described(trace: Json, host: Wasmtime) -> Json:
    """Tensors of each step, and the arena, as they were in the last run."""
    values, ids = trace["values"], range(len(trace["values"]))
    shapes = [_shape(host, v) for v in ids]
    offsets = [int(host.ask("ops_trace_offset", v)) for v in ids]

    def tensor(number: int) -> Json:
        value = values[number]
        about = {"name": value["name"], "dtype": value["dtype"]}
        return about | {"shape": list(shapes[number]), "from": value["from"]}

    def size(number: int) -> int:
        return prod(shapes[number]) * int(np.dtype(values[number]["dtype"]).itemsize)

    steps = []
    for step in trace["steps"]:
        read, written = step["reads"], step["writes"]
        count = _OPERATIONS.get(step["label"])
        each = count([shapes[v] for v in read]) if count else None
        steps.append(
            step
            | {
                "code": 0,
                "inputs": [tensor(v) for v in read],
                "outputs": [tensor(v) for v in written],
                "operations": each and each * prod(shapes[written[0]]),
                "traffic": sum(map(size, (*read, *written))),
            }
        )
    blocks, arena = _blocks(trace, offsets, size)
    for block in blocks:
        block |= tensor(block.pop("value"))
    live = [_live(blocks, i) for i in range(len(steps))]
    for step, alive in zip(steps, live, strict=True):
        step["live"] = alive
    return {
        "steps": steps,
        "blocks": blocks,
        "arena": arena,
        "lower_bound": max(live, default=0),
        "weight_bytes": trace["memory"]["weights"],
        "outputs": [{"name": o["name"]} for o in trace["outputs"]],
    }


def _shape(host: Wasmtime, value: int) -> tuple[int, ...]:
    rank = host.ask("ops_trace_size", value, -1)
    return tuple(host.ask("ops_trace_size", value, axis) for axis in range(rank))


def _blocks(
    trace: Json, offsets: list[int], size: Callable[[int], int]
) -> tuple[list[dict[str, Any]], int]:
    """Intermediates in arenas, those of segments one above the other; all bytes."""
    found, base, top, segment = [], 0, 0, 0
    ends = {v: i for i, step in enumerate(trace["steps"]) for v in step["frees"]}
    for i, step in enumerate(trace["steps"]):
        if step["segment"] != segment:
            base, segment = top, step["segment"]
        for value in step["writes"]:
            if offsets[value] < 0 or trace["values"][value]["memory"] is not None:
                continue
            count, at = size(value), base + offsets[value]
            top = max(top, at - (-count // _ALIGNMENT) * _ALIGNMENT)
            last = ends.get(value, len(trace["steps"]) - 1)
            block = {"value": value, "offset": at, "bytes": count}
            found.append(block | {"first": i, "last": last})
    return found, top


def _live(blocks: list[dict[str, Any]], step: int) -> int:
    """Bytes of what a step finds or writes."""
    return sum(b["bytes"] for b in blocks if b["first"] <= step <= b["last"])
