"""The report: one page on models, from models.json."""

from __future__ import annotations

from html import escape

from bench.page import Bar, Verdicts, bar_chart, key, verdict_card, verdict_page
from bench.records import ModelRecord, ModelResults
from bench.report import BARS as OPERATOR_BARS
from bench.report import COLOURS
from bench.table import verdict
from bench.whole import open_table
from bench.whole.judge import goals, misses
from bench.whole.measure import NATIVE, WEB
from bench.whole.table import all_notes, card_lines, heading, milliseconds, summary

# Participants of a bar chart: name, label, class.
BARS = (
    *(bar for bar in OPERATOR_BARS if bar[2].startswith("ours")),
    ("node/run", "ours, Node by run()", "ours"),
    (WEB, "ONNX Runtime Web", "peer"),
    (NATIVE, "ONNX Runtime, native", "native"),
)


def report(results: ModelResults) -> str:
    """The page, as XHTML."""
    cards = "".join(map(_card, results["rows"]))
    lines = [*heading(results), *summary(results)]
    parts = [
        "<h2>Milliseconds of an inference</h2>",
        key(COLOURS, ". Dashed line: ONNX Runtime Web."),
        f'<div class="cards">{cards}</div>',
        *_open(results),
    ]
    verdicts = Verdicts(goals(results), misses(results), all_notes(results))
    return verdict_page("ops-wasm32: speed of models", lines, parts, verdicts)


def _open(results: ModelResults) -> list[str]:
    """Open sizes, where they were measured."""
    found = open_table.cards(results)
    about = f"<p>{escape(open_table.heading())}</p>"
    cards = f'<div class="cards">{"".join(found)}</div>'
    return ["<h2>Open sizes</h2>", about, cards] if found else []


def _card(record: ModelRecord) -> str:
    """A model's bars and figures."""
    bars, lines = _bars(record["medians"]), card_lines(record)
    return verdict_card(record["name"], verdict(record), "", bars, lines)


def _bars(medians: dict[str, float]) -> str:
    """One bar per participant."""
    drawn = [
        Bar(label, kind, medians.get(name), milliseconds(medians.get(name)))
        for name, label, kind in BARS
    ]
    return bar_chart(drawn, max(medians.values()) * 1.15, medians.get(WEB))
