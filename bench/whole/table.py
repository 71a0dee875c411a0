"""The table of models: figures, goals and verdicts, as text and for docs/speed.md."""

from __future__ import annotations

from collections.abc import Sequence

from bench.errors import TableError
from bench.judge import amount
from bench.measure import NODE_LIBRARIES
from bench.page import Verdicts
from bench.records import Figure, ModelRecord, ModelResults
from bench.row import ORT_WEB, TARGETS
from bench.table import between, columns, notes, origin, terminal_text, verdict
from bench.whole.judge import goals, misses
from bench.whole.measure import NATIVE, WEB
from bench.whole.rows import BUILT

BEGIN = "<!-- bench of models: written by `doit bench_table` -->"
END = "<!-- end of bench of models -->"
_TITLES = (
    "model",
    "wasmtime, ms",
    "wasmtime × ORT Web (goal)",
    "Node, ms",
    "Node × ORT Web (goal)",
    "run(), ms",
    "ORT Web, ms",
    "ORT native, ms",
    "wasmtime × native (goal)",
    "Node × native (goal)",
    "code, KiB (goal)",
    "arena (goal)",
    "start, ms (goal)",
    "ORT Web's start, ms",
    "first answer, ms",
    "ORT Web's first answer, ms",
    "verdict",
)


def _in_node() -> str:
    """Which module Node runs where it is not the target's own."""
    pairs = ((t, others[0]) for t, others in NODE_LIBRARIES.items())
    return ", ".join(f"{a} is the module for {b}" for a, b in pairs if a != b)


def heading(results: ModelResults) -> list[str]:
    """When, where, with what, and how to read the table."""
    return [
        *origin(results),
        f"Figures are {' / '.join(TARGETS)}, of code {' / '.join(BUILT)}; in Node, "
        f"{_in_node()}. Goals are the most that a figure "
        f"may be; ! is one missed. Medians of {results['rounds']} interleaved rounds "
        "on the same inputs. Ours is ops_call, looped inside wasm, on tensors in its "
        "memory; run() is the JavaScript loader's. ONNX Runtime, Web and native, is "
        "session.run with all optimisations.",
        "Code is the module without weights; arena, the memory for intermediates by "
        "its lower bound. Start: compile and instantiate the module in Node (V8 "
        "compiles a function when it is first called), beside the creation of ONNX "
        "Runtime Web's session; first answer: from nothing, weights read, to the end "
        "of the first inference.",
    ]


def _cell(record: ModelRecord, what: str, engine: str = "") -> str:
    """Figures of one kind with their goal; ! stands at a miss."""
    figures = [
        f
        for f in record["figures"]
        if f["what"] == what and engine in ("", f["engine"])
    ]
    texts = [marked(f, what) for f in figures]
    wanted = dict.fromkeys(
        _goal(f["wanted"], what) for f in figures if f["wanted"] is not None
    )
    goal = f" ({' / '.join(wanted)})" if wanted else ""
    return " / ".join(texts) + goal


def marked(figure: Figure, what: str) -> str:
    """A figure as text; ! stands at a miss."""
    return _number(figure["figure"], what) + "!" * (not figure["passed"])


_SCALES = {"code": 1 / 1024, "start": 1e3, "plan": 1e6}


def _number(value: float | None, what: str) -> str:
    if value is None:
        return "–"
    return f"{value * _SCALES.get(what, 1):.{1 if what in _SCALES else 2}f}"


def _goal(value: float, what: str) -> str:
    return f"{value * _SCALES.get(what, 1):g}"


def milliseconds(seconds: float | None) -> str:
    """A time with three digits."""
    if seconds is None:
        return "–"
    value = seconds * 1e3
    return f"{value:.0f}" if value >= 100 else f"{value:#.3g}"


def _times(record: ModelRecord, engine: str) -> str:
    return " / ".join(milliseconds(record["medians"][f"{engine}/{t}"]) for t in TARGETS)


def _cells(record: ModelRecord) -> list[str]:
    medians, starts = record["medians"], record["start_medians"]
    return [
        record["name"],
        _times(record, "wasmtime"),
        _cell(record, "web", "wasmtime"),
        _times(record, "node"),
        _cell(record, "web", "node"),
        milliseconds(medians["node/run"]),
        milliseconds(medians.get(WEB)),
        milliseconds(medians[NATIVE]),
        _cell(record, "native", "wasmtime"),
        _cell(record, "native", "node"),
        _cell(record, "code"),
        _cell(record, "arena"),
        _cell(record, "start"),
        milliseconds(starts[WEB]),
        milliseconds(starts["node/run, first"]),
        milliseconds(starts[f"{WEB}, first"]),
        verdict(record),
    ]


_CARD = ((2, 4), (8, 9), (10, 11), (12, 13), (14, 15))


def card_lines(record: ModelRecord) -> list[str]:
    """What a model's card says beside its bars."""
    cells = _cells(record)
    return [
        *("; ".join(f"{_TITLES[i]}: {cells[i]}" for i in line) for line in _CARD),
        *([record["note"]] if record["note"] else []),
    ]


def summary(results: ModelResults) -> list[str]:
    """What stands beside the rows: sizes and overheads of the peer."""
    return [
        f"{ORT_WEB}: a module of {amount(results['web_bytes'], 'byte')}, beside the "
        "code of ours.",
        f"{ORT_WEB}: session.run of an add of 4 elements takes "
        f"{amount(results['web_call'], 's')}; it is part of its figures.",
    ]


def text(results: ModelResults, below: Sequence[str] = ()) -> str:
    """The table for a terminal, with what stands around it. below: more lines."""
    lines = columns([_TITLES, *map(_cells, results["rows"])])
    verdicts = Verdicts(goals(results), misses(results), all_notes(results))
    more = [*summary(results), *below]
    return terminal_text(heading(results), lines, more, verdicts)


def all_notes(results: ModelResults) -> list[str]:
    """What must be said of single rows."""
    rows = (*results["rows"], *results["open"])
    said = [f"{r['name']}: {r['note']}" for r in rows if r["note"]]
    return said + notes(results)


_SHORT = (0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12, 13, 16)


def require_complete(complete: bool) -> None:
    """Refuse a run of some models. Errors: TableError."""
    if not complete:
        raise TableError(
            "the last `doit bench models` measured some models only; run it without "
            "names of models"
        )


def markdown(results: ModelResults) -> str:
    """The table of docs/speed.md. Errors: TableError for a run of some models."""
    require_complete(results["complete"])
    rows = [_TITLES, ("---",) * len(_TITLES), *map(_cells, results["rows"])]
    lines = ["| " + " | ".join(cells[i] for i in _SHORT) + " |" for cells in rows]
    missed = f"{len(misses(results))} of {goals(results)} goals are missed."
    return "\n".join([*heading(results), *summary(results), missed, "", *lines])


def with_table(page: str, results: ModelResults) -> str:
    """A page's text with the results between its markers."""
    return between(page, BEGIN, END, markdown(results))
