"""Refusals: what a file has that nothing converts, a line for each operator."""

from __future__ import annotations

from dataclasses import dataclass

from toolchain.spec import SpecError


@dataclass(frozen=True)
class Unsupported:
    """A node that nothing converts.

    chosen: it stands in a branch of an If, which may not be taken.
    """

    operator: str
    node: str
    reason: str
    chosen: bool


def refuse(found: list[Unsupported], where: str, page: str = "docs/onnx.md") -> None:
    """Raise an error with a line for each operator, unless branches hold them all.

    page: the document that lists what is supported.
    """
    if all(u.chosen for u in found):
        return
    groups: dict[tuple[str, str], list[str]] = {}
    for one in found:
        groups.setdefault((one.operator, one.reason), []).append(one.node)
    lines = [f"{where}: these operators are not supported ({page}: which are):"]
    for (operator, reason), nodes in groups.items():
        several = f" and {len(nodes) - 1} more" if len(nodes) > 1 else ""
        lines.append(f"{operator}, node {nodes[0]}{several}{reason}")
    raise SpecError("\n  ".join(lines))


_OPTIMISER = (
    "an operator that ONNX Runtime's optimiser writes; take the file that it was given"
)
# Domains whose operators others write, and what to do about them.
_WRITERS = {
    "com.microsoft": _OPTIMISER,
    "com.microsoft.nchwc": "in the layout of the processor that ONNX Runtime's "
    "optimiser ran on; let it optimise to ORT_ENABLE_EXTENDED, or take its input",
    "ai.onnx.ml": "an operator of classical machine learning",
    "ai.onnx.preview.training": "an operator of training",
}
# Operators that ONNX Runtime writes into the standard's own domain.
_FOREIGN = ("SimplifiedLayerNormalization",)


def reason_of(name: str, domain: str) -> str:
    """Why an operator has no converter, where its writer is known; else nothing."""
    return _OPTIMISER if name in _FOREIGN else _WRITERS.get(domain, "")
