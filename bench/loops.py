"""Loops inside WebAssembly, as text: calls of the library, and the engine's ceilings.

Timing a call from outside would time the host's binding. So a small module calls
`ops_call` n times, and others do nothing but what a ceiling counts.
"""

from __future__ import annotations

from dataclasses import dataclass

from ops_wasm32.tables import PAGE

CALLS = """(module
  (import "ops" "ops_call" (func $call (param i32 i32 i32) (result i32)))
  (func (export "run") (param $op i32) (param $args i32) (param $count i32)
                       (param $n i32) (result i32)
    (local $bad i32)
    (loop $again
      (local.set $bad (i32.or (local.get $bad)
        (call $call (local.get $op) (local.get $args) (local.get $count))))
      (br_if $again
        (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $bad)))"""

# A library whose calls do nothing: what the loop itself costs.
NOTHING = """(module (func (export "ops_call") (param i32 i32 i32) (result i32)
  (i32.const 0)))"""

# Registers that a ceiling's loop keeps busy: enough for 2 operations of 6 cycles
# latency in each cycle, and two of 16 are left for the operands.
CHAINS = 12
UNROLL = 2


@dataclass(frozen=True)
class Rate:
    """A loop of arithmetic. work: operations in a step of a chain."""

    step: str
    work: int


_ADD_DOT = (
    "(i32x4.add (i32x4.dot_i16x8_s (local.get $x{i}) (local.get $a)) (local.get $b))"
)
RATES = {
    # Both forms of an FMA: engines overwrite either a factor or the addend.
    "relaxed_madd (factor)": Rate(
        "(f32x4.relaxed_madd (local.get $x{i}) (local.get $a) (local.get $b))", 8
    ),
    "relaxed_madd (addend)": Rate(
        "(f32x4.relaxed_madd (local.get $a) (local.get $b) (local.get $x{i}))", 8
    ),
    "mul+add": Rate(
        "(f32x4.add (f32x4.mul (local.get $x{i}) (local.get $a)) (local.get $b))", 8
    ),
    # An operand must change, or an engine moves the product out of the loop.
    "relaxed int8 dot": Rate(
        "(i32x4.relaxed_dot_i8x16_i7x16_add_s (local.get $x{i}) (local.get $b)"
        " (local.get $a))",
        32,
    ),
    "exact int8 dot": Rate(_ADD_DOT, 16),
}


def _xor(names: list[str]) -> str:
    """All of them in one vector, so that an engine may leave none out."""
    text = f"(local.get {names[0]})"
    for name in names[1:]:
        text = f"(v128.xor {text} (local.get {name}))"
    return text


def rate_module(rate: Rate) -> str:
    """`run(n)`: n times CHAINS * UNROLL steps."""
    names = [f"$x{i}" for i in range(CHAINS)]
    steps = "\n".join(
        f"(local.set $x{i} {rate.step.format(i=i)})"
        for _ in range(UNROLL)
        for i in range(CHAINS)
    )
    start = "\n".join(
        f"(local.set {n} (f32x4.splat (f32.const {i})))" for i, n in enumerate(names)
    )
    return f"""(module
  (func (export "run") (param $n i32) (result i32)
    (local $a v128) (local $b v128) {" ".join(f"(local {n} v128)" for n in names)}
    (local.set $a (f32x4.splat (f32.const 0.5)))
    (local.set $b (f32x4.splat (f32.const 0.25)))
    {start}
    (loop $again
      {steps}
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32x4.extract_lane 0 {_xor(names)})))"""


# Kinds of streams: how many arrays of the given bytes they touch.
STREAMS = {"read": 1, "copy": 2, "add": 3}
_VECTORS = 8  # a step's vectors: 128 bytes


def stream_module(kind: str, pages: int) -> str:
    """`run(bytes, n)`: n passes over arrays that lie one after the other from 64.

    read: adds up one array; copy: from one to another; add: two into a third. The
    memory is written first: pages that never were are one page of zeros to a system.
    """
    body = []
    for v in range(_VECTORS):
        x = f"(v128.load offset={16 * v} (local.get $p))"
        y = f"(v128.load offset={16 * v} (local.get $q))"
        if kind == "read":
            # As many sums as vectors: fewer, and the additions' latency is timed.
            body.append(f"(local.set $s{v} (f32x4.add (local.get $s{v}) {x}))")
        elif kind == "copy":
            body.append(f"(v128.store offset={16 * v} (local.get $q) {x})")
        else:
            value = f"(f32x4.add {x} {y})"
            body.append(f"(v128.store offset={16 * v} (local.get $r) {value})")
    step = 16 * _VECTORS
    sums = [f"$s{v}" for v in range(_VECTORS)]
    advance = "\n".join(
        f"(local.set ${p} (i32.add (local.get ${p}) (i32.const {step})))"
        for p in ("p", "q", "r")[: STREAMS[kind]]
    )
    return f"""(module
  (memory (export "memory") {pages})
  (start $write)
  (func $write
    (memory.fill (i32.const 0) (i32.const 1) (i32.const {PAGE * pages - 1})))
  (func (export "run") (param $bytes i32) (param $n i32) (result i32)
    (local $p i32) (local $q i32) (local $r i32) (local $end i32)
    {" ".join(f"(local {name} v128)" for name in sums)}
    (loop $again
      (local.set $p (i32.const 64))
      (local.set $end (i32.add (local.get $p) (local.get $bytes)))
      (local.set $q (local.get $end))
      (local.set $r (i32.add (local.get $q) (local.get $bytes)))
      (loop $step
        {" ".join(body)}
        {advance}
        (br_if $step (i32.lt_u (local.get $p) (local.get $end))))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32x4.extract_lane 0 {_xor(sums)})))"""
