"""Codegen: one operator for one target becomes one wasm32 object, by LLVM."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.util
import re
import sys
from collections.abc import Collection
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from toolchain.codegen.constants import hide_constants
from toolchain.codegen.descriptor import PARTS, descriptor, operator_room
from toolchain.link.module import interface
from toolchain.lower import functions
from toolchain.lower.infer import infer_function, output_dims, requirement_texts
from toolchain.lower.rewrite import OPTIONAL, SOME, check, exactly, rewrite
from toolchain.lower.te import Kernel, entry, lower, without_loader
from toolchain.micro.builder import micro_kernel, source, used
from toolchain.spec import Operator, SpecError, kernel_name, tensor_dtype
from toolchain.targets import TARGETS, Target

TRIPLE = "wasm32-unknown-unknown"
# What an object may call: the runtime's backend functions, those for windows, and what
# LLVM makes of loops that copy or fill.
RUNTIME_FUNCTIONS = {
    *PARTS,
    "ops_windows_fold",
    "ops_windows_plain",
    "TVMBackendAllocWorkspace",
    "TVMBackendFreeWorkspace",
    "memcpy",
    "memmove",
    "memset",
}


@cache
def load_operator(path: Path) -> Operator:
    """The KERNEL of an operator file; SpecError where it has none."""
    module = _import(path)
    operator = getattr(module, "KERNEL", None)
    if not isinstance(operator, Operator):
        raise SpecError(f"{path}: sets no KERNEL = Operator(...); add one")
    if not formula(path):
        raise SpecError(
            f"{path}: has no docstring; begin the file with one whose first line is "
            'the formula, as in """out[i] = a[i] + b[i]."""'
        )
    return operator


def _import(path: Path) -> ModuleType:
    # Equal names in two folders stay apart: the module's name holds the path.
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    name = f"_operator_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise SpecError(f"{path}: is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[name] = module
    return module


def loaded_operators(folders: Collection[Path]) -> list[Path]:
    """Files of all operators in some folders that this process has loaded."""
    modules = sorted(name for name in sys.modules if name.startswith("_operator_"))
    files = (sys.modules[name].__file__ for name in modules)
    return [Path(file) for file in files if file and Path(file).parent in folders]


def target_machine(target: Target) -> Any:
    """Llvmlite's machine for a target: only the features that the target names."""
    from llvmlite import binding

    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    return binding.Target.from_triple(TRIPLE).create_target_machine(
        cpu="mvp",
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


def optimise(module: Any, machine: Any, unroll: bool = True) -> None:
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


_ONE_COPY = "define weak_odr hidden "


def kernel_flags(
    text: str, operator: Operator, variant: tuple[str, ...], target: Target
) -> str:
    """Say what LLVM may do: fuse multiply-adds, reorder a reduction; wrap integers."""
    if variant[0] != "float32":
        # TVM declares that integers never overflow; those of tensors wrap.
        flags = r"( = (?:add|sub|mul|shl))(?: nuw| nsw)+"
        text = rewrite(text, "an integer flag", flags, r"\1", SOME)
        check("an integer flag more", len(_WRAPS.findall(text)), exactly(0))
    if target.contract:
        text = flagged(text, "contract", ("fadd", "fsub", "fmul"))
    if operator.reassociate:
        text = flagged(text, "reassoc", ("fadd", "fmul"))
    return text


_WRAPS = re.compile(r"\b(?:add|sub|mul|shl) n[us]w\b")


def flagged(text: str, flag: str, names: tuple[str, ...]) -> str:
    """The IR with a flag at each of some instructions on floats."""
    either = "|".join(names)
    times = exactly(len(re.findall(rf"\b(?:{either})\b", text)))
    what = f"an instruction for {flag}"
    return rewrite(text, what, f"( = (?:{either})) ", rf"\1 {flag} ", times)


# Steps of a loop that are taken together where they are short: 16 elements of
# float32. 8 make add 5 % faster, and a library of add alone larger than 10 KB.
_TOGETHER = 4
_SHORT = 12
_LATCH = re.compile(r"^  br label %for_begin_i\n", re.M)
_BODY = re.compile(r"^for_body_i:.*?^}", re.M | re.S)


def _interleaved(text: str, written: bool) -> str:
    """The IR in which the loop of a short elementwise formula takes 16 elements.

    written: its schedule writes the loops, which may be others.
    """
    bodies = _BODY.findall(text)
    check("the loop of a formula", len(bodies), OPTIONAL if written else exactly(1))
    if not bodies or bodies[0].count(" = ") > _SHORT or functions.calls(bodies[0]):
        return text
    jumps = list(_LATCH.finditer(text))
    check("a jump to the loop", len(jumps), exactly(2))
    hint, latch = "  br label %for_begin_i, !llvm.loop !90000\n", jumps[1]
    return f"""{text[: latch.start()]}{hint}{text[latch.end() :]}
!90000 = distinct !{{!90000, !90001}}
!90001 = !{{!"llvm.loop.interleave.count", i32 {_TOGETHER}}}
"""


def _kernel_texts(
    name: str, operator: Operator, variant: tuple[str, ...], target: Target
) -> list[str]:
    kernel = operator.body(name, variant)
    texts = []
    for prefix, form in (("kernel", operator.compute), ("columns", operator.columns)):
        if form is None:
            continue
        inner = f"{prefix}_{kernel}_te"
        view = Kernel(operator, variant, target, columns=prefix == "columns")
        lowered = lower(operator, inner, form, view, target)
        text = without_loader(lowered.text, inner) + entry(
            lowered, inner, f"{prefix}_{kernel}", whole="n" if operator.unary else None
        )
        if operator.kernels:  # one copy for all operators that have it
            text = rewrite(
                text, "an entry", r"^define (?=i32 @)", _ONE_COPY, exactly(1)
            )
        if operator.collapse == "elementwise.broadcast" and target.vector_bits:
            text = _interleaved(text, operator.schedule is not None)
        texts.append(kernel_flags(text, operator, variant, target))
    return texts


def compile_object(
    path: Path, target_name: str, dtypes: tuple[str, ...] | None = None
) -> tuple[bytes, dict[str, Any]]:
    """Object and description of one operator file for one target.

    The description's "code" is what the object follows from beside its static slice.
    dtypes: keep only variants whose first dtype is listed. Errors: SpecError.
    """
    name, target = path.stem, TARGETS[target_name]
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise SpecError(
            f"{path}: {name!r} cannot be a C name; use a-z, 0-9 and _, a letter first"
        )
    operator = load_operator(path)
    variants = operator.variants()
    if dtypes is not None:
        known = dict.fromkeys(v[0] for v in variants)
        if lacking := [d for d in dtypes if d not in known]:
            raise SpecError(
                f"{name}: no variant for {', '.join(lacking)}; "
                f"it has {', '.join(known)}"
            )
        variants = [v for v in variants if v[0] in dtypes]
    texts = [_source_text(path, operator, target)] if operator.source else []
    for variant in dict.fromkeys(operator.stored(v) for v in variants):
        texts += _kernel_texts(name, operator, variant, target)
    infer = infer_function(name, operator, variants[0], target)
    texts += [infer] if infer else []
    requirements = requirement_texts(operator, variants[0], target)
    dims = output_dims(operator, variants[0], target)
    texts.append(
        descriptor(name, operator, variants, requirements, dims, has_infer=bool(infer))
    )
    texts += functions.used(texts, target)
    chosen = by_name("".join(texts))
    texts += [micro_kernel(symbol, target) for symbol in used("".join(texts))]
    # Folds of rows are written in whole steps: more of them would only be larger.
    data = emit(texts, target, unroll=not operator.collapse.startswith("rows."))
    check_symbols(data)
    return data, describe(path, operator, variants) | {"code": chosen}


def by_name(text: str) -> list[str]:
    """Roots (see slices) of what an IR text names: micro-kernels, functions."""
    return [*sorted(set(map(source, used(text)))), *functions.sources(text)]


def check_symbols(data: bytes) -> None:
    """SpecError where an object calls what the runtime does not define.

    That would fail the link of the whole library, or pull a scalar libm into a
    vector loop: exp, log, ... of TE become calls, those of toolchain.spec.math not.
    """
    functions = {
        i.removeprefix("env.").removesuffix(" func")
        for i in interface(data).imports
        if i.endswith(" func")
    }
    if foreign := sorted(functions - RUNTIME_FUNCTIONS):
        raise SpecError(
            f"its kernel calls {', '.join(foreign)}, which nothing defines; use the "
            "functions of toolchain.spec.math"
        )


def _source_text(path: Path, operator: Operator, target: Target) -> str:
    from toolchain.link.clang import compile_ir

    source = path.with_suffix(".c")
    if operator.source != source.name or not source.exists():
        raise SpecError(
            f"{path}: source is {operator.source!r}; it must be {source.name!r}, "
            "beside the operator's file"
        )
    return compile_ir(source, target)


def formula(path: Path) -> str:
    """The first line of an operator file's docstring."""
    lines = (_import(path).__doc__ or "").strip().splitlines()
    return lines[0].rstrip(".") if lines else ""


def describe(
    path: Path, operator: Operator, variants: list[tuple[str, ...]]
) -> dict[str, Any]:
    """What the manifest says of an operator."""
    name = path.stem

    def tensors(group: tuple[Any, ...], variant: tuple[str, ...]) -> list[Any]:
        return [
            {
                "name": t.name,
                "dtype": tensor_dtype(t, variant),
                "optional": bool(getattr(t, "optional", False)),
                "variadic": t.variadic,
            }
            for t in group
        ]

    kernels = {
        kernel_name(name, v): {
            "inputs": tensors(operator.inputs, v),
            "outputs": tensors(operator.outputs, v),
        }
        for v in variants
    }
    return {
        "operator": name,
        "formula": formula(path),
        "kernels": kernels,
        "room": dataclasses.asdict(operator_room(operator, kernels)),
        "attributes": [_describe_attribute(a) for a in operator.attributes],
        "aliases": list(operator.aliases),
        "absent": dict(operator.absent),
    }


def _describe_attribute(attribute: Any) -> dict[str, Any]:
    return {
        "name": attribute.name,
        "kind": attribute.kind,
        "default": attribute.default,
        "per_unit": attribute.per_unit,
        "choices": list(attribute.choices),
    }
