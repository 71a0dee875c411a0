"""Matrix: the table of operators and dtypes in the README, from the registry."""

from __future__ import annotations

from pathlib import Path

from toolchain.codegen.operators import formula, load_operator
from toolchain.profile import full_profile
from toolchain.spec import DTYPES, Operator

BEGIN = "<!-- matrix: written by `doit matrix` -->"
END = "<!-- end of matrix -->"
# Every operator says why one of these is missing; the others stand where an
# operator needs them (indices, masks, comparisons, quantized data).
EXPLAINED = ("float32", "int32", "int8")


class MatrixError(Exception):
    """A cell that is empty and does not say why, or a README without markers."""


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


def with_matrix(text: str) -> str:
    """A README's text with the matrix of today between its markers."""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise MatrixError(f"README.md lacks the markers {BEGIN} and {END}")
    return f"{head}{BEGIN}\n{matrix()}\n{END}{tail}"


def update_readme(path: Path) -> None:
    """Write the matrix into a README."""
    path.write_text(with_matrix(path.read_text()))
