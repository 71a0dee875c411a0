"""Codegen: one operator for one target becomes one wasm32 object, by LLVM."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from toolchain import tuning
from toolchain.abi import CALLS
from toolchain.codegen.descriptor import descriptor
from toolchain.codegen.kernel_ir import kernel_texts
from toolchain.codegen.llvm import emit
from toolchain.codegen.operators import describe, load_operator
from toolchain.link.clang import RUNTIME, compile_ir
from toolchain.link.description import Description
from toolchain.link.module import interface
from toolchain.lower import functions
from toolchain.lower.infer import infer_function, output_dims, requirement_texts
from toolchain.micro.registry import micro_kernel, source, used
from toolchain.spec import Operator, SpecError
from toolchain.targets import TARGETS, Target

# What an object may call: the runtime, and what LLVM makes of loops that copy or fill.
RUNTIME_FUNCTIONS = {*CALLS, "memcpy", "memmove", "memset"}
# What a collapse may call beside it: what call.h declares.
_DECLARED = re.compile(r"\b(ops_\w+)\(")


def compile_object(
    path: Path,
    target_name: str,
    dtypes: tuple[str, ...] | None = None,
    numbers: Mapping[str, int] | None = None,
) -> tuple[bytes, Description]:
    """Object and description of one operator file for one target.

    The description's "code" is what the object follows from beside its static slice.
    dtypes: keep only variants whose first dtype is listed. numbers: of the target's
    tuning that are not as toolchain/tuning has them. Errors: SpecError.
    """
    target = TARGETS[target_name].with_tuning(numbers or {})
    with tuning.noted() as asked:
        data, description = _compile(path, target, dtypes)
    description["code"] += map(tuning.root, sorted(asked))
    return data, description


def _compile(
    path: Path, target: Target, dtypes: tuple[str, ...] | None
) -> tuple[bytes, Description]:
    name = path.stem
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
    data, chosen = object_of(name, operator, variants, target, texts)
    return data, describe(path, operator, variants) | {"code": chosen}


def object_of(
    name: str,
    operator: Operator,
    variants: list[tuple[str, ...]],
    target: Target,
    more: Sequence[str] = (),
) -> tuple[bytes, list[str]]:
    """The object of an operator, and roots of what it names.

    more: IR texts that it is to hold beside its kernels.
    """
    texts = list(more)
    for variant in dict.fromkeys(operator.stored(v) for v in variants):
        texts += kernel_texts(name, operator, variant, target)
    infer = infer_function(name, operator, variants[0], target)
    texts += [infer] if infer else []
    requirements = requirement_texts(operator, variants[0], target)
    dims = output_dims(operator, variants[0], target)
    kernels = _has_kernels(texts, operator, name, variants)
    texts.append(
        descriptor(
            *(name, operator, variants, requirements, dims),
            has_infer=bool(infer),
            has_kernels=kernels,
        )
    )
    texts += functions.used(texts, target)
    chosen = by_name("".join(texts))
    texts += [micro_kernel(symbol, target) for symbol in used("".join(texts))]
    # Folds of rows are written in whole steps: more of them would only be larger.
    data = emit(texts, target, unroll=not operator.collapse.startswith("rows."))
    check_symbols(data, runtime_functions() if operator.own else RUNTIME_FUNCTIONS)
    return data, chosen


def by_name(text: str) -> list[str]:
    """Roots (see slices) of what an IR text names: micro-kernels, functions."""
    return [*sorted(set(map(source, used(text)))), *functions.sources(text)]


def runtime_functions() -> set[str]:
    """What C with a collapse may call."""
    text = (RUNTIME / "call.h").read_text()
    return RUNTIME_FUNCTIONS | set(_DECLARED.findall(text))


def _has_kernels(
    texts: list[str], operator: Operator, name: str, variants: list[tuple[str, ...]]
) -> bool:
    """Whether there are kernels: C with a collapse has all that it needs, or none."""
    if not operator.own:
        return True
    found = set(re.findall(r"^define .*@kernel_(\w+)\(", "".join(texts), re.M))
    wanted = {operator.body(name, v) for v in variants}
    if found and (lacking := sorted(wanted - found)):
        raise SpecError(
            f"{operator.source} lacks kernel_{lacking[0]}, and has kernel_"
            f"{sorted(found)[0]}; write a kernel for each variant, or none"
        )
    return bool(found)


def check_symbols(
    data: bytes, known: Collection[str] = frozenset(RUNTIME_FUNCTIONS)
) -> None:
    """SpecError where an object calls what the runtime does not define.

    That would fail the link of the whole library, or pull a scalar libm into a
    vector loop: exp, log, ... of TE become calls, and toolchain.spec.math's do not.
    """
    functions = {
        i.removeprefix("env.").removesuffix(" func")
        for i in interface(data).imports
        if i.endswith(" func")
    }
    if foreign := sorted(functions.difference(known)):
        raise SpecError(
            f"its kernel calls {', '.join(foreign)}, which nothing defines; use the "
            "functions of toolchain.spec.math"
        )


def compile_for_models(path: Path, target: Target) -> tuple[bytes, list[str]]:
    """The object of an operator's dtypes that models alone have.

    With roots of what it follows from beside its static slice.
    """
    found = load_operator(path)
    operator = found.for_models(path.stem)
    texts = []
    if operator.source:
        texts = [compile_ir(path.with_name(operator.source), target)]
    with tuning.noted() as asked:
        data, chosen = object_of(
            path.stem, operator, operator.variants(), target, texts
        )
    return data, [*chosen, *map(tuning.root, sorted(asked))]


def _source_text(path: Path, operator: Operator, target: Target) -> str:
    source = path.with_suffix(".c")
    if operator.source != source.name or not source.exists():
        raise SpecError(
            f"{path}: source is {operator.source!r}; it must be {source.name!r}, "
            "beside the operator's file"
        )
    return compile_ir(source, target)
