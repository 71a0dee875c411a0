"""Link: an archive becomes a standalone module, by wasm-ld."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from toolchain.abi import FUNCTIONS, PAGE
from toolchain.process.command import run, tool

STACK_BYTES = 65536  # the deepest call of the runtime uses under 8 KiB

# Of runtime_stub/fast.c: a kilobyte, with which calls take half the time.
FAST = ("ops_take_plain", "ops_is_flat")


def link(
    archive: Path,
    out: Path,
    max_memory: int,
    fast: bool = False,
    flat: bool = False,
    more: Sequence[str] = (),
) -> None:
    """Link the module with no imports; memory grows up to max_memory bytes.

    fast: with runtime_stub/fast.c. flat: with its part that sees tensors of one shape.
    more: options of the linker.
    """
    parts = FAST if fast else FAST[1:] if flat else ()
    run(
        [
            *tool("WASM_LD"),
            *("--no-entry", "--gc-sections", "--strip-all", "--stack-first"),
            "--compress-relocations",  # short addresses: 1 KB of the runtime
            # Alone in its module, the library refuses tensors in its own memory.
            *("-u", "ops_standalone"),
            *(word for name in parts for word in ("-u", name)),
            *("-z", f"stack-size={STACK_BYTES}"),
            f"--max-memory={max_memory // PAGE * PAGE}",
            *(f"--export={name}" for name in FUNCTIONS),
            *more,
            archive,
            "-o",
            out,
        ]
    )
