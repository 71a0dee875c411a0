"""Tables: what C, JavaScript and the host package have of this toolchain's tables.

Sources in those languages hold a copy, which `write` makes anew; C's structs and
numbers, which are written by hand, are held against abi.py and layout.py by
static assertions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from toolchain import abi, layout
from toolchain.dtypes import DTYPES
from toolchain.link.artifacts import (
    C_TABLES,
    CHECKED_HEADERS,
    MODULE,
    PYTHON_TABLES,
    TABLES,
)
from toolchain.link.clang import compile_c
from toolchain.profile import ROOT, version
from toolchain.records.replace import fresh, scratch, write
from toolchain.spec import COLLAPSES
from toolchain.targets import DEFAULT, PROBES, TARGETS, Target, by_preference

_WRITTEN = "written by `doit tables` from toolchain/; do not edit"


def write_tables(out: Path) -> None:
    """Write the files that hold tables where they differ; `out` lists them."""
    for name in TABLES:
        path, data = ROOT / name, content(name)
        if not path.exists() or path.read_bytes() != data:
            print(f"  {name}: written anew")
            write(path, data)
    write(out, "".join(f"{name}\n" for name in TABLES).encode())


def check_headers(out: Path) -> None:
    """Compile assertions about C's headers into an object. Errors: ToolError."""
    with scratch(out.parent) as own, fresh(out) as new:
        source = own / "assertions.c"
        source.write_text("".join(f"{line}\n" for line in assertions()))
        compile_c(source, TARGETS[DEFAULT], new)


def content(name: str) -> bytes:
    """What one of TABLES should hold."""
    if name == C_TABLES:
        return _c().encode()
    if name == PYTHON_TABLES:
        return _python().encode()
    return _javascript().encode()


def _c() -> str:
    """The lists of dtypes, and the rules of each collapse."""
    rules = (
        f"  OPS_{collapse.upper()}_{rule.upper()} = {number},"
        for collapse, names in COLLAPSES.items()
        for number, rule in enumerate(names)
    )
    numbered = "\n".join(rules)
    return f"""\
/* tables.h: {_WRITTEN}. */
#ifndef OPS_TABLES_H_
#define OPS_TABLES_H_

/* X(name, NAME, DLPack's code, bits, type of an element) for each dtype. */
{_each("OPS_EACH_DTYPE", library=True)}
/* The same, of dtypes that models alone have. */
{_each("OPS_EACH_MODEL_DTYPE", library=False)}

/* ops_family.rule, for each collapse. */
enum {{
{numbered}
}};

#endif /* OPS_TABLES_H_ */
"""


def _each(name: str, library: bool) -> str:
    """A macro of the dtypes of the library, or of those that models alone have."""
    rows = [
        f"#define {name}(X)",
        *(
            f"  X({d.name}, {d.name.upper()}, {d.code}, {d.bits}, {d.c})"
            for d in DTYPES.values()
            if d.library == library
        ),
    ]
    width = max(map(len, rows[:-1]))  # clang-format puts backslashes in a column
    return " \\\n".join(f"{row:{width}}" for row in rows).rstrip()


def _python() -> str:
    """The module `tables` of the host package."""
    dtypes = "".join(
        f'    "{d.name}": ({d.code}, {d.bits}),\n' for d in DTYPES.values()
    )
    short = "".join(f'    "{d.short}": "{d.name}",\n' for d in DTYPES.values())
    targets = "".join(f'    "{t.name}",\n' for t in by_preference())
    functions = "".join(f'    "{n}": {count},\n' for n, count in abi.FUNCTIONS.items())
    kinds = "".join(f"KIND_{k.name} = {k.value}\n" for k in abi.Kind)
    return f'''\
"""Tables that this package shares with its modules.

{_WRITTEN.capitalize()}.
"""

VERSION = "{version()}"  # of this package, and of the compiler's
# Code of DLPack and bits of each dtype, by numpy's name; and what the command calls it.
DTYPES = {{
{dtypes}}}
SHORT_DTYPES = {{
{short}}}
# Targets, best first.
TARGETS = (
{targets})
# Of libraries and of models whose sizes are known; of models with open sizes.
ABI_VERSION = {abi.ABI_VERSION}
ABI_VERSION_OPEN = {abi.ABI_VERSION_OPEN}
MAX_RANK = {abi.MAX_RANK}
MAX_SIZE = {abi.MAX_SIZE}  # of an axis
ALIGNMENT = {abi.ALIGNMENT}  # bytes, of what ops_alloc gives
PAGE = {abi.PAGE}  # bytes of linear memory
MAX_MEMORY = {abi.MAX_MEMORY}  # bytes that wasm32 can address
MANIFEST = "{abi.MANIFEST}"  # custom section of a module
# Functions of a module and how many arguments each has; all are i32, results too.
FUNCTIONS = {{
{functions}}}
# TVMFFIAny.type_index, and what a function returns that is out of memory.
{kinds}ERROR_MEMORY = {abi.Error.MEMORY.value}
# For struct: TVMFFIAny with an int64, and DLTensor.
ARGUMENT = "{layout.ANY.packed}"
TENSOR = "{layout.TENSOR.packed}"
'''


def _javascript() -> str:
    """The module `tables` of the JavaScript package."""
    dtypes = "".join(
        f'  ["{d.name}", {{ code: {d.code}, bits: {d.bits}, array: {d.array} }}],\n'
        for d in DTYPES.values()
    )
    functions = "".join(f"  {n}: {count},\n" for n, count in abi.FUNCTIONS.items())
    kinds = ", ".join(f"{k.name.lower()}: {k.value}" for k in abi.Kind)
    errors = ", ".join(f'{e.value}: "{e.name.lower()}"' for e in abi.Error)
    targets = "".join(_target(t) for t in by_preference())
    return f"""\
// tables.mjs: {_WRITTEN}.

// By their names: DLPack's code, bits, and the typed array.
export const DTYPES = new Map([
{dtypes}]);
// Of libraries and of models whose sizes are known; of models with open sizes.
export const ABI_VERSION = {abi.ABI_VERSION};
export const ABI_VERSION_OPEN = {abi.ABI_VERSION_OPEN};
export const MAX_RANK = {abi.MAX_RANK};
export const MAX_SIZE = {abi.MAX_SIZE}; // of an axis
export const ALIGNMENT = {abi.ALIGNMENT}; // bytes, of what ops_alloc gives
export const MEMORY = {abi.MAX_MEMORY}; // bytes; what a module can have at most
export const SECTION = {json.dumps(abi.MANIFEST)};
// Bytes of a TVMFFIAny and of a DLTensor, and where their fields lie.
export const ARGUMENT = {_offsets(layout.ANY)};
export const TENSOR = {_offsets(layout.TENSOR)};
export const KINDS = {{ {kinds} }};
// What a function returns that fails.
export const ERRORS = {{ {errors} }};
// The functions of a module and how many i32 each takes; all give one.
export const FUNCTIONS = {{
{functions}}};
// The targets, best first. probe: a module, in hexadecimal, that an engine takes which
// has the features; v8: tuned for that engine; url: of the module of all operators.
export const TARGETS = [
{targets}];
"""


def _target(target: Target) -> str:
    path = f"../../build/{target.name}/{MODULE}"
    return f"""\
  {{
    name: "{target.name}",
    v8: {json.dumps(target.accumulating)},
    probe: {json.dumps(_probe(target))},
    url: () => new URL("{path}", import.meta.url),
  }},
"""


def _probe(target: Target) -> str | None:
    """A small module with the features of a target; None where one has no probe."""
    import wasmtime

    if not set(target.features) <= PROBES.keys():
        return None
    parts = " ".join(PROBES[feature] for feature in target.features)
    return bytes(wasmtime.wat2wasm(f"(module (memory 0) {parts})")).hex()


def _offsets(struct: layout.Struct) -> str:
    fields = [f"  {f.name.rpartition('.')[2]}: {f.offset},\n" for f in struct.fields()]
    return f"{{\n  size: {struct.size},\n{''.join(fields)}}}"


def assertions() -> Iterator[str]:
    """C that compiles where the headers are as abi.py and layout.py have them."""
    yield "#include <stddef.h>"
    yield from (f'#include "{header}"' for header in CHECKED_HEADERS)
    for expression, value in abi.NUMBERS.items():
        yield _equal(expression, value)
    for prefix, members in abi.ENUMS:
        for member in members:
            yield _equal(f"{prefix}{member.name}", member.value)
    for struct in layout.STRUCTS:
        yield _equal(f"sizeof({struct.name})", struct.size)
        for field in struct.fields():
            yield from _field(struct.name, field)
    for name, count in abi.FUNCTIONS.items():
        yield _equal(f"sizeof({name}({', '.join('0' * count)}))", 4)
    for name, (result, arguments) in abi.CALLS.items():
        size = next(w.size for w in layout.WORDS.values() if w.llvm == result)
        yield _equal(f"sizeof({name}({', '.join('0' for _ in arguments)}))", size)


def _field(struct: str, field: layout.Field) -> Iterator[str]:
    member = f"(({struct} *)0)->{field.name}"
    yield _equal(f"offsetof({struct}, {field.name})", field.offset)
    yield _equal(f"sizeof({member})", field.size)
    if field.word.c:
        first = f"{member}[0]" if field.count else member
        yield _equal(f"_Generic({first}, {field.word.c}: 1, default: 0)", 1)


def _equal(expression: str, value: int) -> str:
    return (
        f"_Static_assert({expression} == {value}, "
        f'"{expression} is {value} in toolchain");'
    )
