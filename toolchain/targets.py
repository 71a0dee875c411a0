"""The instruction-set targets: one line each, plainer ones first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from toolchain import tuning

# LLVM's triple, and its CPU that has none of the features.
TRIPLE, CPU = "wasm32-unknown-unknown", "mvp"
# Engines that have SIMD have these too; plain WebAssembly 1.0 has none of them.
_BASE = ("mutable-globals", "sign-ext", "nontrapping-fptoint", "bulk-memory")
_RELAXED = (*_BASE, "simd128", "relaxed-simd")

# By feature: text of WebAssembly that an engine takes which has it. Hosts choose a
# target by these; one with a feature that is not here is taken by its name alone.
PROBES = {
    "mutable-globals": '(global (export "g") (mut i32) (i32.const 0))',
    "sign-ext": "(func (drop (i32.extend8_s (i32.const 0))))",
    "nontrapping-fptoint": "(func (drop (i32.trunc_sat_f32_s (f32.const 0))))",
    "bulk-memory": "(func (memory.fill (i32.const 0) (i32.const 0) (i32.const 0)))",
    "simd128": "(func (drop (i8x16.popcnt (v128.const i64x2 0 0))))",
    "relaxed-simd": "(func (drop (f32x4.relaxed_madd (v128.const i64x2 0 0) "
    "(v128.const i64x2 0 0) (v128.const i64x2 0 0))))",
}


@dataclass(frozen=True)
class Target:
    """features: LLVM's names. contract: multiply-adds may fuse.

    accumulating: tuned for engines whose relaxed multiply-add overwrites the addend
    (V8), where others overwrite a factor (wasmtime's cranelift). tuned: numbers of
    toolchain/tuning that a profile gives, by name.
    """

    name: str
    features: tuple[str, ...]
    contract: bool = False
    accumulating: bool = False
    tuned: tuple[tuple[str, int], ...] = ()

    def tuning(self, name: str) -> int:
        """A number of toolchain/tuning. Errors: TuningError for an unknown name."""
        return tuning.ask(self.name, dict(self.tuned), name)

    def with_tuning(self, values: Mapping[str, int]) -> Target:
        """The target with other values of some numbers."""
        return replace(self, tuned=tuple(sorted(values.items())))

    def has(self, feature: str) -> bool:
        """Whether the target has a feature."""
        return feature in self.features

    @property
    def overwrites_factor(self) -> bool:
        """Whether it is tuned for engines whose multiply-add overwrites a factor."""
        return self.contract and not self.accumulating

    @property
    def vector_bits(self) -> int:
        """Width of a vector register; 0 without SIMD."""
        return 128 if self.has("simd128") else 0

    def lanes(self, bits: int = 32) -> int:
        """Elements of so many bits that are computed at a time."""
        return max(1, self.vector_bits // bits)


TARGETS = {
    target.name: target
    for target in (
        Target("mvp", ()),
        Target("simd128", (*_BASE, "simd128")),
        Target("relaxed-simd", _RELAXED, contract=True),
        Target("relaxed-simd-v8", _RELAXED, contract=True, accumulating=True),
    )
}

DEFAULT = "simd128"  # of commands: engines of today take it, and give the same bits


def by_preference() -> list[Target]:
    """The targets, best first, for an engine that takes the features of several."""
    return sorted(TARGETS.values(), key=lambda target: -len(target.features))


def simd_families() -> list[list[Target]]:
    """The targets with SIMD by their features, best first.

    The first of a family is for engines that no other is tuned for.
    """
    found: dict[tuple[str, ...], list[Target]] = {}
    for target in by_preference():
        if target.vector_bits:
            found.setdefault(target.features, []).append(target)
    return list(found.values())
