"""`python -m bench.trace FOLDER`: time each step of a traced model, draw one page."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from html import escape
from pathlib import Path

import numpy as np
from ops_wasm32.draw import random_inputs
from ops_wasm32.model import model_of

from bench import graph, open_trace
from bench import page as pages
from bench.ceilings import Ceilings, most, of_target
from bench.library import Call, Wasmtime
from bench.records import Json
from toolchain.targets import TARGETS

ROUNDS = 7
SPAN = 1e-3  # seconds that a step is timed for in a round, unless once takes longer
_MOST_CALLS = 2000
_LEAST = 1e-9  # seconds of a step that takes less than the noise


def main() -> int:
    """Measure and draw the trace in a folder."""
    folder = Path(sys.argv[1])
    trace = json.loads((folder / "trace.json").read_text())
    how = open_trace.measure if "at" in trace else measure
    trace |= how(trace, folder / f"{trace['model']}.wasm")
    trace["ceiling"] = _ceiling(trace["target"])
    (folder / "trace.json").write_text(json.dumps(trace, indent=1) + "\n")
    out = folder / "trace.html"
    out.write_text(page(trace))
    total = sum(trace["seconds"])
    print(f"{out}: {len(trace['steps'])} steps, {_time(total)}")
    return 0


# Measuring


def measure(trace: Json, wasm: Path) -> Json:
    """Seconds of each step and of a whole run, the least of several rounds.

    A step runs on the data that the steps before it have left; short ones run
    several times on end, which finds their data in caches.
    """
    model = model_of(trace, str(wasm))
    assert model is not None
    inputs = random_inputs(model, seed=0, max_int=1)
    count = len(trace["steps"])
    inputs += [np.zeros(trace["arena"], np.uint8), np.array([0, count], np.int32)]
    host = Wasmtime(wasm)
    outputs = tuple((t.dtype, t.numbers()) for t in model.outputs)
    host.prepare(Call(model.name, tuple(inputs), outputs))

    def timed(first: int, last: int) -> Callable[[int], float]:
        def run(n: int) -> float:
            host.write(len(inputs) - 1, np.array([first, last], np.int32))
            return host.run(n) / n

        return run

    runs = [timed(i, i + 1) for i in range(count)]
    runs.append(timed(0, count))
    calls = [_calls(run) for run in runs]
    # What a call costs that runs nothing: more where the host makes few at a time.
    nothing = {n: min(timed(0, 0)(n) for _ in range(ROUNDS)) for n in set(calls)}
    best = [math.inf] * len(runs)
    for _ in range(ROUNDS):
        for i, run in enumerate(runs):
            best[i] = min(best[i], run(calls[i]) - nothing[calls[i]])
    *seconds, whole = (max(s, _LEAST) for s in best)
    return {
        "seconds": seconds,
        "whole": whole,
    }


def _calls(run: Callable[[int], float]) -> int:
    """How many calls take about SPAN; the first calls warm up."""
    seconds = min(run(1), run(1))
    return max(1, min(_MOST_CALLS, round(SPAN / seconds)))


def _ceiling(target: str) -> float | None:
    """Float operations per second that wasmtime reaches at most; None without SIMD."""
    if not TARGETS[target].vector_bits:
        return None
    rates = {}
    for name in of_target(target):
        loop, arguments, work = Ceilings().rate(name)
        iterations = 1 << 16
        seconds = min(loop.run(*arguments, iterations) for _ in range(9))
        rates[name] = work * iterations / seconds
    return most(target, rates)


# Drawing

_TRACE_STYLE = """
table { border-collapse: collapse; font-size: .82rem; width: 100%; }
td, th { text-align: left; padding: .18rem .6rem .18rem 0; vertical-align: top;
  border-top: 1px solid var(--line); } th { color: var(--soft); font-weight: 500; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
a { color: var(--ours); text-decoration: none; } tr:target { background: var(--card); }
.bar { display: inline-block; height: .7em; background: var(--ours);
  border-radius: 1.5px; margin-right: .4em; } .bar.pale { background: var(--pale); }
td.time { width: 24%; min-width: 11rem; } .block { fill: var(--pale);
  stroke: var(--card); stroke-width: .7; } .live { stroke: var(--peer);
  stroke-width: 1.6; fill: none; } .scroll { overflow-x: auto; }
td .soft { color: var(--soft); white-space: nowrap; }
"""


def page(trace: Json) -> str:
    """The page, as XHTML."""
    title = f"{trace['model']}, {trace['target']}"
    title += "".join(f", {n} {size}" for n, size in trace.get("at", {}).items())
    total = sum(trace["seconds"])
    work = sum(s["operations"] or 0 for s in trace["steps"])
    ceiling = trace["ceiling"]
    share = f", {work / total / ceiling:.0%} of the ceiling" if ceiling else ""
    lines = [
        f"{len(trace['steps'])} steps in wasmtime, one thread: {_time(total)} in all, "
        f"each step timed alone; {_time(trace['whole'])} in one run.",
        f"{work / 1e9:.3g} billion operations of products and convolutions: "
        f"{work / total / 1e9:.3g} GFLOP/s over the whole model{share}.",
    ]
    if ceiling:
        lines.append(
            f"Ceiling: {ceiling / 1e9:.3g} GFLOP/s, multiplications and additions in "
            "registers alone, measured in the same run."
        )
    parts = [
        *(f"<p>{escape(line)}</p>" for line in lines),
        "<h2>Where time goes</h2>",
        _kinds(trace),
        "<h2>Graph</h2>",
        "<p>After fusion, in the order in which it runs. A box is filled by its step's "
        "share of the longest step's time; arrows are intermediates.</p>",
        f'<div class="wide">{graph.graph(trace, _time)}</div>',
        "<h2>Memory over time</h2>",
        f"<p>The arena: {_size(trace['arena'])}; the largest live set: "
        f"{_size(trace['lower_bound'])}; weights beside it: "
        f"{_size(trace['weight_bytes'])}. "
        "Boxes: intermediates, from the step that writes one to the last that reads "
        "it, at their place in the arena. Line: bytes alive. Point at one for its "
        "name.</p>",
        f'<div class="wide">{memory(trace)}</div>',
        "<h2>Steps</h2>",
        "<p>Numbers behind arrows lead to the step that made an input. GB/s: every "
        "tensor of the step once.</p>",
        f'<div class="scroll">{_steps(trace)}</div>',
    ]
    return pages.page(title, parts, _TRACE_STYLE + graph.STYLE)


def _kinds(trace: Json) -> str:
    """Time by kind of kernel."""
    kinds: dict[str, list[float]] = {}
    for step, seconds in zip(trace["steps"], trace["seconds"], strict=True):
        sums = kinds.setdefault(step["label"], [0, 0, 0])
        for i, value in enumerate((1, seconds, step["operations"] or 0)):
            sums[i] += value
    total = sum(trace["seconds"]) or 1.0
    rows = "".join(
        f"<tr><td>{escape(kind)}</td><td class='n'>{count}</td>"
        f"<td class='n'>{_time(seconds)}</td>"
        f"<td class='time'>{_bar(seconds / total, 9)}{seconds / total:.1%}</td>"
        f"<td class='n'>{_rate(work, seconds, trace['ceiling'])}</td></tr>"
        for kind, (count, seconds, work) in sorted(
            kinds.items(), key=lambda item: -item[1][1]
        )
    )
    return (
        '<table><tr><th>kernel</th><th class="n">steps</th><th class="n">time</th>'
        f'<th>share</th><th class="n">GFLOP/s</th></tr>{rows}</table>'
    )


def _bar(share: float, width: float, kind: str = "") -> str:
    return f'<span class="bar{kind}" style="width: {share * width:.2f}rem"></span>'


def _rate(work: float, seconds: float, ceiling: float | None) -> str:
    if not work or not seconds:
        return "–"
    rate = work / seconds
    share = f" ({rate / ceiling:.0%})" if ceiling else ""
    return f"{rate / 1e9:.3g}{share}"


def _steps(trace: Json) -> str:
    longest = max(trace["seconds"], default=0) or 1.0
    rows = []
    for i, (step, seconds) in enumerate(
        zip(trace["steps"], trace["seconds"], strict=True)
    ):
        kind = "" if step["operations"] else " pale"
        rows.append(
            f'<tr id="s{i}"><td class="n">{i}</td>'
            f'<td title="{escape(step["kernel"])}, object of {step["code"]} bytes">'
            f"{escape(step['label'])}{_node(step)}</td>"
            f"<td>{_operands(step['inputs'])}</td>"
            f"<td>{'<br/>'.join(_shape(t) for t in step['outputs'])}</td>"
            f'<td class="time">{_bar(seconds / longest, 7, kind)}{_time(seconds)}</td>'
            f'<td class="n">{_rate(step["operations"], seconds, trace["ceiling"])}</td>'
            f'<td class="n">{step["traffic"] / seconds / 1e9:.3g}</td>'
            f'<td class="n">{_size(step["live"])}</td></tr>'
            if seconds
            else f'<tr id="s{i}"><td class="n">{i}</td><td>{escape(step["label"])}</td>'
            f"<td>{_operands(step['inputs'])}</td>"
            f"<td>{'<br/>'.join(_shape(t) for t in step['outputs'])}</td>"
            f'<td>0</td><td/><td/><td class="n">{_size(step["live"])}</td></tr>'
        )
    return (
        '<table><tr><th class="n">#</th><th>kernel</th><th>inputs</th><th>outputs</th>'
        '<th>time</th><th class="n">GFLOP/s</th><th class="n">GB/s</th>'
        f'<th class="n">alive</th></tr>{"".join(rows)}</table>'
    )


def _node(step: Json) -> str:
    """The node of the file that a step does work of, where it is known."""
    name = step.get("node", "")
    return f'<br/><span class="soft">{escape(name)}</span>' if name else ""


def _operands(inputs: list[Json]) -> str:
    found = []
    for tensor in inputs:
        source = tensor["from"]
        if isinstance(source, int):
            found.append(f'{_shape(tensor)} <a href="#s{source}">← {source}</a>')
        elif source == "input":
            found.append(f"{_shape(tensor)} ← {escape(tensor['name'])}")
    weights = [t for t in inputs if t["from"] == "weights"]
    if weights:
        shapes = " ".join(_shape(t) for t in weights)
        found.append(f'<span class="soft">weights {shapes}</span>')
    return "<br/>".join(found)


def _shape(tensor: Json) -> str:
    text = "×".join(map(str, tensor["shape"])) or "scalar"
    return text if tensor["dtype"] == "float32" else f"{tensor['dtype']} {text}"


def memory(trace: Json) -> str:
    """The arena over time: a box for each intermediate, a line for what is alive."""
    width, height, left, top, bottom = 1000, 330, 64, 22, 34
    count, size = max(len(trace["steps"]), 1), max(trace["arena"], 1)

    def x(step: float) -> float:
        return left + step / count * (width - left - 12)

    def y(offset: float) -> float:
        share = float(offset / size)
        return height - bottom - share * (height - top - bottom)

    parts = [f'<svg viewBox="0 0 {width} {height}" role="img">']
    for block in trace["blocks"]:
        a, b = x(block["first"]), x(block["last"] + 1)
        high = block["offset"] + block["bytes"]
        text = (
            f"{block['name']}: {_shape(block)}, {_size(block['bytes'])}, "
            f"steps {block['first']}–{block['last']}"
        )
        parts.append(
            f'<rect x="{a:.1f}" y="{y(high):.1f}" width="{b - a:.1f}" '
            f'height="{y(block["offset"]) - y(high):.1f}" class="block">'
            f"<title>{escape(text)}</title></rect>"
        )
    points = " ".join(
        f"{x(i + side):.1f},{y(step['live']):.1f}"
        for i, step in enumerate(trace["steps"])
        for side in (0, 1)
    )
    parts.append(f'<polyline points="{points}" class="live"/>')
    parts.append(
        f'<line x1="{left}" x2="{width - 12}" y1="{y(size):.1f}" y2="{y(size):.1f}" '
        f'class="roof"/><text x="{left}" y="14">arena, {_size(trace["arena"])}</text>'
    )
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(
            f'<text x="{left - 6}" y="{y(share * size) + 4:.1f}" text-anchor="end" '
            f'class="soft">{_size(share * trace["arena"])}</text>'
        )
    step = max(1, 10 ** math.ceil(math.log10(count / 12))) if count > 12 else 1
    for i in range(0, count, step):
        parts.append(
            f'<text x="{x(i + 0.5):.1f}" y="{height - bottom + 15}" '
            f'text-anchor="middle" class="soft">{i}</text>'
        )
    parts.append(
        f'<text x="{(left + width) / 2}" y="{height - 4}" text-anchor="middle" '
        'class="soft">step</text></svg>'
    )
    return "".join(parts)


def _time(seconds: float) -> str:
    return f"{seconds * 1e3:.3g} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.3g} µs"


def _size(count: float) -> str:
    for unit, least in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= least:
            return f"{count / least:.3g} {unit}"
    return f"{count:.0f} B"


if __name__ == "__main__":
    sys.exit(main())
