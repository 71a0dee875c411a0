"""Lower: an operator's tensor expression becomes LLVM IR text, by TVM."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from toolchain import spec
from toolchain.abi import SLOT_BYTES, declaration
from toolchain.dtypes import STORAGE
from toolchain.lower.bounds import check_bounds
from toolchain.lower.rewrite import SOME, Times, exactly, only, rewrite
from toolchain.spec import Operator, SpecError, tensor_dtype
from toolchain.spec.tvm import Expr, Schedule, Tensor, Var
from toolchain.targets import TRIPLE, Target

if TYPE_CHECKING:
    from tvm import IRModule
    from tvm.s_tir.schedule import SBlockRV


class Kernel(spec.Kernel):
    """What a compute function gets, as it is compiled.

    constants: sizes and attributes (as flattened) that are known; the others are
    arguments of the kernel.
    """

    def __init__(
        self,
        operator: Operator,
        dtypes: tuple[str, ...],
        target: Target,
        index_dtype: str = "int32",
        columns: bool = False,
        constants: Mapping[str, float] | None = None,
    ) -> None:
        from tvm import te, tirx

        known = constants or {}

        self.target = target
        self.dtypes = dtypes
        self.index_dtype = index_dtype
        self.dtype = STORAGE.get(dtypes[0], dtypes[0])
        self.output_dtypes = [
            STORAGE.get(d, d)
            for d in (tensor_dtype(o, dtypes) for o in operator.outputs)
        ]
        # In the columns form, rows lie k elements apart.
        symbols = [*operator.symbols(), *(["k"] if columns else [])]
        sizes = {
            s: tirx.const(known[s], index_dtype)
            if s in known
            else te.var(s, index_dtype)
            for s in symbols
        }
        self.size_variables = {s: v for s, v in sizes.items() if s not in known}
        self.inputs = []
        self.variables: dict[str, Var] = {}
        for name, size in sizes.items():
            self._set(name, size)
        for i in operator.inputs:
            dtype = tensor_dtype(i, dtypes)
            dims = i.dims.split()
            if columns and dims == ["o", "n"]:
                dims.append("k")
            shape = [sizes[s] for s in dims]
            tensor = te.placeholder(shape, STORAGE.get(dtype, dtype), i.name)
            self.inputs.append(tensor)
            self._set(i.name, tensor)
        for a in operator.attributes:
            dtype = index_dtype if a.variable_dtype == "int32" else a.variable_dtype
            names = a.names()
            values = [
                tirx.const(_wrapped(known[n], dtype), dtype)
                if n in known
                else te.var(n, dtype)
                for n in names
            ]
            self.variables |= {
                n: v for n, v in zip(names, values, strict=True) if n not in known
            }
            if a.slots:
                self._set(a.name, values if a.per_unit else values[0])

    def index(self, value: int) -> Expr:
        """A constant of the dtype that sizes have."""
        from tvm import tirx

        return tirx.const(value, self.index_dtype)

    def _set(self, name: str, value: Any) -> None:
        if hasattr(self, name):
            raise SpecError(f"{name!r} names two things; rename one of them")
        setattr(self, name, value)


def _wrapped(value: float, dtype: str) -> float:
    """A number as its bits are in an unsigned dtype: data may be moved as such."""
    unsigned = dtype.startswith("uint")
    return int(value) % (1 << int(dtype.removeprefix("uint"))) if unsigned else value


# What an operator computes: one or several tensors of a kernel.
Form = Callable[[Kernel], Tensor | Sequence[Tensor]]


@dataclass(frozen=True)
class Lowered:
    """IR text of `<name>_compute_` and the slot of each of its parameters."""

    text: str
    slots: dict[str, int]


def _outputs(kernel: Kernel, form: Form) -> list[Tensor]:
    outputs = form(kernel)
    return list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]


def lower(
    operator: Operator, name: str, form: Form, kernel: Kernel, target: Target
) -> Lowered:
    """Compile one form of an operator to raw LLVM IR (no optimisation yet).

    The kernel's parameters are matched to slots by name: data pointers of inputs
    and outputs, sizes, attributes.
    """
    import tvm
    from tvm import te

    outputs = _outputs(kernel, form)
    inside = check_bounds(operator, kernel, form, outputs)
    inner = _in_place(operator, outputs)
    names = [t.op.name for t in (*kernel.inputs, *inner, *outputs)]
    if len(set(names)) < len(names):
        raise SpecError(f"tensors need names of their own, got {', '.join(names)}")
    bound = {s.name for i in kernel.inputs for s in i.shape if hasattr(s, "name")}
    free = [v for n, v in kernel.size_variables.items() if n not in bound]
    scalars = [*free, *kernel.variables.values()]
    function = te.create_prim_func([*kernel.inputs, *inner, *outputs, *scalars])
    module = tvm.IRModule({name: function.with_attr("global_symbol", name)})
    module = _scheduled(operator, module, name, target)
    inner_names = [t.op.name for t in inner]
    order = [n for n in names if n not in inner_names]
    order += [*kernel.size_variables, *kernel.variables]
    slots = {n: i for i, n in enumerate(order)}
    rows = operator.collapse.startswith("rows.")
    text = llvm_ir(module, target, apart=rows or inside)
    for inner_name in inner_names:
        slots[inner_name] = slots[outputs[0].op.name]
        text = _joined(text, name, inner_name, outputs[0].op.name)
    return Lowered(text, slots)


def _in_place(operator: Operator, outputs: list[Tensor]) -> list[Tensor]:
    """The intermediates in the output's memory: in_place names them, and they fit."""
    found, tensors = list(outputs), {}
    while found:
        tensor = found.pop()
        if tensor.op.name not in tensors:
            tensors[tensor.op.name] = tensor
            found.extend(tensor.op.input_tensors)
    for name in operator.in_place:
        if name not in tensors:
            raise SpecError(
                f"in_place names {name!r}, but compute makes no such tensor"
            )

    def bits(tensor: Tensor) -> int:
        return int(re.sub(r"\D", "", str(tensor.dtype)))

    named = [tensors[n] for n in operator.in_place]
    return [t for t in named if bits(t) == bits(outputs[0])]


def _joined(text: str, name: str, inner: str, output: str) -> str:
    """The IR with one pointer for an intermediate and the output it lives in."""
    body = only(
        text,
        f"the body of {name}_compute_",
        rf"^define [^\n]*@{re.escape(name)}_compute_\([^\n]*\n(.*?)^}}",
    )
    pointer, what = rf"%{re.escape(inner)}(?![\w.])", f"a use of {inner}"
    lines = rewrite(body[1], what, pointer, f"%{output}", SOME)
    # TVM's alias metadata holds that the two are apart.
    lines = rewrite(lines, "alias metadata", r", !tbaa !\d+", "", SOME)
    return text[: body.start(1)] + lines + text[body.end(1) :]


def _scheduled(
    operator: Operator, module: IRModule, name: str, target: Target
) -> IRModule:
    from tvm import s_tir

    schedule = s_tir.Schedule(module)
    schedule.work_on(name)
    if operator.schedule is not None:
        operator.schedule(schedule, target)
        return schedule.mod
    blocks = schedule.get_child_blocks(schedule.get_sblock("root"))
    for block in blocks:
        _separate_init(schedule, block)
    return schedule.mod


def _separate_init(schedule: Schedule, block: SBlockRV) -> None:
    """Put a reduction's first value before its loops.

    Left alone, TVM asks in every step whether it is the first, which is slow, and
    leaves a reduction over nothing without a value.
    """
    from tvm.tirx import IterVar

    kinds = [v.iter_type for v in schedule.get(block).iter_vars]
    loops = zip(schedule.get_loops(block), kinds, strict=False)
    reduced = [loop for loop, kind in loops if kind == IterVar.CommReduce]
    if reduced:
        schedule.decompose_reduction(block, reduced[0])


def llvm_ir(module: IRModule, target: Target, apart: bool = False) -> str:
    """IR text, not optimised yet; apart: common subexpressions stay where they are."""
    import tvm
    from tvm.target import Target as TVMTarget

    options: dict[str, Any] = {
        "kind": "llvm",
        "mtriple": TRIPLE,
        "mattr": [f"+{f}" for f in target.features],
        # Without SIMD it means nothing, but TVM warns where it is not given.
        "vector-width": target.vector_bits or 128,
        "opt-level": 0,  # llvmlite optimises; inspect_source shows optimised IR
    }
    # The runtime checks arguments; TVM's own assertions are 73 % of the code. Its
    # common subexpressions lose bindings in folds, and leave the loops and conditions
    # that make a quotient right; LLVM finds them anyway.
    passes = {"tirx.disable_assert": True, "tirx.disable_cse_tir": apart}
    with tvm.transform.PassContext(config=passes):
        library = tvm.compile(module, target=TVMTarget(options))
    return str(library.mod.inspect_source("ll"))


# What TVM emits for its own loader: slots for its backend functions, filled by a
# constructor. Here the functions are called directly and nothing is constructed.
# Each with how often a module has it, where that does not follow from the kernel.
_LOADER: tuple[tuple[str, str, str, Times], ...] = (
    ("a constructor", r"^@llvm\.global_ctors = .*$", "", exactly(1)),
    (
        "a slot of the loader",
        r"^@__(\w+) = linkonce dllexport global",
        r"@__\1 = internal global",
        exactly(7),
    ),
    (
        "an exported function",
        r"^define (?:weak |linkonce )?dllexport ",
        "define internal ",
        exactly(2),
    ),
    # Which TVM puts beside every kernel.
    (
        "a conversion of float16",
        r"^define weak dso_local ",
        "define internal ",
        exactly(2),
    ),
    ("noinline", r"\bnoinline\b", "", exactly(2)),
    # Its CPU "generic" has features that our targets lack, which bars inlining.
    (
        "a CPU",
        r'"target-cpu"="[^"]*"(?: "target-features"(?:="[^"]*")?)?',
        "nounwind",
        exactly(3),
    ),
    ("features of no CPU", r'"target-features"', "", exactly(0)),
    ("a position", r",? !dbg !\d+", "", SOME),
    ("a branch's weight", r", !prof !\d+", "", SOME),
    ("metadata", r"^!llvm\.(dbg\.cu|module\.flags) = .*$", "", exactly(2)),
    ("a variable's position", r"^ +#dbg_\w+\(.*\)$", "", SOME),
)


def without_loader(text: str, name: str) -> str:
    """The IR of kernel `name` with TVM's loader hooks replaced by direct calls.

    Errors: SpecError where the text is not as TVM writes it.
    """
    called = set(re.findall(r"load ptr, ptr @__(\w+Workspace)\b", text))
    text = rewrite(
        text,
        "a slot of the workspaces",
        r"^@__(\w+Workspace) = linkonce dllexport global ptr null",
        r"@__\1 = internal unnamed_addr constant ptr @\1",
        exactly(len(called)),
    )
    for what, pattern, replacement, times in _LOADER:
        text = rewrite(text, what, pattern, replacement, times)
    # Sub-tensors start anywhere: no pointer is aligned to more than its element. The
    # wrapper says that of each tensor, the kernel again, and of workspaces too. What
    # only micro-kernels touch of a known size, TVM does not call aligned.
    parameters = _signature(text, name)[1]
    tensors = len(re.findall(r"(?:^|, )ptr ", parameters))
    bare = len(re.findall(r"(?:^|, )ptr noalias %", parameters))
    text = rewrite(
        text,
        "an aligned parameter",
        r"noalias align 64 %",
        "noalias %",
        exactly(tensors - bare),
    )
    text = rewrite(
        text,
        "an assumed alignment",
        r'^  call void @llvm\.assume\(i1 true\) \[ "align".*$',
        "",
        Times(2 * (tensors - bare), None),
    )
    for backend in sorted(called):
        text += "\n" + declaration(backend) + "\n"
    return text


def _signature(text: str, name: str) -> re.Match[str]:
    """Parameters and attributes of a kernel's function."""
    return only(
        text,
        f"function {name}_compute_",
        rf"^define [^\n]*@{re.escape(name)}_compute_\(([^\n]*)\) (#\d+) ",
    )


# Where a tensor of te.extern starts in its memory: with its pointer, always.
OFFSET = "elem_offset"


def entry(lowered: Lowered, name: str, symbol: str, whole: str | None = None) -> str:
    """IR of `i32 <symbol>(ptr slots)`, which unpacks slots for the kernel.

    whole: a size that is a multiple of 16, so that LLVM leaves out the loop for a rest.
    """
    match = _signature(lowered.text, name)
    body, arguments = [], []
    for position, parameter in enumerate(match.group(1).split(", ")):
        kind, local = parameter.split(" ")[0], parameter.rsplit("%", 1)[1]
        if local == "dev_id" or local.startswith(OFFSET):
            arguments.append(f"{kind} 0")
            continue
        if local not in lowered.slots:
            raise SpecError(f"parameter {local!r} of the kernel is no argument of it")
        load = _load(kind, position, SLOT_BYTES * lowered.slots[local])
        body += load
        if local == whole:
            body.append(f"%whole = and i32 %v{position}, -16")
            arguments.append("i32 %whole")
            continue
        arguments.append(f"{kind} %v{position}")
    lines = "\n  ".join(body)
    return (
        # Of the kernel's features: otherwise LLVM does not inline it.
        f"\ndefine i32 @{symbol}(ptr noalias readonly %slots) {match.group(2)} {{\n"
        f"  {lines}\n"
        f"  %rc = call i32 @{name}_compute_({', '.join(arguments)})\n"
        f"  ret i32 %rc\n}}\n"
    )


def _load(kind: str, position: int, offset: int) -> list[str]:
    """IR that loads one slot (an int64, a double or a pointer) as `kind`."""
    address = f"%p{position} = getelementptr inbounds i8, ptr %slots, i32 {offset}"
    value = f"%v{position}"
    if kind == "float":
        wide = f"%w{position}"
        return [
            address,
            f"{wide} = load double, ptr %p{position}",
            f"{value} = fptrunc double {wide} to float",
        ]
    return [address, f"{value} = load {kind}, ptr %p{position}"]
