"""The report: one page on models, from models.json."""

from __future__ import annotations

from html import escape
from typing import Any

from bench.page import Bar, bar_chart, bullets, key, page
from bench.report import BARS as OPERATOR_BARS
from bench.report import COLOURS
from bench.table import verdict
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


def report(results: dict[str, Any]) -> str:
    """The page, as XHTML."""
    passed = goals(results) - len(misses(results))
    cards = "".join(map(_card, results["rows"]))
    lines = [*heading(results), *summary(results)]
    parts = [
        f'<p class="sum">{passed} of {goals(results)} goals reached.</p>',
        *(f"<p>{escape(line)}</p>" for line in lines),
        "<h2>Milliseconds of an inference</h2>",
        key(COLOURS, ". Dashed line: ONNX Runtime Web."),
        f'<div class="cards">{cards}</div>',
        *bullets("Goals missed", misses(results)),
        *bullets("Notes", all_notes(results)),
    ]
    return page("ops-wasm32: speed of models", parts)


def _card(record: dict[str, Any]) -> str:
    """A model's bars and figures."""
    state = verdict(record)
    kind = "pass" if state == "pass" else "miss"
    more = "".join(f"<p>{escape(line)}</p>" for line in card_lines(record))
    return (
        f'<div class="card"><h3>{escape(record["name"])}</h3>'
        f'<p><span class="{kind}">{escape(state)}</span></p>'
        f"{_bars(record['medians'])}{more}</div>"
    )


def _bars(medians: dict[str, float]) -> str:
    """One bar per participant."""
    drawn = [
        Bar(label, kind, medians.get(name), milliseconds(medians.get(name)))
        for name, label, kind in BARS
    ]
    return bar_chart(drawn, max(medians.values()) * 1.15, medians.get(WEB))
