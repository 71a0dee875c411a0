"""A run over models: measured, results written and printed."""

from __future__ import annotations

import time
from pathlib import Path

from bench import peers
from bench.records import ModelResults
from bench.row import ORT_WEB
from bench.run import announced, overhead, pin, provenance, versions, write
from bench.whole.judge import judged
from bench.whole.measure import Bench, measured
from bench.whole.report import report
from bench.whole.rows import ROWS, Row
from bench.whole.table import text
from toolchain.profile import ROOT

MEASURED = ("wasmtime", "node", "onnxruntime", ORT_WEB)  # packages that take part


def run(build: Path, rows: list[Row], folder: Path) -> ModelResults:
    """Measure models of `build`; results, which are also written.

    folder: for the results, with the peers beside them.
    """
    place = (folder / "peers").resolve()
    bench = Bench(peers.install(place), place, build / "models", ROOT / "models")
    pin()
    started = time.monotonic()
    records = [judged(row, measured(bench, row)) for row in announced(rows)]
    web = peers.OnnxRuntimeWeb(bench.node, place)
    call = overhead(web)
    web.process.close()
    used = {name: of for name, of in versions().items() if name in MEASURED}
    results: ModelResults = {
        **provenance(started, rows == ROWS, used),
        "web_bytes": peers.web_module(place).stat().st_size,
        "web_call": call,
        "rows": records,
    }
    files = folder / "models.json", folder / "models.html"
    write(results, files, report(results), text(results))
    return results
