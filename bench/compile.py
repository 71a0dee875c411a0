"""`python -m bench.compile`: time and memory of compiling large models.

Each is compiled by `doit model` in processes of its own, whose memory is looked at
while they run: what is theirs alone, without files that they map. It prints seconds,
seconds of all processors together, and the most memory by the bytes of the weights,
beside the goals of docs/speed.md. On a busy machine the second column is what counts.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from toolchain.profile import ROOT
from toolchain.recipe import Net, load_recipe

POLL = 0.02  # seconds from one look at the memory to the next
MEMORY = 3.0  # goal: of the weights


@dataclass(frozen=True)
class Row:
    """A model. options: of doit model. seconds: goal. apart: weights beside it."""

    build: Callable[[], Any]
    seconds: float | None = None
    options: tuple[str, ...] = ()
    apart: bool = False


def resnet() -> Any:
    """ResNet-50."""
    return load_recipe(ROOT / "models" / "resnet50.py").build()


def transformer() -> Any:
    """12 layers of GPT-2's width over any number of rows: 85 M weights."""
    net, width = Net("transformer"), 768
    x = net.input("x", ("rows", width))
    for _ in range(12):
        y = net.layer_norm(x, width)
        q, k, v = (net.dense(y, (width, width)) for _ in range(3))
        scores = net.op("MatMul", q, net.op("Transpose", k, perm=[1, 0]))
        mixed = net.op("MatMul", net.op("Softmax", scores), v)
        x = net.op("Add", x, net.dense(mixed, (width, width)))
        y = net.op("Gelu", net.dense(net.layer_norm(x, width), (width, 4 * width)))
        x = net.op("Add", x, net.dense(y, (4 * width, width)))
    return net.model(y=(x, ("rows", width)))


def gigabyte() -> Any:
    """16 products of 64 MiB each."""
    net, width = Net("gigabyte"), 4096
    x = net.input("x", ("rows", width))
    for _ in range(16):
        w = np.tile(net.rng.standard_normal((16, width), "float32"), (width // 16, 1))
        x = net.op("Relu", net.op("MatMul", x, net.constant(w + len(net.nodes))))
    return net.model(y=(x, ("rows", width)))


ROWS = {
    "resnet50": Row(resnet, seconds=15),
    "transformer": Row(transformer, seconds=40),
    "gigabyte": Row(gigabyte, options=("--weights", "external"), apart=True),
}


def anonymous(process: int) -> int:
    """Bytes that a process and those that it started have for themselves."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        children.setdefault(int(words[1]), []).append(int(stat.parent.name))
    total, left = 0, [process]
    while left:
        one = left.pop()
        left += children.get(one, [])
        try:
            lines = Path(f"/proc/{one}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        sizes = [line.split()[1] for line in lines if line.startswith("Pss_Anon:")]
        total += sum(map(int, sizes)) << 10
    return total


def compiled(file: Path, options: tuple[str, ...]) -> tuple[float, float, int]:
    """Compile a file: seconds, seconds of processors, the most bytes of memory."""
    words = [sys.executable, "-m", "doit", "model", "--file", str(file)]
    words += ["--out", str(file.parent / "out"), *options]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL)
    most, done = 0, threading.Event()

    def wait() -> None:
        process.wait()
        done.set()

    threading.Thread(target=wait, daemon=True).start()
    while not done.wait(POLL):
        most = max(most, anonymous(process.pid))
    if process.returncode:
        raise SystemExit(f"{' '.join(words)}: exit code {process.returncode}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - start, used, most


def main() -> None:
    """Compile models and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*ROWS, []], metavar="MODEL")
    names = parser.parse_args().names or [*ROWS]
    print(f"{'':14}{'MB':>7}{'s (goal)':>14}{'CPU s':>8}  memory by weights (goal)")
    for name in names:
        row = ROWS[name]
        with tempfile.TemporaryDirectory() as folder:
            file, model = Path(folder, f"{name}.onnx"), row.build()
            onnx.save(model, file, save_as_external_data=row.apart)
            del model
            size = sum(p.stat().st_size for p in Path(folder).iterdir())
            seconds, used, most = compiled(file, row.options)
        goal = f" ({row.seconds:g})" if row.seconds else ""
        print(
            f"{name:14}{size / 1e6:7.0f}{f'{seconds:.1f}{goal}':>14}{used:8.1f}"
            f"  {most / size:.2f} ({MEMORY:g})",
            flush=True,
        )


if __name__ == "__main__":
    main()
