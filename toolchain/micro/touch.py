"""Micro-kernel that reads ahead: what it touches is in the caches."""

from __future__ import annotations

from llvmlite import ir

from toolchain.micro.builder import (
    I32,
    WORD,
    define_function,
    entry_builder,
    for_overlapping,
    gep_bytes,
    i32,
)
from toolchain.micro.registry import emits
from toolchain.spec.microkernels import TOUCH
from toolchain.targets import Target

LINE = 64  # bytes of a cache line


@emits(TOUCH)
def touch(module: ir.Module, name: str, target: Target) -> None:
    """i32 (ptr x, o, i32 bytes): brings x, at least a step, into the caches.

    In order, as processors fetch ahead best. o[0] is what they have in common, so that
    no load is left out.
    """
    size_of_step = target.tuning("touch.step")
    function = define_function(module, name, (*"xo", "bytes"))
    x, out, size = function.args
    build = entry_builder(function)
    build.store(i32(0), out, align=WORD)

    def step(i: ir.Value) -> None:
        seen = build.load(out, typ=I32, align=WORD)
        for line in range(0, size_of_step, LINE):
            at = gep_bytes(build, gep_bytes(build, x, i), line)
            seen = build.xor(seen, build.load(at, typ=I32, align=WORD))
        build.store(seen, out, align=WORD)

    for_overlapping(build, size, size_of_step, step)
    build.ret(i32(0))
