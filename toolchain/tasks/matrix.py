"""Matrix: the lists in docs/ of operators, dtypes and primitives, from the registry."""

from __future__ import annotations

import textwrap
from pathlib import Path

from toolchain.codegen.operators import formula, load_operator
from toolchain.profile import full_profile
from toolchain.spec import DTYPES, Operator

BEGIN = "<!-- primitives: written by `doit matrix` -->"
END = "<!-- end of primitives -->"
_HEAD = """\
# Operators

Written by `doit matrix` from the operator files in `kernels/`.

Operators have ONNX's names and semantics: numpy broadcasting, any rank up to 8, any
axis, sizes of 0. Attributes are arguments of a call. float32 sums are accumulated in
float32, int8 sums in int32; integers wrap. The dtypes uint8, int64 and bool stand where
an operator needs them: for indices, masks, comparisons and quantized data. A cell names
in parentheses the second dtype of an operator that has two, such as the indices of
`gather`.
"""
# Every operator says why one of these is missing; the others stand where an
# operator needs them (indices, masks, comparisons, quantized data).
EXPLAINED = ("float32", "int32", "int8")


class MatrixError(Exception):
    """A cell that is empty and does not say why, or a page without markers."""


def matrix() -> str:
    """Markdown: a row per operator, a column per dtype, the reasons below."""
    reasons: list[str] = []
    rows = [
        f"| operator | {' | '.join(DTYPES)} | what it computes |",
        f"|---|{':-:|' * len(DTYPES)}---|",
    ]
    for name, path in full_profile().operators.items():
        operator = load_operator(path)
        cells = " | ".join(_cell(name, operator, d, reasons) for d in DTYPES)
        what = formula(path).replace("|", "\\|")
        rows.append(f"| `{name}` | {cells} | `{what}` |")
    notes = [f"{i}. {reason}" for i, reason in enumerate(reasons, 1)]
    return "\n".join([*rows, "", "Why a cell is empty:", "", *notes])


def _cell(name: str, operator: Operator, dtype: str, reasons: list[str]) -> str:
    seconds = [v[1:] for v in operator.variants() if v[0] == dtype]
    if seconds:
        more = sorted({d for s in seconds for d in s})
        return "✓" + (f" ({', '.join(more)})" if more else "")
    if dtype not in EXPLAINED and dtype not in operator.absent:
        return ""
    if dtype not in operator.absent:
        raise MatrixError(
            f"{name}: has no {dtype} and does not say why; "
            f"add absent={{{dtype!r}: ...}}"
        )
    reason = operator.absent[dtype]
    if reason not in reasons:
        reasons.append(reason)
    return f"<sup>{reasons.index(reason) + 1}</sup>"


def operators_page() -> str:
    """The whole of docs/operators.md."""
    return f"{_HEAD}\n{matrix()}\n"


def primitives() -> str:
    """Markdown: MindIR's primitives that models may hold."""
    from toolchain.frontends.primitives.calls import table

    names = ", ".join(f"`{name}`" for name in sorted(table()))
    return textwrap.fill(names, 88, break_long_words=False)


def with_primitives(text: str) -> str:
    """The text of docs/mindir.md with the primitives of today between its markers."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise MatrixError(f"docs/mindir.md lacks the markers {BEGIN} and {END}")
    return f"{head}{BEGIN}\n{primitives()}\n{END}{tail}"


def write_lists(folder: Path) -> None:
    """Write the lists of operators and of primitives into the folder of documents."""
    (folder / "operators.md").write_text(operators_page())
    page = folder / "mindir.md"
    page.write_text(with_primitives(page.read_text()))
