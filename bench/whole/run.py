"""A run over models: measured, results written and printed."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench import peers
from bench.measure import ROUNDS
from bench.row import ORT_WEB
from bench.run import machine, overhead, pin, versions
from bench.whole.judge import judged
from bench.whole.measure import Bench, measured
from bench.whole.report import report
from bench.whole.rows import ROWS, Row
from bench.whole.table import text
from toolchain.profile import ROOT


def run(build: Path, rows: list[Row], folder: Path) -> dict[str, Any]:
    """Measure models of `build`; results, which are also written.

    folder: for the results, with the peers beside them.
    """
    place = (folder / "peers").resolve()
    bench = Bench(peers.install(place), place, build / "models", ROOT / "models")
    pin()
    started = time.monotonic()
    records = []
    for i, row in enumerate(rows, 1):
        print(f"[{i}/{len(rows)}] {row.name}", flush=True)
        records.append(judged(row, measured(bench, row)))
    web = peers.OnnxRuntimeWeb(bench.node, place)
    call = overhead(web)
    web.process.close()
    results = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine(),
        "versions": {
            name: of
            for name, of in versions().items()
            if name in ("wasmtime", "node", "onnxruntime", ORT_WEB)
        },
        "complete": rows == ROWS,
        "seconds": round(time.monotonic() - started),
        "rounds": ROUNDS,
        "web_bytes": peers.web_module(place).stat().st_size,
        "web_call": call,
        "rows": records,
    }
    write(results, folder)
    return results


def write(results: dict[str, Any], folder: Path) -> None:
    """Write models.json and models.html; print the table."""
    (folder / "models.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / "models.html").write_text(report(results))
    print(text(results))
    print(f"{folder / 'models.json'}, {folder / 'models.html'}")
