"""Picture: speed and size beside the peers, drawn from the tables of docs/speed.md."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape

from bench import sizes, table
from bench.errors import TableError
from bench.whole import table as whole_table

# Rows of the operators' table that the picture shows: of each kind of operator one.
OPERATORS = (
    "matmul 512³",
    "conv NCHW, 3×3 56×56×64→64",
    "depthwise 3×3 stride 1, 56×56×64",
    "softmax 12×128×128",
    "reduce_max last axis of 1000×1000",
    "transpose NCHW→NHWC 56×56×64",
)
MODELS = ("LeNet", "ResNet-50", "MobileNetV2", "encoder", "decoder", "U-Net")
LIBRARY = "simd128 library"
CODE_OF = "MobileNetV2"  # the model whose code stands beside the peers' modules

_WIDTH, _ROW, _TOP = 280, 34, 46
_STYLE = """
text { font: 12px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 13px }
.soft { fill: #59636e; font-size: 11px }
.ours { fill: #1971c2 } .peer { fill: #adb5bd }
.rule { stroke: #868e96; stroke-dasharray: 3 3 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .soft { fill: #9198a1 }
  .ours { fill: #4dabf7 } .peer { fill: #5c6773 }
}
"""


@dataclass(frozen=True)
class Bar:
    """A bar of a panel: its length in the panel's unit, and what is written at it."""

    label: str
    value: float
    text: str
    ours: bool = True


def picture(page: str) -> str:
    """The picture of a page with all tables, as SVG. Errors: TableError."""
    models = cells(page, whole_table.BEGIN, whole_table.END)
    operators = cells(page, table.BEGIN, table.END)
    panels = (
        ("Time of a model", "ONNX Runtime Web = 1; less is better", _times(models)),
        ("Speed of an operator", "best peer = 1; more is better", _speeds(operators)),
        ("Bytes of WebAssembly", "less is better", _sizes(page, operators, models)),
    )
    height = _TOP + _ROW * max(len(bars) for _, _, bars in panels) + 6
    width = len(panels) * (_WIDTH + 20)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'role="img"><title>Speed and size beside the peers</title>'
        f"<style>{_STYLE}</style>"
    ]
    for i, (title, how, bars) in enumerate(panels):
        line = 1.0 if i < 2 else None  # the peer's bar would be of length 1
        parts.append(f'<g transform="translate({i * (_WIDTH + 20) + 10} 0)">')
        parts += _panel(title, how, bars, line)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>", ""])


def cells(page: str, begin: str, end: str) -> dict[str, dict[str, str]]:
    """Rows of the table between two markers: by their first cell, cells by title."""
    inside = page.partition(begin)[2].partition(end)[0]
    lines = [x[2:-2].split(" | ") for x in inside.splitlines() if x.startswith("| ")]
    if not lines:
        raise TableError(f"docs/speed.md has no table after {begin}")
    rows = [x for x in lines[1:] if x[0] != "---"]
    return {x[0]: dict(zip(lines[0], x, strict=False)) for x in rows}


def _row(rows: dict[str, dict[str, str]], name: str) -> dict[str, str]:
    if name not in rows:
        raise TableError(
            f"docs/speed.md has no row {name!r}, which bench/picture.py draws; change "
            "its list, or run the whole bench"
        )
    return rows[name]


def _first(text: str) -> float:
    """The first figure of a cell, which is relaxed-simd's."""
    found = re.match(r"[\d.,]+", text)
    if not found:
        raise TableError(f"docs/speed.md: {text!r} does not begin with a figure")
    return float(found[0].replace(",", ""))


def _times(rows: dict[str, dict[str, str]]) -> list[Bar]:
    found = {m: _first(_row(rows, m)["Node × ORT Web (goal)"]) for m in MODELS}
    return [Bar(m, value, f"{value:.2f}") for m, value in found.items()]


def _speeds(rows: dict[str, dict[str, str]]) -> list[Bar]:
    found = {o: _first(_row(rows, o)["× best peer (goal)"]) for o in OPERATORS}
    return [Bar(o, value, f"{value:.2f} ×") for o, value in found.items()]


def _sizes(
    page: str, operators: dict[str, dict[str, str]], models: dict[str, dict[str, str]]
) -> list[Bar]:
    library = _first(_row(operators, LIBRARY)["wasmtime"])
    code = _first(_row(models, CODE_OF)["code, KiB (goal)"]) * 1024
    peers = cells(page, sizes.BEGIN, sizes.END)
    found = [
        (sizes.SHORT.get(name.split(" ")[0], name), _first(row["bytes"]), False)
        for name, row in peers.items()
    ]
    found += [("ours, all operators", library, True)]
    found += [(f"ours, {CODE_OF} without weights", code, True)]
    return [Bar(n, size, _bytes(size), ours) for n, size, ours in found]


def _bytes(size: float) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.0f} KB"


def _panel(title: str, how: str, bars: list[Bar], line: float | None) -> list[str]:
    """A panel's title and bars; a dashed line at the peer's length."""
    longest = max([bar.value for bar in bars] + ([line] if line else []))
    scale = (_WIDTH - 50) / longest
    found = [
        f'<text y="16" class="title">{escape(title)}</text>',
        f'<text y="32" class="soft">{escape(how)}</text>',
    ]
    for i, bar in enumerate(bars):
        y, long = _TOP + _ROW * i, max(bar.value * scale, 1)
        kind = "ours" if bar.ours else "peer"
        found += [
            f'<text y="{y + 10}" class="soft">{escape(bar.label)}</text>',
            f'<rect y="{y + 14}" width="{long:.1f}" height="12" class="{kind}"/>',
            f'<text x="{long + 5:.1f}" y="{y + 24}">{escape(bar.text)}</text>',
        ]
    if line:
        x, bottom = line * scale, _TOP + _ROW * len(bars)
        found.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{bottom}" class="rule"/>'
        )
    return found
