"""Tile: what a micro-kernel of float32 or int32 products keeps in registers."""

from __future__ import annotations

from dataclasses import dataclass

from llvmlite import ir

from toolchain.micro.builder import F32, I32, WORD, vector
from toolchain.spec.panels import PANEL_WIDTH
from toolchain.targets import Target


@dataclass(frozen=True)
class Tile:
    """A block of the result: `rows` by `columns` sums, of kind f32 or i32.

    form: how an element of the left panel comes into every lane of a register: "splat"
    (the panel holds it in every lane), "shuffle" (from a register with those of four
    rows), "load" (each by itself), "rows" (likewise, of rows that are not packed).
    """

    kind: str
    form: str
    rows: int
    columns: int
    target: Target
    dense: bool = False

    def rules(self) -> tuple[tuple[bool, str], ...]:
        """What a tile must fulfil, for `check_name`."""
        whole = self.columns % PANEL_WIDTH == 0 or self.columns == PANEL_WIDTH // 2
        shuffled = self.form != "shuffle" or self.rows % self.lanes == 0
        phased = (self.kind, self.form, self.dense) == ("f32", "rows", True)
        return (
            (self.rows > 0, "it has no rows; use 1 or more"),
            (
                whole and self.columns > 0,
                f"columns must be {PANEL_WIDTH // 2}, {PANEL_WIDTH} or a multiple of "
                f"{PANEL_WIDTH}",
            ),
            (shuffled, f"rows must fill registers; use a multiple of {self.lanes}"),
            (
                self.phases == 1 or phased,
                "one row by one panel has several sums for each element; use "
                f"micro_gemm_f32_rows_1x{PANEL_WIDTH}_dense",
            ),
        )

    @property
    def lanes(self) -> int:
        """Elements in a register."""
        return self.target.lanes()

    @property
    def vectors(self) -> int:
        """Registers of a row."""
        return self.columns // self.lanes

    @property
    def bytes(self) -> int:
        """Of a register."""
        return self.lanes * WORD

    @property
    def panels(self) -> int:
        """Panels of the right factor side by side."""
        return max(self.columns // PANEL_WIDTH, 1)

    @property
    def left_pointers(self) -> int:
        """Pointers into the left factor: to a panel, or to rows that are not packed."""
        return self.rows if self.form == "rows" else 1

    @property
    def unroll(self) -> int:
        """Steps of k between two updates of the pointers."""
        if self.barrier:
            return self.target.tuning("gemm.barrier_unroll")
        splat = self.kind == "f32" and self.form == "splat"
        return self.target.tuning("gemm.splat_unroll" if splat else "gemm.unroll")

    @property
    def phases(self) -> int:
        """Sums of an element, each of every so many k: where chains would wait.

        As many as a register of the row has elements, which the phases take in turn.
        """
        return self.lanes if self.rows * self.columns == PANEL_WIDTH else 1

    @property
    def barrier(self) -> int:
        """Products of a step ahead of a scheduling barrier; 0: there is none."""
        parted = self.kind == "f32" and self.form == "shuffle"
        if not (parted and self.target.overwrites_factor):
            return 0
        return self.rows * self.vectors // self.target.tuning("gemm.barrier")

    @property
    def register(self) -> ir.Type:
        """Type of a register: a vector, or a scalar without SIMD."""
        return vector(self.scalar, self.lanes)

    @property
    def scalar(self) -> ir.Type:
        """Type of an element of the result."""
        return F32 if self.kind == "f32" else I32

    @property
    def left_bytes(self) -> int:
        """Bytes of a step of k in the left panel, or in a row."""
        if self.form == "rows":
            return WORD
        return self.rows * WORD * (self.lanes if self.form == "splat" else 1)
