"""A run over models: measured, results written and printed."""

from __future__ import annotations

import time
from pathlib import Path

from bench import peers
from bench.records import ModelResults
from bench.row import ORT_WEB
from bench.run import announced, overhead, pin, provenance, versions, write
from bench.whole import open_sizes, open_table
from bench.whole.judge import judged, judged_open
from bench.whole.measure import Bench, measured
from bench.whole.report import report
from bench.whole.rows import OPEN_ROWS, ROWS, OpenRow, Row
from bench.whole.table import text
from toolchain.profile import ROOT

MEASURED = ("wasmtime", "node", "onnxruntime", ORT_WEB)  # packages that take part


def run(
    build: Path, rows: list[Row], open_rows: list[OpenRow], folder: Path
) -> ModelResults:
    """Measure models of `build`; results, which are also written.

    open_rows: what is measured at several sizes. folder: for the results, with the
    peers beside them.
    """
    place = (folder / "peers").resolve()
    bench = Bench(peers.install(place), place, build / "models", ROOT / "models")
    pin()
    started = time.monotonic()
    records = [judged(row, measured(bench, row)) for row in announced(rows)]
    opened = [
        judged_open(r, open_sizes.measured(bench, r)) for r in announced(open_rows)
    ]
    web = peers.OnnxRuntimeWeb(bench.node, place)
    call = overhead(web)
    web.process.close()
    complete = rows == ROWS and open_rows == OPEN_ROWS
    used = {name: of for name, of in versions().items() if name in MEASURED}
    results: ModelResults = {
        **provenance(started, complete, used),
        "web_bytes": peers.web_module(place).stat().st_size,
        "web_call": call,
        "rows": records,
        "open": opened,
    }
    files = folder / "models.json", folder / "models.html"
    write(results, files, report(results), text(results, open_table.text(results)))
    return results
