"""The table: each row's figures, goals and verdict, as text and for docs/speed.md."""

from __future__ import annotations

from collections.abc import Sequence

from bench.errors import TableError
from bench.judge import PEERS, amount, best_peer, misses
from bench.page import Verdicts
from bench.records import (
    Check,
    Limit,
    ModelRecord,
    ModelResults,
    OpenRecord,
    Record,
    Results,
    Run,
)
from bench.row import ORT_WEB, TARGETS, TFJS

UNITS = {"flop": "GFLOP/s", "int8": "Gop/s", "byte": "GB/s"}
BEGIN = "<!-- bench: written by `doit bench_table` -->"
END = "<!-- end of bench -->"
_TITLES = (
    "row",
    "unit",
    "wasmtime",
    "of ceiling or stream (goal)",
    "Node",
    "of ceiling or stream (goal)",
    "ORT Web",
    "TF.js",
    "× best peer (goal)",
    "× ORT Web (goal)",
    "ORT native",
    "numpy",
    "verdict",
)


def _pair(values: list[str]) -> str:
    """Values of both targets; a single value where they are equal."""
    return values[0] if len(set(values)) == 1 else " / ".join(values)


def _rates(record: Record, engine: str) -> str:
    rates = [record["rates"].get(f"{engine}/{t}") for t in TARGETS]
    return " / ".join("–" if r is None else _number(r) for r in rates)


def _number(rate: float) -> str:
    return f"{rate / 1e9:.1f}" if rate >= 1e10 else f"{rate / 1e9:.2f}"


def _rate(record: Record, name: str) -> str:
    rate = record["rates"].get(name)
    return "–" if rate is None else _number(rate)


def _goal(record: Record, engine: str, against: tuple[str, ...]) -> str:
    """Figures of both targets with their goal; ! stands at a miss."""
    checks = [
        c for c in record["checks"] if c["engine"] == engine and c["against"] in against
    ]
    if not checks:
        return ""
    ratio = against[0] not in ("ceiling", "stream")
    figures = [_figure(c, ratio) + "!" * (not c["passed"]) for c in checks]
    wanted = [f"{c['wanted']:g}" if ratio else f"{c['wanted']:.0%}" for c in checks]
    more = {f", or {c['or_rate'] / 1e9:g} G" for c in checks if c["or_rate"]}
    return f"{' / '.join(figures)} ({_pair(wanted)}{''.join(more)})"


def _figure(check: Check, ratio: bool) -> str:
    if check["figure"] is None:
        return "–"
    return f"{check['figure']:.2f}" if ratio else f"{check['figure']:.0%}"


def verdict(record: Record | ModelRecord | OpenRecord) -> str:
    """Pass, or how many of the row's goals are missed."""
    if "missing" in record:
        return "MISS: missing"
    missed = sum(not c["passed"] for c in record["checks"])
    return f"MISS {missed} of {len(record['checks'])}" if missed else "pass"


def _cells(record: Record) -> list[str]:
    share = ("ceiling", "stream")
    return [
        record["name"],
        UNITS[record["unit"]],
        _rates(record, "wasmtime"),
        _goal(record, "wasmtime", share),
        _rates(record, "node"),
        _goal(record, "node", share),
        *(_rate(record, p) for p in PEERS),
        _goal(record, "node", ("best peer",)),
        _goal(record, "node", (ORT_WEB,)),
        _rate(record, "native/onnxruntime"),
        _rate(record, "native/numpy"),
        verdict(record),
    ]


def _figure_cells(figure: Limit) -> list[str]:
    value, wanted = (amount(figure[k], figure["unit"]) for k in ("value", "wanted"))
    passed = "pass" if figure["passed"] else "MISS"
    return [figure["name"], f"{value} (under {wanted})", *[""] * 10, passed]


def text(results: Results) -> str:
    """The table for a terminal, with what stands around it."""
    figures = [
        f"{c[0]}: {c[1]}  {c[-1]}" for c in map(_figure_cells, results["figures"])
    ]
    lines = columns([_TITLES, *(_cells(r) for r in results["rows"])])
    verdicts = Verdicts(goals(results), misses(results), notes(results))
    around = (heading(results), [*lines, *figures], ceiling_lines(results))
    return terminal_text(*around, verdicts)


def terminal_text(
    heading: Sequence[str], table: Sequence[str], more: Sequence[str], of: Verdicts
) -> str:
    """A table between what was measured, and notes and misses."""
    return "\n".join(
        [
            *heading,
            "",
            *table,
            "",
            *more,
            "",
            *(f"note: {n}" for n in of.notes),
            *(f"MISS: {m}" for m in of.missed),
            f"{len(of.missed)} of {of.goals} goals missed",
        ]
    )


def columns(lines: Sequence[Sequence[str]]) -> list[str]:
    """Cells one under the other; the first line is of titles."""
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    padded = [
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return [padded[0], "-" * max(map(len, padded)), *padded[1:]]


def goals(results: Results) -> int:
    """How many goals the table has."""
    rows = sum(len(r["checks"]) for r in results["rows"] if "missing" not in r)
    missing = sum("missing" in r for r in results["rows"])
    return rows + missing + len(results["figures"])


def notes(results: Results | ModelResults) -> list[str]:
    """What must be said of single rows."""
    return [
        f"{record['name']}: {note}"
        for record in results["rows"]
        for note in record.get("notes", [])
    ]


def origin(results: Run) -> list[str]:
    """When, where and with what a run was made."""
    versions = ", ".join(f"{n} {v}" for n, v in results["versions"].items())
    return [f"{results['date']}, {results['machine']}; one thread.", f"{versions}."]


def heading(results: Results) -> list[str]:
    """When, where, with what, and how to read the table."""
    return [
        *origin(results),
        f"Two figures are {' / '.join(TARGETS)}; ! is a goal missed. Medians of "
        f"{results['rounds']} interleaved rounds; operators run in a loop inside wasm, "
        "peers without what their binding costs.",
    ]


def ceiling_lines(results: Results) -> list[str]:
    """The ceilings measured in the run, and the peers' overheads of a call."""
    found = [
        f"ceilings, {name.replace('node/', 'Node/')}: {_number(rate)} "
        f"{'GB/s' if ', ' in name else 'Gop/s'}"
        for name, rate in results["ceilings"].items()
    ]
    calls = results["overheads"].items()
    return found + [
        f"a call of a 4-element add, {n}: {amount(t, 's')}" for n, t in calls
    ]


_SHORT = (0, 2, 3, 4, 5, 8, 9, 12)


def markdown(results: Results) -> str:
    """The table of docs/speed.md. Errors: TableError for a run of some operators."""
    if not results["complete"]:
        raise TableError(
            "the last `doit bench` measured some operators only; run it without names"
        )
    lines = ["| " + " | ".join(_TITLES[i] for i in _SHORT) + " |"]
    lines.append("|---" * len(_SHORT) + "|")
    for record in results["rows"]:
        cells = _cells(record)
        cells[2], cells[4] = (f"{cells[i]} {cells[1]}" for i in (2, 4))
        cells[8] = _named(cells[8], record)
        lines.append("| " + " | ".join(cells[i] for i in _SHORT) + " |")
    for figure in results["figures"]:
        cells = _figure_cells(figure)
        lines.append(f"| {cells[0]} | {cells[1]} |{' |' * 5} {cells[-1]} |")
    missed = f"{len(misses(results))} of {goals(results)} goals are missed."
    return "\n".join([*heading(results), missed, "", *lines])


def _named(cell: str, record: Record) -> str:
    names = dict(zip(PEERS, (ORT_WEB, TFJS), strict=True))
    best = best_peer(record)
    return f"{cell} {names[best]}" if cell and best else cell


def with_table(page: str, results: Results) -> str:
    """A page's text with the results between its markers."""
    return between(page, BEGIN, END, markdown(results))


def between(page: str, begin: str, end: str, text: str) -> str:
    """A page's text with another text between two markers."""
    head, first, rest = page.partition(begin)
    _, second, tail = rest.partition(end)
    if not first or not second:
        raise TableError(f"the page lacks the markers {begin} and {end}")
    return f"{head}{begin}\n{text}\n{end}{tail}"
