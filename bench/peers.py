"""Peers: who ours is compared with, and their installation.

What a peer's binding costs is left out of its figures. ONNX Runtime runs a model of
one node and a model of many equal ones: the difference is the nodes' time, without
session.run and the copies around it. TensorFlow.js' kernels are timed inside its
backend, see bench/node/tfjs.mjs.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
from ops_wasm32.convert import Array

from bench.errors import PeerError
from bench.library import SCRIPTS, NodeProcess
from bench.models import FIRST_NODES, enough_nodes, model
from bench.records import Json
from bench.row import ORT_WEB, TFJS, Case, Onnx, Tfjs

PACKAGES = SCRIPTS / "package.json"


def versions() -> dict[str, str]:
    """Pinned version of each package."""
    found: dict[str, str] = json.loads(PACKAGES.read_text())["dependencies"]
    return found


def install(folder: Path) -> list[str]:
    """Install the pinned packages into a folder; the command of its Node."""
    folder.mkdir(parents=True, exist_ok=True)
    copy = folder / "package.json"
    wanted = PACKAGES.read_text()
    if not copy.exists() or copy.read_text() != wanted or not _node(folder):
        npm_install(folder, wanted)
        copy.write_text(wanted)
    node = _node(folder)
    if node is None:
        raise PeerError(
            f"npm did not put a Node into {folder}/node_modules/node: it did not run "
            "the script of that package; allow scripts (npm config get ignore-scripts "
            f"says false), remove {folder} and run doit bench again"
        )
    return [str(node)]


def npm_install(folder: Path, packages: str) -> None:
    """Install what a package.json asks for into a folder's node_modules."""
    npm = shutil.which("npm")
    if npm is None:
        raise PeerError(
            "npm is not installed, and the peers come from it; install Node.js with "
            "npm (any version from 20) and run doit bench again"
        )
    work = folder / "new"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    (work / "package.json").write_text(packages)
    words = [npm, "install", "--no-audit", "--no-fund", "--no-package-lock"]
    names = json.loads(packages)["dependencies"]
    print(f"installing the peers into {folder}: {', '.join(names)}")
    done = subprocess.run(words, cwd=work, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeerError(
            f"npm failed with exit code {done.returncode}; check the network, then "
            f"run: cd {work} && {' '.join(words)}\n{done.stderr.strip()}"
        )
    shutil.rmtree(folder / "node_modules", ignore_errors=True)
    (work / "node_modules").replace(folder / "node_modules")
    shutil.rmtree(work)


def _node(folder: Path) -> Path | None:
    """Path of the Node that the package `node` brought."""
    package = folder / "node_modules" / "node"
    places = [*package.glob("node_modules/*/bin/node"), package / "bin" / "node"]
    return next((p for p in places if p.is_file()), None)


def web_module(folder: Path) -> Path:
    """The module of ONNX Runtime Web that runs models on one thread or more."""
    package = folder / "node_modules" / "onnxruntime-web"
    return package / "dist" / "ort-wasm-simd-threaded.wasm"


class WebModel:
    """A model in ONNX Runtime Web, which a process of ort.mjs has loaded.

    seconds: to create the session from bytes; for the first of a process, with the
    start of its module.
    """

    def __init__(
        self,
        process: NodeProcess,
        file: str | Path,
        feeds: dict[str, Array],
        *,
        key: str = "model",
        optimized: bool = False,
    ) -> None:
        self.process, self.key = process, key
        self.seconds = float(
            process.ask(
                do="load",
                key=key,
                model=str(file),
                feeds=files(process, feeds),
                optimized=optimized,
            )
        )

    def results(self) -> list[Array]:
        """The outputs."""
        folder = self.process.folder.name
        found = self.process.ask(do="results", key=self.key, folder=folder)
        return [np.fromfile(y["file"], y["dtype"]).reshape(y["shape"]) for y in found]

    def run(self, n: int) -> float:
        """Seconds of n inferences."""
        return float(self.process.ask(do="run", key=self.key, n=n))


class OnnxRuntimeWeb:
    """An operator in ONNX Runtime Web: its WebAssembly provider, one thread."""

    name = ORT_WEB

    def __init__(self, node: list[str], folder: Path) -> None:
        self.process = NodeProcess(node, "ort.mjs", str(folder))
        self.nodes = FIRST_NODES

    def prepare(self, case: Case) -> bool:
        """Load the row's models; whether the peer has the row."""
        self.process.ask(do="forget")
        if case.onnx is None:
            return False
        self.onnx = case.onnx
        self.one = self._load("one", 1)
        self.many = self._load("many", 1 + FIRST_NODES)
        self.nodes = FIRST_NODES
        self._times(1)
        nodes = enough_nodes(self._difference())
        if nodes != self.nodes:
            self.many = self._load("many", 1 + nodes)
            self.nodes = nodes
        return True

    def _load(self, key: str, nodes: int) -> WebModel:
        data, feeds = model(self.onnx, nodes)
        file = self.process.file(f"{key}.onnx", data)
        return WebModel(self.process, file, feeds, key=key)

    def _times(self, n: int) -> tuple[float, float]:
        return self.one.run(n), self.many.run(n)

    def _difference(self) -> float:
        one, many = self._times(1)
        return (many - one) / self.nodes

    def result(self) -> Array:
        """The result, in the layout of ours."""
        (y,) = self.many.results()
        return laid_out(y, self.onnx)

    def run(self, n: int) -> float:
        """Seconds of n operators."""
        runs = max(1, round(n / self.nodes))
        one, many = self._times(runs)
        return (many - one) / self.nodes / runs * n

    def overhead(self, n: int = 50) -> float:
        """Seconds of a call of the model with one node, binding included."""
        return self.one.run(n) / n


def laid_out(y: Array, form: Onnx | Tfjs) -> Array:
    """A peer's result in the layout of ours."""
    return y if form.perm is None else y.transpose(form.perm)


def files(process: NodeProcess, feeds: dict[str, Array]) -> Json:
    """Write tensors where Node reads them; what it is told of each."""
    return {
        name: {
            "dtype": str(value.dtype),
            "shape": list(value.shape),
            "file": process.file(f"{name}.bin", value.tobytes()),
        }
        for name, value in feeds.items()
    }


class TensorFlowJs:
    """TensorFlow.js: its WebAssembly backend in Node, SIMD, one thread."""

    name = TFJS

    def __init__(self, node: list[str], folder: Path) -> None:
        self.process = NodeProcess(node, "tfjs.mjs", str(folder))

    def prepare(self, case: Case) -> bool:
        """Put the row's tensors into its heap; whether the peer has the row."""
        if case.tfjs is None:
            return False
        self.tfjs = case.tfjs
        inputs = {str(i): x for i, x in enumerate(case.tfjs.inputs)}
        self.process.ask(
            do="prepare",
            operator=case.tfjs.operator,
            inputs=list(files(self.process, inputs).values()),
            attributes=dict(case.tfjs.attributes),
            unpack=case.tfjs.unpack,
        )
        return True

    def result(self) -> Array:
        """The result, in the layout of ours."""
        path = self.process.folder.name + "/y"
        shape = self.process.ask(do="result", file=path)
        dtype = "int32" if self.tfjs.operator == "argMax" else "float32"
        return laid_out(np.fromfile(path, dtype).reshape(shape), self.tfjs)

    def run(self, n: int) -> float:
        """Seconds of n operators."""
        return float(self.process.ask(do="run", n=n))

    def overhead(self, n: int = 1000) -> float:
        """Seconds of a call, binding included."""
        return float(self.process.ask(do="run_whole", n=n)) / n
