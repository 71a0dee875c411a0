"""Clang: C of the runtime and of hand-written kernels to objects or IR."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from toolchain.process.command import run, tool
from toolchain.profile import ROOT
from toolchain.targets import CPU, Target

ZIG_TRIPLE = "wasm32-freestanding"  # as zig calls LLVM's
RUNTIME = ROOT / "runtime_stub"
# Where loops over elements are, speed counts; elsewhere size, as every module has
# the runtime: made for speed it is 60 % larger. zig turns a plain -Oz into -Os.
# Strength reduction and inlining make wasm larger: without them it is 8 % smaller.
HOT = ("collapse_concat", "fast", "indices", "view")
# Small, but with vectors where the source has them.
VECTORS = ("collapse_elementwise",)
FAST = ("-O2",)
SMALL = (
    *("-Os", "-Xclang", "-Oz"),
    *("-mllvm", "-disable-lsr", "-mllvm", "-inline-threshold=-50"),
)
_INCLUDE = re.compile(r'^#include "([^"]+)"', re.M)
WARNINGS = ("-Wall", "-Wextra", "-Werror")


def flags(source: Path, target: Target) -> list[str]:
    """Compiler flags: freestanding C11 for exactly the target's features."""
    hot = source.parent != RUNTIME or source.stem.startswith(HOT)
    vectors = hot or source.stem in VECTORS
    # zig spells features with underscores and takes them after the CPU's name.
    # A vector constant takes 18 bytes, which is no gain where size counts.
    features = [f for f in target.features if vectors or "simd" not in f]
    cpu = "+".join([CPU, *(f.replace("-", "_") for f in features)])
    return [
        *("-target", ZIG_TRIPLE, f"-mcpu={cpu}"),
        *(FAST if hot else SMALL),
        *("-std=c11", "-g0", "-ffreestanding", "-fno-builtin"),
        *WARNINGS,
        f"-I{RUNTIME}",
    ]


def sources(source: Path) -> list[Path]:
    """A C file and what it includes, of its folder and of the runtime."""
    found, todo = [], [source]
    while todo:
        path = todo.pop()
        if path in found or not path.exists():
            continue
        found.append(path)
        names = _INCLUDE.findall(path.read_text())
        todo += [folder / n for n in names for folder in (path.parent, RUNTIME)]
    return sorted(found)


def compile_c(source: Path, target: Target, out: Path) -> None:
    """Compile one C file of the runtime to an object."""
    run([*tool("CLANG"), *flags(source, target), "-c", source, "-o", out])


def compile_ir(source: Path, target: Target) -> str:
    """Compile a C file to LLVM IR text."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "kernel.ll"
        # zig adds a -c of its own, which -S leaves unused.
        quiet = "-Wno-unused-command-line-argument"
        words: list[str | Path] = [
            *flags(source, target),
            quiet,
            "-S",
            "-emit-llvm",
            source,
            "-o",
            out,
        ]
        run([*tool("CLANG"), *words])
        return out.read_text()
