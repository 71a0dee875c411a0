"""`python -m bench.quantized [NET...]`: int8 networks beside our float32 modules.

ONNX Runtime quantizes the recipes of models/: dynamically (for each tensor, for each
channel) or statically (QDQ, QOperator; for each channel). All modules leave their sizes
open. Times are the processor's, of calls in interleaved rounds; the goal is GOAL.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import ops_wasm32
from ops_wasm32.convert import Array

from toolchain.recipe import write_model

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "build" / "bench" / "quantized"
TARGETS = ("simd128", "relaxed-simd")
ROUNDS, WARM = 15, 2
GOAL = 0.7  # of the time of the float32 module
EACH = 3.5  # bytes of float32 weights for one of the int8 module, at least


@dataclass(frozen=True)
class Net:
    """A recipe: names of its open sizes, what they are here, forms of int8."""

    arguments: Mapping[str, str]
    sizes: Mapping[str, int]
    forms: tuple[str, ...]


NETS = {
    "encoder": Net({"tokens": "seq"}, {"seq": 128}, ("tensor", "channel")),
    "mobilenet_v2": Net(
        {"height": "height", "width": "width"},
        {"height": 224, "width": 224},
        ("qdq", "qoperator"),
    ),
}


def inputs_of(file: Path, sizes: Mapping[str, int], seed: int) -> dict[str, Array]:
    """Random inputs of an ONNX file, integers 0 or 1."""
    import onnx

    rng, found = np.random.default_rng(seed), {}
    for value in onnx.load(file).graph.input:
        kind = value.type.tensor_type
        shape = [d.dim_value or sizes[d.dim_param] for d in kind.shape.dim]
        floats = kind.elem_type == onnx.TensorProto.FLOAT
        draw: Any = rng.normal(size=shape) if floats else rng.integers(0, 2, shape)
        found[value.name] = draw.astype("float32" if floats else "int64")
    return found


def quantize(source: Path, out: Path, form: str, sizes: Mapping[str, int]) -> None:
    """Write a quantized file."""
    from onnxruntime import quantization as q
    from onnxruntime.quantization.shape_inference import quant_pre_process

    if form in ("tensor", "channel"):
        q.quantize_dynamic(source, out, per_channel=form == "channel")
        return
    ready = out.with_name(f"{source.stem}_ready.onnx")
    quant_pre_process(source, ready, skip_symbolic_shape=True)

    class Random(q.CalibrationDataReader):  # type: ignore[misc]  # untyped
        def __init__(self) -> None:
            self.left = [inputs_of(ready, sizes, seed) for seed in (1, 2)]

        def get_next(self) -> dict[str, Array] | None:
            return self.left.pop() if self.left else None

    kind = q.QuantFormat.QDQ if form == "qdq" else q.QuantFormat.QOperator
    q.quantize_static(ready, out, Random(), quant_format=kind, per_channel=True)


def module_of(file: Path, target: str) -> Path:
    """Compile a file."""
    out = FOLDER / target
    words = ["--file", file, "--target", target, "--out", out]
    command = [sys.executable, "-m", "doit", "model", *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return out / f"{file.stem}.wasm"


def seconds(calls: Mapping[str, Callable[[], object]]) -> dict[str, list[float]]:
    """Times of each call, round by round."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for i in range(WARM + ROUNDS):
        for name, call in calls.items():
            start = time.thread_time()
            call()
            if i >= WARM:
                found[name].append(time.thread_time() - start)
    return found


def measured(name: str) -> bool:
    """Print the rows of a net; whether all meet the goal."""
    net = NETS[name]
    FOLDER.mkdir(parents=True, exist_ok=True)
    source = FOLDER / f"{name}.onnx"
    write_model(ROOT / "models" / f"{name}.py", source, dict(net.arguments))
    files = {"float32": source}
    for form in net.forms:
        files[form] = FOLDER / f"{name}_{form}.onnx"
        quantize(source, files[form], form, net.sizes)
    given, good = inputs_of(source, net.sizes, 0), True
    for target in TARGETS:
        modules = {form: module_of(file, target) for form, file in files.items()}
        models = {form: ops_wasm32.load(m) for form, m in modules.items()}
        calls = {f: lambda m=m: m(**given) for f, m in models.items()}
        times, before = seconds(calls), modules["float32"].stat().st_size
        for form in net.forms:
            pairs = zip(times[form], times["float32"], strict=True)
            ratio, size = median(a / b for a, b in pairs), modules[form].stat().st_size
            met = ratio <= GOAL and before / size >= EACH
            good = good and met
            print(
                f"{name:12} {form:9} {target:12} {median(times[form]) * 1e3:7.2f} ms, "
                f"float32 {median(times['float32']) * 1e3:7.2f} ms, ratio {ratio:.2f}, "
                f"bytes {before / size:.2f} times fewer{'' if met else ' MISS'}",
                flush=True,
            )
    return good


def main() -> int:
    """Measure the nets that are named, or all."""
    logging.disable(logging.WARNING)  # of the quantizer
    names = sys.argv[1:] or list(NETS)
    if unknown := [n for n in names if n not in NETS]:
        print(f"net {unknown[0]!r} is unknown; use {', '.join(NETS)}")
        return 2
    return 0 if min(map(measured, names)) else 1


if __name__ == "__main__":
    sys.exit(main())
