"""Judging models: rounds become medians, figures and verdicts. No measuring here."""

from __future__ import annotations

from statistics import median

from bench.judge import medians_of, ratio
from bench.records import (
    Figure,
    MeasuredModel,
    MeasuredOpen,
    ModelRecord,
    ModelResults,
    OpenRecord,
    Rounds,
)
from bench.row import ENGINE_NAMES, ENGINES, ORT_WEB, TARGETS, fuses
from bench.whole.measure import NATIVE, WEB
from bench.whole.open_sizes import FIXED, OPEN, PLAN
from bench.whole.rows import (
    ARENA,
    OPEN_CODE,
    OPEN_NODES,
    OPEN_PLAN,
    OPEN_TIME,
    OpenRow,
    Row,
)

# Figures of a row, and what they are in words.
RATIOS = {
    "web": f"the time of {ORT_WEB}",
    "native": "the time of native ONNX Runtime",
    "fixed": "the time of the module for these sizes",
    "fixed code": "its bytes",
}


def judged(row: Row, measured: MeasuredModel) -> ModelRecord:
    """A row's record: what was measured, its medians, figures and checks."""
    medians = medians_of(measured["rounds"])
    starts = {n: median(seconds) for n, seconds in measured["starts"].items()}
    figures = _figures(row, measured["rounds"], starts, measured)
    return {
        "name": row.name,
        "model": row.model,
        "note": row.note,
        **measured,
        "medians": medians,
        "start_medians": starts,
        "figures": figures,
        "checks": [f for f in figures if f["wanted"] is not None],
    }


def _figures(
    row: Row,
    rounds: dict[str, Rounds],
    starts: dict[str, float],
    measured: MeasuredModel,
) -> list[Figure]:
    """Everything that has a goal in some row; wanted: None where this row has none."""
    found = []
    for engine in ENGINES:
        for target in TARGETS:
            ours = f"{engine}/{target}"
            web = row.web[0 if fuses(target) else 1] if row.web else None
            # Against native code they alone are to hold their own.
            native = row.native if fuses(target) else None
            for what, peer, wanted in (("web", WEB, web), ("native", NATIVE, native)):
                times = ratio(rounds[ours], rounds[peer]) if peer in rounds else None
                found.append(_figure(what, times, wanted, target, engine))
    found += [_figure("code", n, row.code, t) for t, n in measured["code"].items()]
    arenas = [m["arena"] / m["lower_bound"] for m in measured["memory"].values()]
    found.append(_figure("arena", max(arenas), ARENA))
    found += [
        _figure("start", starts[f"node/{t}"], row.start, t, "node") for t in TARGETS
    ]
    return found


def _figure(
    what: str,
    value: float | None,
    wanted: float | None,
    target: str = "",
    engine: str = "",
) -> Figure:
    """A figure, and whether it keeps to its goal, the most that it may be."""
    return {
        "what": what,
        "engine": engine,
        "target": target,
        "figure": value,
        "wanted": wanted,
        "passed": wanted is None or (value is not None and value <= wanted),
    }


def judged_open(row: OpenRow, measured: MeasuredOpen) -> OpenRecord:
    """An open row's record: what was measured, its medians, figures and checks."""
    figures = [
        figure
        for sizes, found in measured["rounds"].items()
        for figure in _open_figures(found, measured["steps"], sizes)
    ]
    for target, (code, *others) in measured["code"].items():
        value = max(code / n for n in others)
        figures.append(_figure("fixed code", value, OPEN_CODE, target))
    return {
        "name": row.title,
        "note": row.note,
        **measured,
        "medians": {s: medians_of(r) for s, r in measured["rounds"].items()},
        "figures": figures,
        "checks": figures,
    }


def _open_figures(found: dict[str, Rounds], steps: int, sizes: str) -> list[Figure]:
    """Figures at one set of sizes."""
    figures = []
    for engine in ENGINES:
        for target in TARGETS:
            ours = f"{engine}/{target}"
            times = ratio(found[f"{ours}/{OPEN}"], found[f"{ours}/{FIXED}"])
            plan = median(found[f"{ours}/{PLAN}"]["seconds"]) * OPEN_NODES / steps
            for what, value, wanted in (
                ("fixed", times, OPEN_TIME),
                ("plan", plan, OPEN_PLAN),
            ):
                figure = _figure(what, value, wanted, target, engine)
                figures.append(figure | {"sizes": sizes})
    return figures


def goals(results: ModelResults) -> int:
    """How many goals the table has."""
    return sum(len(r["checks"]) for r in (*results["rows"], *results["open"]))


def misses(results: ModelResults) -> list[str]:
    """Every goal that was not reached, in words."""
    return [
        f"{record['name']}: {_missed(check)}"
        for record in (*results["rows"], *results["open"])
        for check in record["checks"]
        if not check["passed"]
    ]


def _missed(check: Figure) -> str:
    what, figure, wanted = check["what"], check["figure"], check["wanted"]
    assert wanted is not None  # checks are the figures with a goal
    engine = check["engine"]
    who = check["target"] + (f" in {ENGINE_NAMES[engine]}" if engine else "")
    who += f", {check['sizes']}" if "sizes" in check else ""
    if figure is None:
        return f"{who}, nothing to compare with: {RATIOS[what]}"
    if what in RATIOS:
        return f"{who}, {figure:.3f} x {RATIOS[what]}, wanted at most {wanted:g} x"
    if what == "code":
        return f"{who}, {figure:,.0f} bytes of code, wanted at most {wanted:,.0f}"
    if what == "plan":
        return (
            f"{who}, {figure * 1e6:.1f} µs to plan {OPEN_NODES} nodes, "
            f"wanted at most {wanted * 1e6:g}"
        )
    if what == "arena":
        return f"an arena of {figure:.2f} x its bound, wanted at most {wanted:g} x"
    return f"{who}, a start of {figure * 1e3:.1f} ms, wanted at most {wanted * 1e3:g}"
