"""The report: one page on operators, from results.json."""

from __future__ import annotations

import math
from html import escape

from bench.ceilings import FLOAT, LEVELS
from bench.judge import PEERS, best_peer, misses
from bench.loops import STREAMS
from bench.page import Bar, Verdicts, bar_chart, key, verdict_card, verdict_page
from bench.records import Record, Results
from bench.row import ENGINE_NAMES, ENGINES, TARGETS, fuses
from bench.table import UNITS, goals, heading, notes, verdict


def _class(target: str) -> str:
    return "ours" if fuses(target) else "ours pale"


# Participants of a bar chart: name, label, class.
BARS = (
    *(
        (f"{engine}/{t}", f"ours, {ENGINE_NAMES[engine]} {t}", _class(t))
        for engine in ENGINES
        for t in TARGETS
    ),
    (PEERS[0], "ONNX Runtime Web", "peer"),
    (PEERS[1], "TensorFlow.js", "peer"),
    ("native/onnxruntime", "ONNX Runtime, native", "native"),
    ("native/numpy", "numpy, native", "native"),
)
COLOURS = (
    *((f"var(--{'ours' if fuses(t) else 'pale'})", f"ours, {t}") for t in TARGETS),
    ("var(--peer)", "peer in the same Node"),
    ("var(--native)", "native code, for orientation"),
)
# Families of the roofline: operators by the beginning of a name, and a colour.
_FAMILIES = (
    ("matrix products", ("matmul",), "#1971c2"),
    ("convolutions", ("conv", "depthwise"), "#9c36b5"),
    ("elementwise", ("add", "mul", "relu"), "#e8590c"),
    ("functions", ("exp", "tanh", "sigmoid", "erf", "gelu"), "#c2255c"),
    ("rows", ("softmax", "layer_", "rms_"), "#2f9e44"),
    ("reductions", ("reduce", "arg"), "#f08c00"),
    ("movement, windows", ("",), "#868e96"),
)


def report(results: Results) -> str:
    """The page, as XHTML."""
    groups: dict[str, list[Record]] = {}
    for record in results["rows"]:
        groups.setdefault(record["operator"], []).append(record)
    parts = [
        "<h2>Under the ceilings</h2>",
        "<p>Each dot is a row: operations per byte of its tensors, each counted once, "
        "against operations per second. Lines: measured bandwidth of each level of "
        "memory, measured arithmetic. Integer rows stand in the cards alone. "
        f"{_marks()}. Point at one for its name.</p>",
        *(f'<div class="wide">{roofline(results, e)}</div>' for e in ENGINES),
        key((colour, name) for name, _, colour in _FAMILIES),
        "<h2>Beside the peers</h2>",
        key(COLOURS, ". Dashed line: the best peer."),
    ]
    for operator, records in groups.items():
        cards = "".join(card(record) for record in records)
        parts.append(f'<h2>{escape(operator)}</h2><div class="cards">{cards}</div>')
    verdicts = Verdicts(goals(results), misses(results), notes(results))
    return verdict_page("ops-wasm32: speed", heading(results), parts, verdicts)


def _marks() -> str:
    """Which dots stand for which targets."""
    marks = (("filled dots", True), ("rings", False))
    return "; ".join(
        f"{mark}: {', '.join(t for t in TARGETS if fuses(t) == fused)}"
        for mark, fused in marks
    ).capitalize()


def card(record: Record) -> str:
    """A row's bars."""
    about = f" · {UNITS[record['unit']]}{_shares(record)}"
    lines = [record["note"]] if record["note"] else []
    return verdict_card(record["name"], verdict(record), about, bars(record), lines)


def _shares(record: Record) -> str:
    figures = [c for c in record["checks"] if c["figure"] is not None]
    ratios = [f"{c['figure']:.2f}" for c in figures if c["against"] == "best peer"]
    return f" · {' / '.join(ratios)} × the best peer" if ratios else ""


def bars(record: Record) -> str:
    """A bar for each participant; bars of native code may leave the scale."""
    rates = {name: record["rates"].get(name) for name, _, _ in BARS}
    inside = [
        r for n, r in rates.items() if r is not None and not n.startswith("native")
    ]
    if not inside:
        return ""
    drawn = [
        Bar(label, kind, rate, "" if rate is None else f"{rate / 1e9:.3g}")
        for name, label, kind in BARS
        for rate in [rates[name]]
    ]
    best = best_peer(record)
    mark = record["rates"][best] if best else None
    return bar_chart(drawn, max(inside) * 1.15, mark)


class _Plane:
    """A plane with logarithmic axes: operations per byte, operations per second."""

    width, height, left, bottom = 980, 430, 62, 44

    def __init__(self, xs: tuple[float, float], ys: tuple[float, float]) -> None:
        self.xs, self.ys = xs, ys

    def x(self, value: float) -> float:
        """Position of an intensity."""
        share = math.log(value / self.xs[0]) / math.log(self.xs[1] / self.xs[0])
        return self.left + share * (self.width - self.left - 20)

    def y(self, value: float) -> float:
        """Position of a rate."""
        share = math.log(value / self.ys[0]) / math.log(self.ys[1] / self.ys[0])
        return (self.height - self.bottom) - share * (self.height - self.bottom - 24)

    def grid(self, title: str) -> list[str]:
        """Lines at the powers of ten, with their numbers."""
        found = [f'<text x="{self.left}" y="14" font-weight="600">{title}</text>']
        for e in range(-3, 4):
            if self.xs[0] <= (value := 10.0**e) <= self.xs[1]:
                x = self.x(value)
                found.append(
                    f'<line x1="{x:.1f}" x2="{x:.1f}" y1="24" '
                    f'y2="{self.height - self.bottom}" class="rule"/>'
                    f'<text x="{x:.1f}" y="{self.height - self.bottom + 16}" '
                    f'text-anchor="middle" class="soft">{value:g}</text>'
                )
        for e in range(6, 13):
            if self.ys[0] <= (value := 10.0**e) <= self.ys[1]:
                y = self.y(value)
                found.append(
                    f'<line x1="{self.left}" x2="{self.width - 20}" y1="{y:.1f}" '
                    f'y2="{y:.1f}" class="rule"/><text x="{self.left - 6}" '
                    f'y="{y + 4:.1f}" text-anchor="end" class="soft">'
                    f"{value / 1e9:g}</text>"
                )
        middle = (self.left + self.width) / 2
        found.append(
            f'<text x="{middle}" y="{self.height - 8}" text-anchor="middle" '
            'class="soft">operations per byte; upwards: billion operations per second'
            "</text>"
        )
        return found


def roofline(results: Results, engine: str) -> str:
    """Every float row's place under the ceilings of an engine."""
    ceilings = results["ceilings"]
    peak = max(ceilings.get(f"{engine}/{name}", 0.0) for name in FLOAT)
    plain = ceilings.get(f"{engine}/mul+add", 0.0)
    dots = _dots(results, engine)
    xs = [d[0] for d in dots] or [1.0]
    ys = [d[1] for d in dots] or [1e9]
    plane = _Plane(
        # Room on the right for the names of the roofs.
        (min(*xs, 0.05) * 0.7, max(*xs, 20) * 5),
        (min(*ys, 1e9) * 0.6, max(*ys, peak, 1e9) * 1.6),
    )
    title = {"wasmtime": "wasmtime", "node": "Node (V8)"}[engine]
    parts = [f'<svg viewBox="0 0 {plane.width} {plane.height}" role="img">']
    parts += plane.grid(title)
    for name, rate in (("relaxed_madd", peak), ("mul+add", plain)):
        if rate:
            parts += _roof(plane, name, rate)
    for level in LEVELS:
        found = [ceilings.get(f"{engine}/{kind}, {level}", 0.0) for kind in STREAMS]
        if rate := max(found):
            parts += _slope(plane, level, rate, peak)
    for x, y, name, target, colour in dots:
        fill = colour if fuses(target) else "none"
        stroke = "" if fill != "none" else f'style="stroke: {colour}"'
        parts.append(
            f'<circle cx="{plane.x(x):.1f}" cy="{plane.y(y):.1f}" r="4.2" '
            f'fill="{fill}" fill-opacity="0.8" class="dot" {stroke}>'
            f"<title>{escape(f'{name}, {target}: {y / 1e9:.3g}')}</title></circle>"
        )
    return "".join([*parts, "</svg>"])


def _dots(results: Results, engine: str) -> list[tuple[float, float, str, str, str]]:
    return [
        (
            record["operations"] / record["traffic"],
            record["operations"] / record["medians"][f"{engine}/{target}"],
            record["name"],
            target,
            _colour(record["operator"]),
        )
        for record in results["rows"]
        for target in TARGETS
        if record["unit"] != "int8" and f"{engine}/{target}" in record["medians"]
    ]


def _colour(operator: str) -> str:
    return next(c for _, starts, c in _FAMILIES if operator.startswith(starts))


def _roof(plane: _Plane, name: str, rate: float) -> list[str]:
    y = plane.y(rate)
    above = -5 if name == "relaxed_madd" else 13
    return [
        f'<line x1="{plane.left}" x2="{plane.width - 20}" y1="{y:.1f}" y2="{y:.1f}" '
        'class="roof"/>',
        f'<text x="{plane.width - 24}" y="{y + above:.1f}" text-anchor="end">'
        f"{name} {rate / 1e9:.1f}</text>",
    ]


def _slope(plane: _Plane, level: str, rate: float, peak: float) -> list[str]:
    """A line of constant bandwidth, inside the plane and under the roof."""
    start = max(plane.xs[0], plane.ys[0] / rate)
    end = max(start, min(plane.xs[1], peak / rate)) if peak else plane.xs[1]
    x1, y1 = plane.x(start), plane.y(rate * start)
    x2, y2 = plane.x(end), plane.y(rate * end)
    at = list(LEVELS).index(level)
    share = min(0.05 + 0.28 * at, 0.7)  # labels one beside the other
    x, y = x1 + share * (x2 - x1), y1 + share * (y2 - y1)
    angle = math.degrees(math.atan2(y2 - y1, x2 - x1))
    return [
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        'class="slope"/>',
        f'<text transform="translate({x:.1f} {y - 3:.1f}) rotate({angle:.1f})" '
        f'class="soft">{level} {rate / 1e9:.0f} GB/s</text>',
    ]
