"""The instruction-set targets: one line each."""

from __future__ import annotations

from dataclasses import dataclass

# Engines that have SIMD have these too; plain WebAssembly 1.0 has none of them.
_BASE = ("mutable-globals", "sign-ext", "nontrapping-fptoint", "bulk-memory")


@dataclass(frozen=True)
class Target:
    """features: LLVM's names. contract: multiply-adds may fuse."""

    name: str
    features: tuple[str, ...]
    contract: bool = False

    def has(self, feature: str) -> bool:
        """Whether the target has a feature."""
        return feature in self.features

    @property
    def vector_bits(self) -> int:
        """Width of a vector register; 0 without SIMD."""
        return 128 if self.has("simd128") else 0


TARGETS = {
    target.name: target
    for target in (
        Target("mvp", ()),
        Target("simd128", (*_BASE, "simd128")),
        Target("relaxed-simd", (*_BASE, "simd128", "relaxed-simd"), contract=True),
    )
}
