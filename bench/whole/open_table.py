"""The table of open sizes: a module for any beside one for each set of sizes."""

from __future__ import annotations

from statistics import median

from bench.page import Bar, bar_chart, verdict_card
from bench.records import ModelResults, OpenRecord
from bench.row import ENGINE_NAMES, ENGINES, TARGETS
from bench.table import between, columns, origin, verdict
from bench.whole.open_sizes import FIXED, OPEN, PLAN
from bench.whole.rows import (
    BUILT,
    OPEN_CODE,
    OPEN_NODES,
    OPEN_PLAN,
    OPEN_ROWS,
    OPEN_TIME,
)
from bench.whole.table import marked, milliseconds, require_complete

BEGIN = "<!-- bench of open sizes: written by `doit bench_table` -->"
END = "<!-- end of bench of open sizes -->"
_TITLES = (
    "model",
    "sizes",
    "wasmtime, ms",
    f"wasmtime × fixed ({OPEN_TIME:g})",
    "Node, ms",
    f"Node × fixed ({OPEN_TIME:g})",
    f"code × fixed ({OPEN_CODE:g})",
    "nodes",
    "planning, wasmtime, µs",
    "planning, Node, µs",
    f"planning of {OPEN_NODES} nodes, µs ({OPEN_PLAN * 1e6:g})",
    "verdict",
)


def heading() -> str:
    """How to read the table."""
    return (
        "Open sizes: one module for all, beside a module for each set of sizes, in the "
        f"same rounds. Figures are {' / '.join(TARGETS)}, of code {' / '.join(BUILT)}. "
        "Planning is ops_infer, which does nothing else of account: a call with new "
        "sizes plans, one whose sizes are those of the last does not."
    )


def text(results: ModelResults) -> list[str]:
    """The table for a terminal; nothing where nothing was measured."""
    if not results["open"]:
        return []
    return ["", heading(), "", *columns([_TITLES, *_rows(results)])]


def with_table(page: str, results: ModelResults) -> str:
    """A page's text with the table between its markers. Errors: TableError."""
    measured = [record["name"] for record in results["open"]]
    require_complete(measured == [r.title for r in OPEN_ROWS])
    rows = [_TITLES, ("---",) * len(_TITLES), *_rows(results)]
    lines = ["| " + " | ".join(cells) + " |" for cells in rows]
    return between(
        page, BEGIN, END, "\n".join([*origin(results), heading(), "", *lines])
    )


def cards(results: ModelResults) -> list[str]:
    """For the report: a card with bars for each row and set of sizes."""
    return [
        verdict_card(
            f"{record['name']}, {sizes}",
            verdict(record),
            "",
            _bars(medians),
            [f"{t}: {c}" for t, c in zip(_TITLES[2:-1], cells[2:-1], strict=True)],
        )
        for record in results["open"]
        for (sizes, medians), cells in zip(
            record["medians"].items(), _lines(record), strict=True
        )
    ]


def _bars(medians: dict[str, float]) -> str:
    drawn = [
        Bar(
            f"{what}, {target}, {ENGINE_NAMES[engine]}",
            "ours" if what == OPEN else "peer",
            medians[f"{engine}/{target}/{what}"],
            milliseconds(medians[f"{engine}/{target}/{what}"]),
        )
        for engine in ENGINES
        for target in TARGETS
        for what in (OPEN, FIXED)
    ]
    return bar_chart(drawn, max(b.value or 0.0 for b in drawn) * 1.15)


def _rows(results: ModelResults) -> list[tuple[str, ...]]:
    return [line for record in results["open"] for line in _lines(record)]


def _lines(record: OpenRecord) -> list[tuple[str, ...]]:
    return [
        (
            record["name"] if i == 0 else "",
            sizes,
            _times(record, sizes, "wasmtime", OPEN),
            _cell(record, "fixed", sizes, "wasmtime"),
            _times(record, sizes, "node", OPEN),
            _cell(record, "fixed", sizes, "node"),
            _cell(record, "fixed code") if i == 0 else "",
            str(record["steps"]),
            *(_plans(record, sizes, engine) for engine in ENGINES),
            "; ".join(_cell(record, "plan", sizes, e) for e in ENGINES),
            verdict(record) if i == 0 else "",
        )
        for i, sizes in enumerate(record["rounds"])
    ]


def _times(record: OpenRecord, sizes: str, engine: str, what: str) -> str:
    medians = record["medians"][sizes]
    return " / ".join(milliseconds(medians[f"{engine}/{t}/{what}"]) for t in TARGETS)


def _plans(record: OpenRecord, sizes: str, engine: str) -> str:
    rounds = record["rounds"][sizes]
    seconds = [median(rounds[f"{engine}/{t}/{PLAN}"]["seconds"]) for t in TARGETS]
    return " / ".join(f"{s * 1e6:.1f}" for s in seconds)


def _cell(record: OpenRecord, what: str, sizes: str = "", engine: str = "") -> str:
    """Figures of one kind; ! stands at a miss."""
    return " / ".join(
        marked(f, what)
        for f in record["figures"]
        if f["what"] == what and f["engine"] == engine and f.get("sizes", "") == sizes
    )
