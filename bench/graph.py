"""The graph of a traced model: steps below each other, an arc for each skip."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from bench.records import Json

STYLE = """
.step { fill: var(--card); stroke: var(--line); } .share { fill: var(--pale); }
.edge { fill: none; stroke: var(--soft); stroke-width: 1.1; }
.end { fill: var(--soft); }
"""
_WIDTH, _BOX, _HIGH, _PITCH = 1000, 430, 20, 32  # of the drawing and of a step
_LANE, _MOST = 13, 360  # between two arcs; at the left of the boxes


def graph(trace: Json, time: Callable[[float], str]) -> str:
    """An SVG. A box's filling is its share of the longest step's time.

    time: seconds as text.
    """
    steps, left = trace["steps"], _MOST + 20
    longest = max(trace["seconds"], default=0) or 1.0
    height = _PITCH * len(steps) + 10
    parts = [f'<svg viewBox="0 0 {_WIDTH} {height}" role="img">']
    for first, last, lane in _arcs(trace):
        parts.append(_edge(first, last, left, lane))
    for i, (step, seconds) in enumerate(zip(steps, trace["seconds"], strict=True)):
        y = _PITCH * i + 5
        text = f'y="{y + 14}"'
        given = [t["name"] for t in step["inputs"] if t["from"] == "input"]
        ends = {t["name"] for t in trace["outputs"]}
        given = [f"← {n}" for n in given]
        given += [f"→ {t['name']}" for t in step["outputs"] if t["name"] in ends]
        parts.append(
            f'<a href="#s{i}"><rect x="{left}" y="{y}" width="{_BOX}" '
            f'height="{_HIGH}" class="step"/><rect x="{left}" y="{y}" '
            f'width="{_BOX * seconds / longest:.1f}" height="{_HIGH}" class="share"/>'
            f'<text x="{left + 8}" {text}>{i} {escape(step["label"])}</text>'
            f'<text x="{left + _BOX - 8}" {text} text-anchor="end">{time(seconds)}'
            f'</text></a><text x="{left + _BOX + 10}" {text} class="soft">'
            f"{escape(' '.join(given))}</text>"
        )
    return "".join([*parts, "</svg>"])


def _arcs(trace: Json) -> list[tuple[int, int, int]]:
    """Edges (from, to, lane): an edge to the next step has lane 0.

    An arc takes the first lane that is free over all steps that it passes.
    """
    edges = {
        (t["from"], i)
        for i, step in enumerate(trace["steps"])
        for t in step["inputs"]
        if isinstance(t["from"], int)
    }
    found, free = [], [0]  # of each lane, the step from which it is free
    for first, last in sorted(edges):
        lane = 0
        if last > first + 1:
            lanes = (n for n in range(1, len(free)) if free[n] <= first)
            lane = next(lanes, len(free))
            free[lane:] = [last, *free[lane + 1 :]]
        found.append((first, last, lane))
    return found


def _edge(first: int, last: int, left: int, lane: int) -> str:
    if not lane:
        x, top = left + 24, _PITCH * first + 5 + _HIGH
        bottom = top + _PITCH - _HIGH
        path, end = f"M{x} {top}V{bottom - 4}", f"M{x} {bottom}l-4 -6h8z"
    else:
        x = max(left - 10 - _LANE * lane, left - _MOST)
        start, y = (_PITCH * i + 5 for i in (first, last))
        start, y = start + _HIGH * 7 // 10, y + _HIGH * 3 // 10
        path = (
            f"M{left} {start}H{x + 6}Q{x} {start} {x} {start + 6}"
            f"V{y - 6}Q{x} {y} {x + 6} {y}H{left - 5}"
        )
        end = f"M{left} {y}l-6 -4v8z"
    return f'<path d="{path}" class="edge"/><path d="{end}" class="end"/>'
