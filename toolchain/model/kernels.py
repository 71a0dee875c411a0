"""Kernels: what a model's nodes run, as LLVM IR with every size known.

An Instance is an operator of kernels/ with constants for its sizes and attributes;
what no operator is there for comes as TIR from Relax.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from toolchain.abi import declaration
from toolchain.codegen.kernel_ir import flagged, kernel_flags
from toolchain.codegen.operators import load_operator
from toolchain.frontends.library import KEPT
from toolchain.graph.operators import FOLDERS as GRAPH_FOLDERS
from toolchain.lower.functions import used
from toolchain.lower.rewrite import check, exactly, only, rewrite
from toolchain.lower.te import OFFSET, Kernel, entry, lower, without_loader
from toolchain.model.graph import Value
from toolchain.profile import KERNELS
from toolchain.spec import Operator, SpecError, math, tensor_dtype
from toolchain.spec import microkernels as micro
from toolchain.targets import Target

# Operators of the library, and operators that only models call.
FOLDERS = (KERNELS, Path(__file__).parent / "operators", *GRAPH_FOLDERS[1:])


def _file(name: str) -> Path:
    paths = [folder / f"{name}.py" for folder in FOLDERS]
    return next(p for p in paths if p.exists())


@cache
def _operator(name: str) -> Operator:
    """An operator of FOLDERS."""
    return load_operator(_file(name))


@dataclass(frozen=True)
class Instance:
    """An operator whose sizes and attributes (as flattened) are known.

    dtypes: one of the operator's variants. columns: its second form, whose rows lie k
    elements apart. Errors: SpecError where the constants are not exactly what the
    form has; what is not known would be read from slots that nothing fills.
    """

    operator: str
    dtypes: tuple[str, ...]
    constants: tuple[tuple[str, float], ...]
    columns: bool = False

    def __post_init__(self) -> None:
        operator, given = _operator(self.operator), dict(self.constants)
        if self.dtypes not in operator.variants():
            raise SpecError(
                f"{self.operator}: has no variant for {', '.join(self.dtypes)}; it has "
                f"{'; '.join(', '.join(v) for v in operator.variants())}"
            )
        if self.form is None:
            form = "columns" if self.columns else "compute"
            raise SpecError(f"{self.operator}: has no {form} to take sizes")
        sizes = [*operator.symbols(), *(["k"] if self.columns else [])]
        kinds = dict.fromkeys(sizes, "int")
        kinds |= {n: a.kind for a in operator.attributes for n in a.names()}
        faults = [f"{n} is missing" for n in kinds if n not in given]
        for name, value in given.items():
            if name not in kinds:
                faults.append(f"{name} is unknown")
            elif kinds[name] == "int" and not isinstance(value, (int, np.integer)):
                faults.append(f"{name} is {value!r}, no whole number")
        if faults:
            raise SpecError(f"{self.operator}, an instance: {'; '.join(faults)}")

    @staticmethod
    def of(
        operator: str,
        constants: Mapping[str, float],
        dtypes: tuple[str, ...] = ("float32",),
        columns: bool = False,
    ) -> Instance:
        """An instance; equal ones are one kernel."""
        return Instance(operator, dtypes, tuple(sorted(constants.items())), columns)

    @property
    def name(self) -> str:
        """A name that says the operator and, by its hash, the rest."""
        digest = hashlib.sha256(repr(self).encode()).hexdigest()[:10]
        return f"{self.operator}_{digest}"

    @property
    def form(self) -> Any:
        """What computes it; None where the operator has none."""
        operator = _operator(self.operator)
        return operator.columns if self.columns else operator.compute

    def check(self, inputs: list[Value], outputs: list[Value]) -> None:
        """SpecError where tensors are not of the sizes and dtypes that it is for."""
        self.check_dtypes(inputs, outputs)
        known = dict(self.constants)
        for given, tensor in zip(inputs, _operator(self.operator).inputs, strict=True):
            sizes = [known[s] for s in tensor.dims.split()]
            if self.columns and tensor.dims == "o n":
                sizes.append(known["k"])
            if given.count != prod(sizes):
                raise SpecError(
                    f"{tensor.name} has {given.count} elements, but {tensor.dims} are "
                    f"{sizes}"
                )

    def check_dtypes(self, inputs: list[Value], outputs: list[Value]) -> None:
        """SpecError where tensors are too many, too few or of other dtypes."""
        operator = _operator(self.operator)
        tensors, given = operator.tensors(), [*inputs, *outputs]
        _check_count(len(operator.inputs), len(operator.outputs), inputs, outputs)
        for value, tensor in zip(given, tensors, strict=True):
            dtype = tensor_dtype(tensor, self.dtypes)
            if value.dtype != dtype:
                raise SpecError(f"{tensor.name} is {value.dtype}; it takes {dtype}")

    def texts(self, target: Target) -> list[str]:
        """IR with `i32 kernel_<name>(ptr slots)`; slots: inputs, then outputs."""
        operator = _operator(self.operator)
        variant = operator.stored(self.dtypes)
        kernel = Kernel(
            operator,
            variant,
            target,
            columns=self.columns,
            constants=dict(self.constants),
        )
        inner = f"te_{self.name}"
        lowered = lower(operator, inner, self.form, kernel, target)
        text = without_loader(lowered.text, inner) + entry(
            lowered, inner, f"kernel_{self.name}"
        )
        text = kernel_flags(text, operator, variant, target)
        return [text, *used([text], target)]


def _check_count(
    takes: int, gives: int, inputs: list[Value], outputs: list[Value]
) -> None:
    if (len(inputs), len(outputs)) != (takes, gives):
        raise SpecError(
            f"has {len(inputs)} inputs and {len(outputs)} outputs; its kernel has "
            f"{takes} and {gives}"
        )


@dataclass(frozen=True)
class Batched:
    """A kernel run several times; strides: bytes that each pointer moves on."""

    kernel: Instance | Batched
    count: int
    strides: tuple[int, ...]

    @property
    def operator(self) -> str:
        """The operator that is run."""
        return self.kernel.operator

    @property
    def name(self) -> str:
        """A name that says the kernel, how often, and by its hash the strides."""
        digest = hashlib.sha256(repr(self).encode()).hexdigest()[:10]
        return f"{self.operator}_{self.count}_{digest}"

    def check(self, inputs: list[Value], outputs: list[Value]) -> None:
        """SpecError where tensors are no such batches of what the kernel is for."""
        self.check_dtypes(inputs, outputs)
        for value, stride in zip([*inputs, *outputs], self.strides, strict=True):
            if value.bytes <= (self.count - 1) * stride:
                raise SpecError(
                    f"run {self.count} starts outside {value.name}: strides of "
                    f"{stride} bytes in {value.bytes}"
                )

    def check_dtypes(self, inputs: list[Value], outputs: list[Value]) -> None:
        """As those of the kernel."""
        self.kernel.check_dtypes(inputs, outputs)

    def texts(self, target: Target) -> list[str]:
        """IR with `i32 kernel_<name>(ptr slots)`; slots: inputs, then outputs."""
        lines = []
        for i, stride in enumerate(self.strides):
            lines += [
                f"%s{i} = getelementptr i64, ptr %slots, i32 {i}",
                f"%b{i} = load ptr, ptr %s{i}",
                f"%o{i} = mul i32 %n, {stride}",
                f"%p{i} = getelementptr i8, ptr %b{i}, i32 %o{i}",
                f"%d{i} = getelementptr i64, ptr %args, i32 {i}",
                f"store ptr %p{i}, ptr %d{i}",
            ]
        body = "\n  ".join(lines)
        text = f"""
define i32 @kernel_{self.name}(ptr %slots) {{
entry:
  %args = alloca [{len(self.strides)} x i64], align 8
  br label %loop
loop:
  %n = phi i32 [ 0, %entry ], [ %next, %good ]
  {body}
  %rc = call i32 @kernel_{self.kernel.name}(ptr %args)
  %bad = icmp ne i32 %rc, 0
  br i1 %bad, label %end, label %good
good:
  %next = add i32 %n, 1
  %more = icmp slt i32 %next, {self.count}
  br i1 %more, label %loop, label %end
end:
  ret i32 %rc
}}
"""
        inner = self.kernel.texts(target)
        # The part is the batch's own: two batches may have it in one module.
        part = f"define i32 @kernel_{self.kernel.name}"
        internal = part.replace("define", "define internal")
        inner[0] = rewrite(inner[0], part, f"^{part}(?=\\()", internal, exactly(1))
        inner[0] += text
        return inner


@dataclass(frozen=True)
class Copy:
    """Copies so many bytes."""

    size: int

    @property
    def name(self) -> str:
        """A name that says how many."""
        return f"copy_{self.size}"

    def check(self, inputs: list[Value], outputs: list[Value]) -> None:
        """SpecError where source or result have another size."""
        _check_count(1, 1, inputs, outputs)
        for value in (*inputs, *outputs):
            if value.bytes != self.size:
                raise SpecError(f"{value.name} has {value.bytes} bytes")

    def texts(self, target: Target) -> list[str]:
        """IR with `i32 kernel_<name>(ptr slots)`; slots: source, then result."""
        del target
        return [
            f"""
declare void @llvm.memcpy.p0.p0.i32(ptr, ptr, i32, i1)
define i32 @kernel_{self.name}(ptr %slots) {{
  %source = load ptr, ptr %slots
  %at = getelementptr i64, ptr %slots, i32 1
  %result = load ptr, ptr %at
  call void @llvm.memcpy.p0.p0.i32(ptr %result, ptr %source, i32 {self.size}, i1 0)
  ret i32 0
}}
"""
        ]


@dataclass(frozen=True)
class Indexed:
    """Fails where one of so many indices is outside an axis.

    called: what the error calls them. itemsize: bytes of one.
    """

    called: str
    count: int
    itemsize: int
    axis: int
    size: int

    @property
    def name(self) -> str:
        """A name that says what it is and, by its hash, the rest."""
        digest = hashlib.sha256(repr(self).encode()).hexdigest()[:10]
        return f"check_indices_{digest}"

    def texts(self, target: Target) -> list[str]:
        """IR with `i32 kernel_<name>(ptr slots)`; slots: the indices."""
        del target
        raw = self.called.encode() + b"\0"
        text = "".join(f"\\{byte:02x}" for byte in raw)
        numbers = (self.count, self.itemsize, self.axis, self.size)
        given = ", ".join(f"i32 {n}" for n in numbers)
        return [
            f"""
@called = private constant [{len(raw)} x i8] c"{text}"
{declaration("ops_indices_inside")}
define i32 @kernel_{self.name}(ptr %slots) {{
  %indices = load ptr, ptr %slots
  %code = call i32 @ops_indices_inside(ptr @called, ptr %indices, {given})
  ret i32 %code
}}
"""
        ]


@dataclass(frozen=True)
class Joined:
    """Puts rows side by side: the size of each source's rows in bytes, and their count.

    Bytes of a row are REGISTER or more.
    """

    sizes: tuple[int, ...]
    rows: int

    @property
    def name(self) -> str:
        """A name that says how many sources, and by its hash their sizes."""
        digest = hashlib.sha256(repr(self).encode()).hexdigest()[:10]
        return f"concatenate_{len(self.sizes)}_{digest}"

    def check(self, inputs: list[Value], outputs: list[Value]) -> None:
        """SpecError where the rows are others."""
        _check_count(len(self.sizes), 1, inputs, outputs)
        sizes = (*self.sizes, sum(self.sizes))
        for value, size in zip([*inputs, *outputs], sizes, strict=True):
            if value.bytes != size * self.rows:
                raise SpecError(
                    f"{value.name} has {value.bytes} bytes, not {self.rows} rows of "
                    f"{size}"
                )

    def texts(self, target: Target) -> list[str]:
        """IR with `i32 kernel_<name>(ptr slots)`; slots: sources, then result."""
        copy, text = micro.COPY(), _COPY_ROWS
        if not target.has("simd128"):
            copy, text = f"rows_{self.name}", _ROWS
        lines, at, total = [], 0, sum(self.sizes)
        for i, size in enumerate(self.sizes):
            lines += [
                f"%s{i} = getelementptr i64, ptr %slots, i32 {i}",
                f"%x{i} = load ptr, ptr %s{i}",
                f"%d{i} = getelementptr i8, ptr %result, i32 {at}",
                f"call i32 @{copy}(ptr %x{i}, ptr %d{i}, i32 {size}, i32 {total}, "
                f"i32 {self.rows}, i32 {size})",
            ]
            at += size
        body = "\n  ".join(lines)
        return [
            f"""
{text.replace("@rows", f"@{copy}")}
define i32 @kernel_{self.name}(ptr %slots) {{
  %last = getelementptr i64, ptr %slots, i32 {len(self.sizes)}
  %result = load ptr, ptr %last
  {body}
  ret i32 0
}}
"""
        ]


REGISTER = 16  # bytes of a row that micro.COPY takes at least
_COPY_ROWS = "declare i32 @rows(ptr, ptr, i32, i32, i32, i32)"
# The same without SIMD.
_ROWS = """
declare void @llvm.memcpy.p0.p0.i32(ptr, ptr, i32, i1)
define internal i32 @rows(ptr %s, ptr %d, i32 %from, i32 %to, i32 %height, i32 %width) {
entry:
  br label %loop
loop:
  %i = phi i32 [ 0, %entry ], [ %next, %loop ]
  %a = mul i32 %i, %from
  %b = mul i32 %i, %to
  %x = getelementptr i8, ptr %s, i32 %a
  %y = getelementptr i8, ptr %d, i32 %b
  call void @llvm.memcpy.p0.p0.i32(ptr %y, ptr %x, i32 %width, i1 0)
  %next = add i32 %i, 1
  %more = icmp slt i32 %next, %height
  br i1 %more, label %loop, label %end
end:
  ret i32 0
}
"""
VECTOR = 4  # elements: fewer are no vector
WORDS = ("float32", "int32")
# A block that is put into those that read it: characters of its text, for what is read
# twice is there twice, and so on along a chain; and how deep values of Let stand in
# each other: TVM takes 7 times as long for each level (1.8 s for 8, 13 s for 9). The
# levels of a chain add up: DynamicQuantizeLinear's took 0.1 s with 1, 4 s with 2, 24 s
# with 3, and had no end with 5.
INLINED, NESTED = 20_000, 1
BRANCHING = ("T_where", "pool_")  # what TVM names blocks that have conditions
# Functions of TIR that LLVM would call from libm; toolchain.spec.math has them.
MATH = ("exp", "log", "tanh", "sigmoid", "erf", "sin", "cos", "pow")
_CONSTANT = re.compile(r"T\.float\d+\(([^()]*)\)")


@dataclass(frozen=True, eq=False)
class Lowered:
    """A TIR function as Relax legalises and fuses it; label says what it does."""

    function: Any
    label: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lowered) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    @cached_property
    def name(self) -> str:
        """The label and a hash of the function, whatever its variables' names."""
        from tvm_ffi import structural_hash

        # The signs of constants are one bit of the hash, and two may cancel out.
        script = self.function.script()
        constants = _CONSTANT.findall(script)
        count = len(re.findall(r"T\.float\d+\(", script))
        check("a constant", len(constants), exactly(count))
        parts = structural_hash(self.function, map_free_vars=True), constants
        digest = hashlib.sha256(repr(parts).encode()).hexdigest()[:10]
        return f"{self.label}_{digest}"

    @cached_property
    def tensors(self) -> list[tuple[tuple[int, ...], str]]:
        """Shapes and dtypes of its inputs, then its outputs."""
        buffers = self.function.params
        return [(tuple(int(n) for n in b.shape), str(b.dtype)) for b in buffers]

    def check(self, inputs: list[Value], outputs: list[Value]) -> None:
        """SpecError where the function takes other tensors."""
        given = [*inputs, *outputs]
        if [(v.shape, v.dtype) for v in given] != self.tensors:
            raise SpecError(
                f"takes {self.tensors}, not {[(v.shape, v.dtype) for v in given]}"
            )

    def texts(self, target: Target) -> list[str]:
        """IR with `i32 kernel_<name>(ptr slots)`; slots: inputs, then outputs."""
        import tvm

        from toolchain.lower import te as step

        _register_math()
        inner = f"tir_{self.name}"
        function = _serial(self.function).with_attr("global_symbol", inner)
        schedule = _scheduled(tvm.IRModule({inner: function}), inner, target)
        # Formulas that were inlined twice define their variables twice.
        schedule = tvm.tirx.transform.ConvertSSA()(schedule)
        text = step.llvm_ir(schedule, target)
        names = [re.sub(r"\W", "_", p.name) for p in schedule[inner].params]
        found = step.Lowered(text, _slots(text, inner, names))
        text = without_loader(text, inner) + entry(found, inner, f"kernel_{self.name}")
        if target.contract:
            text = flagged(text, "contract", ("fadd", "fsub", "fmul"))
        return [text, *used([text], target)]


def _serial(function: Any) -> Any:
    """A TIR function whose loops are in order: for others TVM launches threads."""
    from tvm.script import from_source

    text = function.script()
    if "T.parallel(" not in text:
        return function
    return from_source(text.replace("T.parallel(", "T.serial("))


def _slots(text: str, function: str, names: list[str]) -> dict[str, int]:
    """The position in `names` of each parameter of `<function>_compute_`.

    Unused ones are missing there, and LLVM puts a number behind a name that is there
    twice: the first of them that is left is meant.
    """
    match = only(
        text,
        f"function {function}_compute_",
        rf"^define [^\n]*@{function}_compute_\(([^\n]*)\) ",
    )
    slots: dict[str, int] = {}
    left = dict(enumerate(names))
    for parameter in match[1].split(", "):
        local = parameter.rsplit("%", 1)[1]
        if local == "dev_id" or local.startswith(OFFSET):
            continue
        same = [i for i, n in left.items() if n == local]
        alike = [
            i for i, n in left.items() if re.fullmatch(re.escape(n) + r"\d*", local)
        ]
        slots[local] = (same or alike)[0]
        del left[slots[local]]
    return slots


def _scheduled(module: Any, name: str, target: Target) -> Any:
    """Blocks inlined into each other; reductions with their vectors innermost."""
    from tvm import s_tir

    schedule = s_tir.Schedule(module)
    schedule.work_on(name)
    for block in schedule.get_child_blocks(schedule.get_sblock("root")):
        found = schedule.get(block)
        if KEPT in found.annotations or _is_large(found.script()):
            continue
        ways = [schedule.compute_inline]
        if _is_one_to_one(schedule, block):
            ways.append(schedule.reverse_compute_inline)
        for inline in ways:
            try:
                inline(block)
                break
            except s_tir.ScheduleError:
                continue
    for block in reversed(schedule.get_child_blocks(schedule.get_sblock("root"))):
        _compute_beside(schedule, block)
    for block in schedule.get_child_blocks(schedule.get_sblock("root")):
        reduced = _reordered(schedule, block)
        if target.has("simd128"):
            _vectorize(schedule, block, reduced)
        if reduced:
            schedule.decompose_reduction(block, reduced[0])
    return schedule.mod


def _is_one_to_one(schedule: Any, block: Any) -> bool:
    """Whether a block has as many elements as the only one that it reads.

    TVM may fail where it is asked to put another one, a broadcast, into its producer.
    """
    makers = schedule.get_producers(block)
    return len(makers) == 1 and _steps(schedule, block) == _steps(schedule, makers[0])


def _steps(schedule: Any, block: Any) -> int:
    return prod(int(axis.dom.extent) for axis in schedule.get(block).iter_vars)


def _compute_beside(schedule: Any, block: Any) -> None:
    """Compute a large block where it is read: an element of it stays in a register.

    Only where each element is read once; others would be computed several times.
    """
    from tvm import s_tir

    found, readers = schedule.get(block), schedule.get_consumers(block)
    if len(readers) != 1 or not _is_large(found.script()):
        return
    loops = schedule.get_loops(readers[0])
    if loops and _steps(schedule, block) == _steps(schedule, readers[0]):
        with contextlib.suppress(s_tir.ScheduleError):
            schedule.compute_at(block, loops[-1])


def _is_large(text: str) -> bool:
    """Whether a block is too large to be put into others."""
    depth = deepest = 0
    for brace in re.findall(r"[{}]", text):
        depth += 1 if brace == "{" else -1
        deepest = max(deepest, depth)
    return len(text) > INLINED or deepest > NESTED


def _vectorize(schedule: Any, block: Any, reduced: list[Any]) -> None:
    """Take vectors of the last axis, where all that is read lies side by side there.

    LLVM does not where a condition is in between: of pads, or of a choice, from whose
    sides TVM makes a branch and LLVM addresses that it gathers from. A vector goes
    through a reduction by itself, and stays in a register.
    """
    found = schedule.get(block)
    axes = [v for v in found.iter_vars if v.iter_type == v.DataPar]
    if not found.name_hint.startswith(BRANCHING) or not axes or _calls_math(found):
        return
    last, (write,) = axes[-1], found.writes
    places = [r.region[-1].min for r in found.reads if r.region]
    aside = all(p.same_as(last.var) or not _uses(p, last.var) for p in places)
    # So many, and it is the innermost loop.
    whole = int(last.dom.extent) % VECTOR == 0
    if aside and whole and write.source.dtype in WORDS:
        outer, inner = schedule.split(schedule.get_loops(block)[-1], [None, VECTOR])
        schedule.vectorize(inner)
        if reduced:
            schedule.reorder(outer, *reduced)


def _calls_math(block: Any) -> bool:
    """Whether a function of MATH is in it, whose lowering is for scalars."""
    text = block.script()
    return any(f"T.{name}(" in text for name in MATH) or math.SYMBOL in text


def _uses(expression: Any, variable: Any) -> bool:
    from tvm.tirx.analysis import undefined_vars

    return any(v.same_as(variable) for v in undefined_vars(expression))


def _reordered(schedule: Any, block: Any) -> list[Any]:
    """Put a reduction's vectors inside its loops; the loops."""
    from tvm.tirx import IterVar

    kinds = [v.iter_type for v in schedule.get(block).iter_vars]
    loops = list(zip(schedule.get_loops(block), kinds, strict=False))
    reduced = [loop for loop, kind in loops if kind == IterVar.CommReduce]
    others = [loop for loop, kind in loops if kind != IterVar.CommReduce]
    if reduced and others and int(schedule.get(others[-1]).extent) >= VECTOR:
        schedule.reorder(*reduced, others[-1])
    return reduced


@cache
def _register_math() -> None:
    """Let TVM call ops_math_<function>(float) where it would call libm's."""
    from tvm import tirx

    for name in MATH:

        def rule(call: Any, name: str = name) -> Any:
            # In float32 for other types too: there is no formula for more digits. Of a
            # whole exponent above 2^24 all digits count.
            kind, args = str(call.ty), list(call.args)
            wide = name == "pow" and kind == "float64"
            for i in range(1 if wide else len(args)):
                args[i] = args[i].astype("float32")
            result = (math.pow_wide if wide else getattr(math, name))(*args)
            return result.astype(kind)

        tirx.op.register_intrin_lowering(f"tirx.{name}", "llvm", f=rule, level=99)
