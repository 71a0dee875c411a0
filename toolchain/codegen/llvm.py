"""LLVM: IR texts become one object, by its O2 pipeline."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from toolchain.codegen.constants import hide_constants
from toolchain.targets import CPU, TRIPLE, Target

if TYPE_CHECKING:
    from llvmlite.binding import ModuleRef, TargetMachine


def target_machine(target: Target) -> TargetMachine:
    """Llvmlite's machine for a target: only the features that the target names."""
    from llvmlite import binding

    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    return binding.Target.from_triple(TRIPLE).create_target_machine(
        cpu=CPU,
        features=",".join(f"+{f}" for f in target.features),
        opt=3,
        reloc="static",
        codemodel="default",
    )


# What O3 does beyond O2, a copy of a loop for each value of what it asks, and loops
# unrolled by a count that only the run shows, is a fifth of the library; it gained
# nothing where kernels are vectorised. A nest that wants unrolling says so. Strength
# reduction of loops makes the constant offsets of loads additions: 5 to 10 % slower
# in cranelift, and 7 % of the library.
_OPTIONS = ("-unroll-runtime=false", "-unroll-max-upperbound=1", "-disable-lsr")
# Instructions as they are written: cranelift spills or not by their order, and for it
# the tiles with FMA are arranged. Others are smaller in LLVM's own order, and in V8 up
# to 5 % faster.
_IN_ORDER = "-pre-RA-sched=source"


@cache
def _set_options(*options: str) -> None:
    """LLVM's own options, which a process may set once: it compiles one operator."""
    from llvmlite import binding

    for option in options:
        binding.set_option("", option)


def optimise(module: ModuleRef, machine: TargetMachine, unroll: bool = True) -> None:
    """LLVM's O2 pipeline, with both vectorisers."""
    from llvmlite import binding

    options = binding.create_pipeline_tuning_options(speed_level=2)
    options.loop_vectorization = True
    options.slp_vectorization = True
    options.loop_unrolling = unroll
    builder = binding.create_pass_builder(machine, options)
    builder.getModulePassManager().run(module, builder)


def emit(texts: list[str], target: Target, unroll: bool = True) -> bytes:
    """Link IR texts into one module, verify, optimise and emit the object."""
    from llvmlite import binding

    _set_options(*_OPTIONS)
    if target.overwrites_factor and any("micro_gemm" in text for text in texts):
        _set_options(_IN_ORDER)
    machine = target_machine(target)
    module = binding.parse_assembly(f'target triple = "{TRIPLE}"\n')
    module.data_layout = str(machine.target_data)
    for text in texts:
        part = binding.parse_assembly(text)
        part.triple, part.data_layout = module.triple, module.data_layout
        part.verify()
        module.link_in(part)
    module.verify()
    optimise(module, machine, unroll)
    if target.vector_bits:
        module = binding.parse_assembly(hide_constants(str(module)))
        module.verify()
    return bytes(machine.emit_object(module))
