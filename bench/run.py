"""A whole run: peers installed, rows measured, results written and printed."""

from __future__ import annotations

import gzip
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TypeVar

import numpy as np
import wasmtime

from bench import loops, peers
from bench.errors import BuildError
from bench.judge import CALL_GOAL, SIZE_GOALS, judged, limit
from bench.library import Node, Wasmtime, make_call
from bench.measure import ROUNDS, Bench, Participant, timed
from bench.records import Limit, Results, Run
from bench.report import report
from bench.row import Case, Onnx, Ours, Row, Tfjs
from bench.rows import ROWS
from bench.table import text
from bench.whole.rows import OpenRow
from bench.whole.rows import Row as ModelRow
from toolchain.link.artifacts import MODULE
from toolchain.profile import ROOT, load_profile
from toolchain.targets import DEFAULT

AnyRow = TypeVar("AnyRow", Row, ModelRow, OpenRow)
MATMUL = Path(__file__).with_name("matmul_alone.toml")


def run(build: Path, rows: list[Row], folder: Path) -> Results:
    """Measure rows of the library in `build`; results, which are also written.

    folder: for the results, with the peers beside them.
    """
    node = peers.install(folder / "peers")
    alone = _alone()
    pin()
    started = time.monotonic()
    bench = Bench(build, node, folder / "peers")
    try:
        overheads = {p.name: overhead(p) for p in (bench.web, bench.tfjs)}
        records = [judged(row, bench.row(row)) for row in announced(rows)]
        print("ceilings and calls", flush=True)
        levels, calls = bench.levels(), _calls(bench)
    finally:
        bench.close()
    results: Results = {
        **provenance(started, rows == ROWS, versions()),
        "libraries": {"/".join(k): str(v.path) for k, v in bench.libraries.items()},
        "rows": records,
        "figures": [*calls, *_sizes(build, alone)],
        "overheads": overheads,
        "ceilings": {
            name: r["work"] / median(r["seconds"]) for name, r in levels.items()
        },
        "levels": levels,
    }
    files = folder / "results.json", folder / "report.html"
    write(results, files, report(results), text(results))
    return results


def announced(rows: list[AnyRow]) -> Iterator[AnyRow]:
    """Rows in their order; each is named before it is measured."""
    for i, row in enumerate(rows, 1):
        print(f"[{i}/{len(rows)}] {row.name}", flush=True)
        yield row


def provenance(started: float, complete: bool, versions: dict[str, str]) -> Run:
    """When, where and with what a run was made. started: by time.monotonic()."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine(),
        "versions": versions,
        "complete": complete,
        "seconds": round(time.monotonic() - started),
        "rounds": ROUNDS,
    }


def _alone() -> Path:
    """Build the library of float32 matmul alone; its module."""
    words = [sys.executable, "-m", "doit", f"profile={MATMUL}"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildError(f"{' '.join(words)} failed:\n{done.stdout}{done.stderr}")
    (folder,) = load_profile(MATMUL).folders.values()
    return folder / MODULE


def write(results: Run, files: tuple[Path, Path], page: str, table: str) -> None:
    """Write results and their page into two files; print the table."""
    contents = json.dumps(results, indent=1) + "\n", page
    for file, content in zip(files, contents, strict=True):
        file.write_text(content)
    print(table)
    print(", ".join(map(str, files)))


def pin() -> None:
    """Keep this process, and those it starts, on one core."""
    if hasattr(os, "sched_setaffinity"):  # Linux
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def machine() -> str:
    """Processor, cores and system of this machine."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [
            x for x in info.read_text().splitlines() if x.startswith("model name")
        ]
        name = models[0].partition(":")[2].strip() if models else name
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


def versions() -> dict[str, str]:
    """Versions of everything that is measured, and of what measures."""
    ours = {n: version(n) for n in ("wasmtime", "onnxruntime", "numpy")}
    return {**ours, **peers.versions()}


_FOUR = np.arange(4, dtype=np.float32)


def _calls(bench: Bench) -> list[Limit]:
    """What ops_call costs: an add of 4 elements less a loop of empty calls."""
    data = bytes(wasmtime.wat2wasm(loops.NOTHING))
    nothing = Path(bench.node.file("nothing.wasm", data))
    empty: dict[str, Wasmtime | Node] = {
        "wasmtime": Wasmtime(nothing),
        "node": Node(bench.node, nothing),
    }
    parts: dict[tuple[str, str], Participant] = {}
    for (engine, target), host in bench.hosts.items():
        library = bench.libraries[engine, target]
        host.prepare(make_call(library, Ours("add", (_FOUR, _FOUR))))
        parts[engine, target] = Participant(host.run, 1)
    parts |= {(e, ""): Participant(host.run, 1) for e, host in empty.items()}
    timed(list(parts.values()))
    times = {key: median(part.seconds) for key, part in parts.items()}
    return [
        limit(f"ops_call, {t} in {e}", times[e, t] - times[e, ""], CALL_GOAL, "s")
        for e, t in bench.hosts
    ]


def overhead(peer: peers.OnnxRuntimeWeb | peers.TensorFlowJs) -> float:
    """Seconds of a peer's call with its binding, of an add of 4 elements."""
    inputs = (_FOUR, _FOUR)
    peer.prepare(Case(Ours("add", inputs), Onnx("Add", inputs), Tfjs("add", inputs)))
    peer.overhead()
    return median(peer.overhead() for _ in range(ROUNDS))


def _sizes(build: Path, alone: Path) -> list[Limit]:
    """Sizes in bytes, against their limits."""
    data = (build / DEFAULT / MODULE).read_bytes()
    sizes = {
        "library": len(data),
        "library, gzip": len(gzip.compress(data, 9)),
        "matmul alone": alone.stat().st_size,
    }
    return [
        limit(f"{DEFAULT} {name}", size, SIZE_GOALS[name], "byte")
        for name, size in sizes.items()
    ]
