"""Measuring open sizes: a module for any, and one for each set, in the same rounds."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from ops_wasm32.draw import random_inputs

from bench.errors import BuildError
from bench.library import Call, Node, NodeProcess, Wasmtime
from bench.measure import NODE_LIBRARIES, Participant, compare, rounds, timed
from bench.records import MeasuredOpen, Rounds
from bench.row import TARGETS
from bench.whole.measure import (
    WARM,
    Bench,
    Native,
    manifest_of,
    model_call,
    model_of_module,
)
from bench.whole.rows import BUILT, OpenRow

OPEN, FIXED, PLAN = "open", "fixed", "plan"  # participants of an engine and target
Sizes = Mapping[str, int]
Key = tuple[str, str]  # engine and target


def label(sizes: Sizes) -> str:
    """A set of sizes in words."""
    return ", ".join(f"{name} {n}" for name, n in sizes.items())


def module(bench: Bench, row: OpenRow, target: str, sizes: Sizes) -> Path:
    """The module for sizes, open where none are given. Errors: BuildError."""
    wasm = row.folder(bench.models, sizes) / target / f"{row.key}.wasm"
    if not wasm.exists():
        raise BuildError(f"{wasm} is missing; run doit bench models {row.key}")
    return wasm


def measured(bench: Bench, row: OpenRow) -> MeasuredOpen:
    """Measure a row; see judge.judged_open for what becomes of it."""
    sets: tuple[Sizes, ...] = ({}, *row.sizes)
    modules = {t: [module(bench, row, t, s) for s in sets] for t in BUILT}
    steps = manifest_of(modules[TARGETS[0]][0])["steps"]
    return {
        "rounds": {label(s): _rounds(bench, row, s) for s in row.sizes},
        "code": {t: [m.stat().st_size for m in ms] for t, ms in modules.items()},
        "steps": len(steps),
    }


def _rounds(bench: Bench, row: OpenRow, sizes: Sizes) -> dict[str, Rounds]:
    """Rounds at one set of sizes, by engine, target and participant."""
    fixed = model_of_module(module(bench, row, TARGETS[0], sizes))
    inputs = random_inputs(fixed, seed=0, max_int=1)
    wanted = Native(row.file(bench.models), inputs).results()
    parts: dict[str, Participant] = {}
    with bench.process("library.mjs") as node:
        for kind, given in ((OPEN, {}), (FIXED, sizes)):
            modules = _modules(bench, row, given)
            hosts = {key: _host(key[0], m, node) for key, m in modules.items()}

            def call(key: Key, modules: dict[Key, Path] = modules) -> Call:
                return model_call(modules[key], inputs, fixed)

            compare(f"{row.name}, {kind}", hosts, call, wanted, row.tolerance)
            for key, host in hosts.items():
                name = "/".join(key)
                parts[f"{name}/{kind}"] = Participant(host.run, 1)
                if kind == OPEN:  # what ops_infer does beside planning is little
                    plan = partial(host.run, export="ops_infer")
                    parts[f"{name}/{PLAN}"] = Participant(plan, 1)
        timed(list(parts.values()), WARM)
    return rounds(parts)


def _modules(bench: Bench, row: OpenRow, sizes: Sizes) -> dict[Key, Path]:
    """What each engine runs for each target."""
    found: dict[Key, Path] = {}
    for target in TARGETS:
        found["wasmtime", target] = module(bench, row, target, sizes)
        found["node", target] = module(bench, row, NODE_LIBRARIES[target][0], sizes)
    return found


def _host(engine: str, module: Path, node: NodeProcess) -> Wasmtime | Node:
    return Wasmtime(module) if engine == "wasmtime" else Node(node, module)
