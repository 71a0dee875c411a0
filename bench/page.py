"""Pages: one file with everything inside, drawn as SVG, and its bar charts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

STYLE = """
:root { --ground: #fcfcfa; --ink: #1d2329; --soft: #667079; --line: #d8dcdf;
  --card: #ffffff; --ours: #0b7285; --pale: #66b2bf; --peer: #e8890c;
  --native: #b4bac0; --miss: #c92a2a; --pass: #2b8a3e; }
@media (prefers-color-scheme: dark) { :root { --ground: #15191d; --ink: #e6e9eb;
  --soft: #98a2ab; --line: #343b42; --card: #1c2126; --ours: #22b8cf;
  --pale: #1a7f8e; --peer: #f2a33a; --native: #59626b; --miss: #ff8787;
  --pass: #69db7c; } }
body { margin: 0 auto; padding: 2rem 1.5rem 4rem; max-width: 76rem;
  background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 .5rem; } h2 { margin: 2.5rem 0 .5rem; }
p { max-width: 60rem; color: var(--soft); margin: .3rem 0; }
.sum { color: var(--ink); font-size: 1.1rem; }
.cards { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(22rem, 1fr)); }
.card { background: var(--card); border: 1px solid var(--line);
  border-radius: 6px; padding: .7rem .9rem .5rem; }
.card h3 { font-size: .95rem; margin: 0; } .card p { font-size: .8rem; }
.wide { background: var(--card); border: 1px solid var(--line);
  border-radius: 6px; padding: .5rem; margin: 1rem 0; }
svg { width: 100%; height: auto; display: block; font: 11px system-ui, sans-serif; }
text { fill: var(--ink); } .soft { fill: var(--soft); }
.ours { fill: var(--ours); } .pale { fill: var(--pale); } .peer { fill: var(--peer); }
.native { fill: var(--native); }
.rule { stroke: var(--line); stroke-width: 1; }
.best { stroke: var(--peer); stroke-width: 1.2; stroke-dasharray: 3 3; }
.roof { stroke: var(--ink); stroke-width: 1.6; fill: none; }
.slope { stroke: var(--soft); stroke-width: 1.2; fill: none; }
.pass { color: var(--pass); } .miss { color: var(--miss); }
.dot { stroke: var(--card); stroke-width: 1; }
.key i { display: inline-block; width: .8em; height: .8em; margin: 0 .3em 0 1em; }
ul { columns: 2; font-size: .85rem; } @media (max-width: 60rem) { ul { columns: 1; } }
"""


def page(title: str, parts: Iterable[str], style: str = "") -> str:
    """A page as XHTML: a title over parts that are XHTML; style: more of CSS."""
    title = escape(title)
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html xmlns="http://www.w3.org/1999/xhtml" lang="en"><head>',
            '<meta charset="utf-8"/>',
            '<meta name="viewport" content="width=device-width, initial-scale=1"/>',
            f"<title>{title}</title><style>{STYLE}{style}</style></head><body>",
            f"<h1>{title}</h1>",
            *parts,
            "</body></html>\n",
        ]
    )


def key(items: Iterable[tuple[str, str]], more: str = "") -> str:
    """What colours mean: (a colour of CSS, its meaning)."""
    shown = "".join(
        f'<i style="background: {colour}"></i>{escape(name)}' for colour, name in items
    )
    return f'<p class="key">{shown}{more}</p>'


def bullets(title: str, lines: Sequence[str]) -> list[str]:
    """A heading and its list; nothing where there are no lines."""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return [f"<h2>{escape(title)}</h2><ul>{items}</ul>"] if lines else []


@dataclass(frozen=True)
class Verdicts:
    """How many goals a run has, which it missed, and notes, in words."""

    goals: int
    missed: Sequence[str]
    notes: Sequence[str]


def verdict_page(
    title: str, heading: Iterable[str], parts: Iterable[str], verdicts: Verdicts
) -> str:
    """A report: goals reached, how it was made, its parts, misses and notes."""
    passed = verdicts.goals - len(verdicts.missed)
    return page(
        title,
        [
            f'<p class="sum">{passed} of {verdicts.goals} goals reached.</p>',
            *(f"<p>{escape(line)}</p>" for line in heading),
            *parts,
            *bullets("Goals missed", verdicts.missed),
            *bullets("Notes", verdicts.notes),
        ],
    )


def verdict_card(
    name: str, verdict: str, about: str, bars: str, lines: Iterable[str]
) -> str:
    """A row's card. about: text beside its verdict; lines: text under its bars."""
    kind = "pass" if verdict == "pass" else "miss"
    more = "".join(f"<p>{escape(line)}</p>" for line in lines)
    return (
        f'<div class="card"><h3>{escape(name)}</h3>'
        f'<p><span class="{kind}">{escape(verdict)}</span>{escape(about)}</p>'
        f"{bars}{more}</div>"
    )


@dataclass(frozen=True)
class Bar:
    """A bar of a chart: its label, class of colour, length and the text behind it."""

    label: str
    kind: str
    value: float | None
    text: str = ""


def bar_chart(bars: Sequence[Bar], top: float, mark: float | None = None) -> str:
    """Bars on a scale to `top`, which they may leave; mark: a dashed line."""
    left, width, step = 168, 190, 17
    parts = [f'<svg viewBox="0 0 400 {step * len(bars) + 4}" role="img">']
    for i, bar in enumerate(bars):
        y = i * step + 2
        parts.append(
            f'<text x="{left - 6}" y="{y + 11}" text-anchor="end" class="soft">'
            f"{escape(bar.label)}</text>"
        )
        if bar.value is None:
            parts.append(f'<text x="{left + 2}" y="{y + 11}" class="soft">–</text>')
            continue
        length = max(1.0, min(bar.value / top, 1.0) * width)
        more = " →" if bar.value > top else ""
        parts.append(
            f'<rect x="{left}" y="{y}" width="{length:.1f}" height="{step - 4}" '
            f'rx="1.5" class="{bar.kind}"/>'
            f'<text x="{left + length + 4:.1f}" y="{y + 11}">{bar.text}{more}</text>'
        )
    if mark is not None:
        x = left + mark / top * width
        high = step * sum(bar.kind != "native" for bar in bars)
        parts.append(
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{high}" class="best"/>'
        )
    return "".join([*parts, "</svg>"])
