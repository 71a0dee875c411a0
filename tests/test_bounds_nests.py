"""Bounds of loop nests: statements of a user's te.extern are proved, or refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import ops_wasm32
import pytest
from linking import link_operators

from toolchain.codegen.objects import compile_object
from toolchain.spec import SpecError

FORM = """\
'''out = f(x).'''
from toolchain.spec import Attribute, Input, Operator, te, tir
from toolchain.spec import script as T
from toolchain.spec.nest import as_written, materialized, nest


def compute(k):
    def emit(ins, out):
        x, y = ins
{body}

    return nest((k.n,), k.inputs, emit, "int32")


KERNEL = Operator(collapse="exact.plain", inputs=(Input("x", "m"), Input("y", "n")),
    dtypes=("int32",), attributes=(Attribute("a"),), reference=None, cases=None,
    compute=compute, schedule=as_written{more})
"""
STORE = "T.buffer_store(out, {value}, [{place}])"


def operator(*lines: str, more: str = "") -> str:
    return FORM.format(body="\n".join(f"        {line}" for line in lines), more=more)


def each(value: str, place: str = "i", size: str = "k.n", more: str = "") -> str:
    """A loop over i that stores a value."""
    loop = f"with T.serial(0, {size}) as i:"
    return operator(loop, "    " + STORE.format(value=value, place=place), more=more)


def inside(does: str, *lacking: str) -> str:
    return (
        f"line 11: it {does}, where {' and '.join(lacking)} may not hold; do so in "
        f"T.If(tir.all({', '.join(lacking)})), or state in requires what makes it hold"
    )


REFUSED = {
    "a quotient": (
        each("y[i] // k.a"),
        "line 11: it divides by a, which may be 0 or -1: a call would trap; divide by "
        "tir.max(a, 1), give an attribute minimum=1, or state a >= 1 in requires",
    ),
    "a rest of an element": (
        each("tir.truncmod(7, y[i])"),
        "line 11: it divides by y[",
    ),
    "a read behind the end": (each("y[i + 1]"), "line 11: it reads y["),
    "a read of another size": (each("x[i]"), "line 11: it reads x["),
    "a read before the start": (each("y[i - 1]"), "line 11: it reads y["),
    "an element as index": (each("x[y[i]]"), "line 11: it reads x[y["),
    "an index that is an attribute": (
        each("x[k.a]"),
        inside("reads x[a]", "a >= 0", "a < m"),
    ),
    "a store behind the end": (each("y[i] + 1", "i + 1"), "line 11: it stores out["),
    "a store of another size": (each("y[0] + 2", "i", "k.m"), "line 11: it "),
    "a size in a loop": (
        operator("with T.serial(0, k.n // k.a) as i:", "    pass"),
        "line 10: it divides by a",
    ),
    "a buffer of its own": (
        operator(
            'own = T.alloc_buffer((4,), "int32")',
            "with T.serial(0, k.n) as i:",
            "    T.buffer_store(own, y[i] + 1, [i])",
        ),
        "line 12: it stores a buffer[v], where v < 4",
    ),
    "a condition on what may change": (
        operator(
            "with T.serial(0, k.n) as i:",
            "    with T.If(tir.all(out[i] >= 0, out[i] < k.m)), T.Then():",
            "        T.buffer_store(out, x[out[i]] + 1, [i])",
        ),
        "line 12: it reads x[out[",
    ),
    "the other branch": (
        operator(
            "with T.serial(0, k.n) as i, T.If(i < k.m):",
            "    with T.Then():",
            "        T.buffer_store(out, x[i] + 1, [i])",
            "    with T.Else():",
            "        T.buffer_store(out, x[i] + 2, [i])",
        ),
        "line 14: it reads x[",
    ),
    "a change of an input": (
        operator("with T.serial(0, k.n) as i:", "    T.buffer_store(y, y[i] + 1, [i])"),
        "line 11: it stores to y, an input; store to the output",
    ),
    "an address": (
        operator('T.evaluate(tir.call_extern("int32", "mine", y.access_ptr("r")))'),
        "line 10: call_extern gets an address, and what it reads there is not known; "
        "read elements by their indices",
    ),
    "a loop without end": (
        operator("with T.While(y[0] > 0):", "    T.evaluate(0)"),
        "nothing is known of the statement While; use T.serial",
    ),
}


def refused(path: Path, text: str) -> str:
    path.write_text(text)
    with pytest.raises(SpecError) as error:
        compile_object(path, "simd128")
    return str(error.value)


@pytest.mark.parametrize("kind", REFUSED)
def test_statements_that_could_trap_or_leave_a_tensor_are_refused(
    tmp_path: Path, kind: str
) -> None:
    text, error = REFUSED[kind]
    assert refused(tmp_path / "mine.py", text).startswith(error)


VIEW = """
def compute(k):
    apart = tir.decl_buffer((k.n,), "int32", "apart", {view})

    def body(ins, outs):
        with IRBuilder() as builder, T.serial(0, k.n) as i:
            T.buffer_store(outs[0], ins[0][i], [i])
        return builder.get()

    return te.extern([(k.n,)], [k.y], body, name="out", out_buffers=[apart])
"""


@pytest.mark.parametrize("view", ["strides=[2]", "elem_offset=1"])
def test_an_output_that_is_another_view_is_refused(tmp_path: Path, view: str) -> None:
    start, rest = operator("pass").split("def compute(k):")
    text = f"from tvm.script.ir_builder import IRBuilder\n{VIEW.format(view=view)}\n\n"
    text = start + text + rest[rest.index("KERNEL = ") :]
    error = refused(tmp_path / "mine.py", text)
    assert error.startswith("line 10: apart has strides or an offset; declare it")


ARRAY = """\
'''out[i] = e^x[i].'''
from toolchain.spec import Bound, Input, Operator, pointwise
from toolchain.spec import math as m

KERNEL = Operator(collapse="elementwise.broadcast", inputs=(Input("x", "n"),),
    dtypes=("float32",), reference=None, cases=None, bound=Bound(ulp=2, why="it"),
    compute=lambda k: pointwise(lambda k, x: m.exp(x))(k))
"""


def test_functions_of_arrays_get_addresses(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(ARRAY)
    compile_object(path, "simd128")


TAKEN = {
    "plain": (each("y[i] * 2"), lambda x, y, a: y * 2),
    "bounded": (each("y[i] // tir.max(k.a, 1)"), lambda x, y, a: y // max(a, 1)),
    "required": (
        each("x[i] - y[i]", more=',\n    requires=lambda k: [(k.m >= k.n, "m >= n")]'),
        lambda x, y, a: x[: y.size] - y,
    ),
    "reversed": (each("y[k.n - 1 - i]"), lambda x, y, a: y[::-1]),
    "looked_up": (
        operator(
            "with T.serial(0, k.n) as i, T.If(tir.all(y[i] >= 0, y[i] < k.m)):",
            "    with T.Then():",
            "        T.buffer_store(out, x[y[i]], [i])",
            "    with T.Else():",
            "        T.buffer_store(out, -1, [i])",
        ),
        lambda x, y, a: np.array([x[j] if 0 <= j < x.size else -1 for j in y]),
    ),
    "materialized": (
        operator(
            "with T.serial(0, k.n) as i:",
            "    j = materialized(y[i])",
            "    T.buffer_store(out, 0, [i])",
            "    with T.If(tir.all(j >= 0, j < k.m)), T.Then():",
            "        T.buffer_store(out, x[j], [i])",
        ),
        lambda x, y, a: np.array([x[j] if 0 <= j < x.size else 0 for j in y]),
    ),
    "divided": (
        operator(
            "with T.serial(0, k.n) as i:",
            "    T.buffer_store(out, 5, [i])",
            "    with T.If(k.m > 0), T.Then():",
            "        T.buffer_store(out, y[i] // k.m, [i])",
        ),
        lambda x, y, a: y // x.size if x.size else y * 0 + 5,
    ),
}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ops_wasm32.Library:
    folder = tmp_path_factory.mktemp("nests")
    sources = {name: text for name, (text, _) in TAKEN.items()}
    return ops_wasm32.load(link_operators(folder, sources, "simd128"))


@pytest.mark.parametrize("name", TAKEN)
def test_statements_that_are_right_are_taken(
    library: ops_wasm32.Library, name: str
) -> None:
    for m, n, a in ((5, 3, 2), (9, 4, -1), (4, 4, 0), (3, 0, 1), (0, 0, 1)):
        x, y = np.arange(10, 10 + m), np.arange(n) * 3 - 2
        x, y = x.astype("int32"), y.astype("int32")
        got = library.call(name, x, y, a=a)
        assert got.tolist() == list(TAKEN[name][1](x, y, a)), (m, n, a)
