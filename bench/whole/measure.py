"""Measuring a model: results of all participants are compared, then timed in rounds."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from ops_wasm32.convert import Array
from ops_wasm32.draw import random_inputs
from ops_wasm32.model import Model, model_of, read_weights

from bench import measure
from bench.errors import BuildError
from bench.library import Call, Node, NodeProcess, Wasmtime
from bench.measure import (
    NODE_LIBRARIES,
    Participant,
    difference,
    rounds,
    timed,
)
from bench.models import inference_session
from bench.peers import WebModel, files
from bench.records import Json, MeasuredModel
from bench.row import ORT_WEB, TARGETS
from bench.whole.rows import BUILT, Row

WARM = 2.0  # seconds at most until V8 has compiled a model
STARTS = 5  # Node processes that start a module each
WEB, NATIVE = f"node/{ORT_WEB}", "native/onnxruntime"
Hosts = dict[tuple[str, str], tuple[Wasmtime | Node, Path]]


@dataclass(frozen=True)
class Bench:
    """What all rows share. node: its command, peers: the folder of its packages.

    models: the folder of built models, sources: models/.
    """

    node: list[str]
    peers: Path
    models: Path
    sources: Path

    def module(self, row: Row, target: str) -> Path:
        """The module of a row. Errors: BuildError where it is not built."""
        wasm = row.folder(self.models) / target / f"{row.model}.wasm"
        if not wasm.exists():
            raise BuildError(f"{wasm} is missing; run doit bench models {row.model}")
        return wasm

    def onnx(self, row: Row) -> Path:
        """The row's file for ONNX Runtime: of the sources, or a recipe's."""
        if row.onnx:
            return self.sources.parent / row.onnx
        file = self.sources / f"{row.model}.onnx"
        return file if file.exists() else self.models / row.model / file.name

    @contextmanager
    def process(self, script: str) -> Iterator[NodeProcess]:
        """A Node process for a script of bench/node/."""
        process = NodeProcess(self.node, script, str(self.peers))
        try:
            yield process
        finally:
            process.close()


def measured(bench: Bench, row: Row) -> MeasuredModel:
    """Measure a row; see judge.judged for what becomes of it."""
    modules = {target: bench.module(row, target) for target in BUILT}
    deployed = {t: modules[NODE_LIBRARIES[t][0]] for t in TARGETS}
    manifests = {t: manifest_of(m) for t, m in modules.items()}
    model = model_of_module(deployed[TARGETS[0]])
    inputs = random_inputs(model, seed=0, max_int=1)
    native = Native(bench.onnx(row), inputs)
    loader = partial(Loader, deployed[TARGETS[0]], model, inputs)

    def web(process: NodeProcess) -> WebModel:
        return WebModel(process, bench.onnx(row), native.feeds, optimized=True)

    with bench.process("library.mjs") as node, bench.process("ort.mjs") as other:
        hosts: Hosts = {}
        for target in TARGETS:
            hosts["wasmtime", target] = Wasmtime(modules[target]), modules[target]
            module = deployed[target]
            hosts["node", target] = Node(node, module), module
        wanted = native.results()
        compare(row, hosts, inputs, wanted)
        parts: dict[str, Callable[[int], float]] = {
            "/".join(key): host.run for key, (host, _) in hosts.items()
        }
        parts["node/run"] = loader(node).run
        peer = web(other)
        notes = _peer_notes(row, peer.results(), wanted)
        if not notes:
            parts[WEB] = peer.run
        parts[NATIVE] = native.run
        participants = {name: Participant(run, 1) for name, run in parts.items()}
        timed(list(participants.values()), WARM)
    return {
        "rounds": rounds(participants),
        "notes": notes,
        "starts": _starts(bench, deployed, loader, web),
        "memory": {t: m["memory"] for t, m in manifests.items()},
        "code": {t: m.stat().st_size for t, m in modules.items()},
    }


def manifest_of(module: Path) -> Json:
    """The manifest beside a module."""
    found: Json = json.loads(module.with_suffix(".manifest.json").read_text())
    return found


def model_of_module(module: Path) -> Model:
    """What a module's manifest says of its model."""
    model = model_of(manifest_of(module), str(module))
    assert model is not None
    return model


def model_call(module: Path, inputs: list[Array], shapes: Model | None = None) -> Call:
    """The call of a model whose weights lie beside it. shapes: whose outputs' are its.

    None: its own.
    """
    model = model_of_module(module)
    assert model.weights is not None
    weights = np.frombuffer(read_weights(model.weights, module), np.uint8)
    outputs = tuple((t.dtype, t.numbers()) for t in (shapes or model).outputs)
    return Call(model.name, (*inputs, weights), outputs)


def compare(row: Row, hosts: Hosts, inputs: list[Array], wanted: list[Array]) -> None:
    """Run every host once. Errors: MismatchError for a result that differs."""
    runners = {key: host for key, (host, _) in hosts.items()}

    def call(key: tuple[str, str]) -> Call:
        return model_call(hosts[key][1], inputs)

    measure.compare(row.name, runners, call, wanted, row.tolerance)


def _peer_notes(row: Row, got: list[Array], wanted: list[Array]) -> list[str]:
    """Why ONNX Runtime Web is left out, where its results differ."""
    reasons = (
        difference(a, b, row.tolerance) for a, b in zip(got, wanted, strict=True)
    )
    return [f"{ORT_WEB}: left out, its result is another: {r}" for r in reasons if r]


def _starts(
    bench: Bench,
    modules: dict[str, Path],
    loader: Callable[[NodeProcess], Loader],
    web: Callable[[NodeProcess], WebModel],
) -> dict[str, list[float]]:
    """Seconds of starts, each in a process of its own: V8 keeps what it compiled.

    node/<target>: compile and instantiate a module, its file read before. Others:
    until model and weights are there, and until the first answer.
    """
    found: dict[str, list[float]] = {}
    for _ in range(STARTS):
        for target, module in modules.items():
            with bench.process("library.mjs") as process:
                seconds = process.ask(do="start", library=str(module))
                found.setdefault(f"node/{target}", []).append(float(seconds))
        for name, script, load in (
            ("node/run", "library.mjs", loader),
            (WEB, "ort.mjs", web),
        ):
            with bench.process(script) as process:
                made = load(process)
                found.setdefault(name, []).append(made.seconds)
                first = made.seconds + made.run(1)
                found.setdefault(f"{name}, first", []).append(first)
    return found


class Loader:
    """A model by the JavaScript loader's run(), which copies inputs and outputs.

    seconds: to load it; weights are read, checked and copied.
    """

    def __init__(
        self, module: Path, model: Model, inputs: list[Array], process: NodeProcess
    ) -> None:
        named = {t.name: x for t, x in zip(model.inputs, inputs, strict=True)}
        self.process, self.key = process, str(module)
        self.seconds = float(
            process.ask(
                do="load_model",
                key=self.key,
                library=str(module),
                inputs=files(process, named),
            )
        )

    def run(self, n: int) -> float:
        """Seconds of n inferences."""
        return float(self.process.ask(do="run_model", key=self.key, n=n))


class Native:
    """A model in native ONNX Runtime, with all of its optimisations."""

    def __init__(self, file: Path, inputs: list[Array]) -> None:
        self.session = inference_session(str(file), optimized=True)
        names = [i.name for i in self.session.get_inputs()]
        self.feeds = dict(zip(names, inputs, strict=True))

    def results(self) -> list[Array]:
        """The outputs."""
        return list(self.session.run(None, self.feeds))

    def run(self, n: int) -> float:
        """Seconds of n inferences."""
        start = time.perf_counter()
        for _ in range(n):
            self.session.run(None, self.feeds)
        return time.perf_counter() - start
