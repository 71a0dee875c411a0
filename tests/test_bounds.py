"""Bounds: an operator that could trap or read outside is refused; others cannot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import ops_wasm32
import pytest
from linking import link_operators

from toolchain.codegen.objects import compile_object
from toolchain.spec import SpecError
from toolchain.targets import TARGETS

FORM = """\
'''out = f(x).'''
from toolchain.spec import Attribute, Input, Operator, pointwise, te, tir
from toolchain.spec.integers import quotient
from toolchain.spec.math import Let
{}
"""
ELEMENTS = """\
KERNEL = Operator(collapse="elementwise.broadcast", inputs=(Input("x", "n"),),
    dtypes=("{dtype}",), attributes=({attributes}), reference=None, cases=None,
    compute=pointwise(
        lambda k, x: {formula}))
"""
PAIRS = ELEMENTS.replace('(Input("x", "n"),)', '(Input("x", "n"), Input("y", "n"))')
PAIRS = PAIRS.replace("k, x:", "k, x, y:")
TENSORS = """\
KERNEL = Operator(collapse="exact.plain", inputs=(Input("x", "m"), Input("y", "n")),
    dtypes=("int32",), attributes=({attributes}), reference=None, cases=None,
    requires=lambda k: [{requires}],
    compute=lambda k: te.compute(({size},),
        lambda i: {formula}, name="out"))
"""
PLAIN = {"dtype": "int32", "attributes": "", "requires": "", "size": "k.n"}


def operator(form: str, **words: str) -> str:
    return FORM.format(form.format(**PLAIN | words))


A = 'Attribute("a"),'
WINDOW = "(lambda j: te.sum({}, j))(te.reduce_axis((0, k.m), 'j'))"
REFUSED = {
    "an attribute": (
        operator(ELEMENTS, formula="x // k.a", attributes=A),
        "line 8: it divides by a, which may be 0 or -1: a call would trap; divide by "
        "tir.max(a, 1), give an attribute minimum=1, or state a >= 1 in requires",
    ),
    "an attribute from 0": (
        operator(
            ELEMENTS, formula="x % k.a", attributes=A.replace(")", ", minimum=0)")
        ),
        "line 8: it divides by a, which",
    ),
    "an attribute from -1": (
        operator(
            ELEMENTS,
            formula="x % k.a",
            attributes=A.replace(")", ", minimum=-9, maximum=-1)"),
        ),
        "line 8: it divides by a, which",
    ),
    "an element": (
        operator(PAIRS, formula="x // y"),
        "line 8: it divides by y[i], which may be 0 or -1: a call would trap; use "
        "quotient of toolchain.spec.integers, which is 0 there",
    ),
    "a select that computes both": (
        operator(PAIRS, formula="tir.Select(y > 0, x // y, 0)"),
        "line 8: it divides by y[i], which",
    ),
    "a size": (
        operator(TENSORS, formula="k.y[i] // k.m"),
        "line 9: it divides by m, which may be 0",
    ),
    "a size of the result": (
        operator(TENSORS, size="k.n // k.m", formula="0"),
        "line 8: it divides by m, which may be 0",
    ),
    "an element as index": (
        operator(TENSORS, formula="k.x[k.y[i]]"),
        "line 9: it reads x[y[i]], where y[i] >= 0 and y[i] < m may not hold; read it "
        "in tir.if_then_else(tir.all(y[i] >= 0, y[i] < m), ..., 0), or state in "
        "requires what makes it hold",
    ),
    "another's size": (
        operator(TENSORS, formula="k.x[i]"),
        "line 9: it reads x[i], where i < m may not hold",
    ),
    "the first of none": (
        operator(TENSORS, formula="k.x[0]"),
        "line 9: it reads x[0], where 0 < m may not hold",
    ),
    "an attribute as index": (
        operator(TENSORS, formula="k.y[i + k.a]", attributes=A),
        "line 9: it reads y[i + a], where i + a >= 0 and i + a < n may not hold",
    ),
    "too weak a condition": (
        operator(TENSORS, formula="tir.if_then_else(i <= k.m, k.x[i], 0)"),
        "line 9: it reads x[i], where i < m may not hold",
    ),
    "backwards from one too far": (
        operator(TENSORS, formula="k.y[k.n - i]"),
        "line 9: it reads y[n - i], where n - i < n may not hold",
    ),
    "a window that hangs over": (
        operator(TENSORS, formula=WINDOW.format("k.y[i + j]")),
        "line 9: it reads y[i + j], where i + j < n may not hold",
    ),
    "around another": (
        operator(TENSORS, formula="k.y[(i + 1) % (k.m + 1)]"),
        "line 9: it reads y[(i + 1) % (m + 1)], where (i + 1) % (m + 1) < n may not",
    ),
    "one past around": (
        operator(TENSORS, formula="k.y[(i + 1) % k.n + 1]"),
        "line 9: it reads y[(i + 1) % n + 1], where (i + 1) % n + 1 < n may not hold",
    ),
    "a product that may fall": (
        operator(TENSORS, formula="k.y[i * k.a]", attributes=A),
        "line 9: it reads y[i * a], where i * a >= 0 and i * a < n may not hold",
    ),
    "a shift": (
        operator(ELEMENTS, formula="x << k.a", attributes=A),
        "line 8: it shifts by a, which may be below 0 or above 31; shift by "
        "tir.max(tir.min(a, 31), 0), or give an attribute minimum=0 and maximum=31",
    ),
    "a shift of bytes": (
        operator(
            ELEMENTS,
            dtype="int8",
            formula='x >> k.a.astype("int8")',
            attributes=A.replace(")", ", minimum=0, maximum=8)"),
        ),
        "line 8: it shifts by",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_could_trap_or_read_outside_is_refused(tmp_path: Path, kind: str) -> None:
    text, error = REFUSED[kind]
    path = tmp_path / "mine.py"
    path.write_text(text)
    with pytest.raises(SpecError) as refused:
        compile_object(path, "simd128")
    assert str(refused.value).startswith(error)


def test_requirements_that_nobody_would_ask_are_refused(tmp_path: Path) -> None:
    """Only collapses whose sizes are asked for look at requirements."""
    path = tmp_path / "mine.py"
    text = operator(ELEMENTS, formula="x // k.n")
    path.write_text(text.replace("reference=", "requires=lambda k: [], reference="))
    with pytest.raises(SpecError, match=r"use a collapse of exact, pad"):
        compile_object(path, "simd128")


LET = """
def divided(a, b, dtype):
    let = Let()
    return let.around(quotient(let, let(a), let(b), dtype))
"""
# All that the errors advise, and what loops and conditions make right.
REFUSED |= {
    "a sum that wraps": (
        operator(TENSORS, formula="k.y[(i + k.a) % k.n]", attributes=A),
        "line 9: it reads y at the remainder or quotient of a sum with a, which may "
        "pass 2^31 and wrap; take a % n first, where n is what the sum is divided by, "
        "or give an attribute minimum and maximum within 2^30",
    ),
    "a product that wraps": (
        operator(
            TENSORS,
            formula="k.y[(i * k.a) % k.n]",
            attributes=A.replace(")", ", minimum=0)"),
        ),
        "line 9: it reads y at the remainder or quotient of a sum with a, which",
    ),
    "a sum with an element": (
        operator(TENSORS, formula="k.y[(i + k.y[i]) % k.n]"),
        "line 9: it reads y at the remainder or quotient of a sum with y[i], which",
    ),
}
TAKEN: dict[str, tuple[str, Callable[[Any, Any, int], Any]]] = {
    "at_least": (
        operator(ELEMENTS, formula="x // tir.max(k.a, 1)", attributes=A),
        lambda x, y, a: x // max(a, 1),
    ),
    "from_one": (
        operator(
            ELEMENTS, formula="x // k.a", attributes=A.replace(")", ", minimum=1)")
        ),
        lambda x, y, a: x // a,
    ),
    "required": (
        operator(
            TENSORS,
            formula="k.y[i] // k.a",
            attributes=A,
            requires='(k.a >= 1, "a must be 1 or more")',
        ),
        lambda x, y, a: y // a,
    ),
    "shaped": (
        operator(
            TENSORS,
            size="k.n // k.m",
            formula="i",
            requires='(k.m >= 1, "m must be 1 or more")',
        ),
        lambda x, y, a: np.arange(y.size // x.size),
    ),
    "clamped": (
        operator(ELEMENTS, formula="x << tir.max(tir.min(k.a, 31), 0)", attributes=A),
        lambda x, y, a: x << max(min(a, 31), 0),
    ),
    "looked_up": (
        operator(
            TENSORS,
            formula="tir.if_then_else(tir.all(k.y[i] >= 0, k.y[i] < k.m), "
            "k.x[k.y[i]], 0)",
        ),
        lambda x, y, a: np.array([x[j] if 0 <= j < x.size else 0 for j in y], int),
    ),
    "selected": (
        operator(TENSORS, formula="tir.Select(i < k.m, k.x[i], k.y[i])"),
        lambda x, y, a: np.array([*x[: y.size], *y[x.size :]], int),
    ),
    "around": (
        operator(TENSORS, formula="k.y[(i + k.a % k.n) % k.n]", attributes=A),
        lambda x, y, a: np.roll(y, -a),
    ),
    "around_by_elements": (
        operator(TENSORS, formula="k.y[(i + k.y[i] % k.n) % k.n]"),
        lambda x, y, a: y[(np.arange(y.size) + y) % y.size] if y.size else y,
    ),
    "conditional": (
        operator(
            TENSORS,
            formula="tir.if_then_else(k.m > 0, k.n // k.m, 0) + "
            "tir.if_then_else(k.m > 0, k.n // k.m * i, 5)",
        ),
        lambda x, y, a: np.array(
            [y.size // x.size * (i + 1) if x.size else 5 for i in range(y.size)],
            int,
        ),
    ),
    "looped": (
        FORM.format(
            """
def compute(k):
    first = te.compute((k.n,), lambda i: k.m // k.n + k.y[i], name="first")
    return te.compute((k.n,), lambda i: k.m // k.n - first[i], name="out")


KERNEL = Operator(collapse="exact.plain", inputs=(Input("x", "m"), Input("y", "n")),
    dtypes=("int32",), reference=None, cases=None, compute=compute)
"""
        ),
        lambda x, y, a: -y,
    ),
    "divided": (
        FORM.format(LET + PAIRS.format(**PLAIN, formula='divided(x, y, "int32")')),
        lambda x, y, a: np.array(
            [int(p / q) if q else 0 for p, q in zip(x, y, strict=True)], int
        ),
    ),
}


@pytest.fixture(scope="module", params=TARGETS)
def library(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    sources = {name: text for name, (text, _) in TAKEN.items()}
    folder = tmp_path_factory.mktemp(f"bounds-{request.param}")
    return ops_wasm32.load(link_operators(folder, sources, request.param))


@pytest.mark.parametrize("name", TAKEN)
def test_what_the_errors_advise_works(library: Any, name: str) -> None:
    """No call traps: sizes of 0, attributes and elements of any value."""
    text, expected = TAKEN[name]
    pairs = ((7, 7), (0, 0)) if "divided" in name else ((7, 5), (3, 9), (0, 4), (4, 0))
    values = (-(2**31), -1, 0, 1, 2, 5, 31, 32, 2**31 - 1) if A[:12] in text else (0,)
    rng = np.random.default_rng(0)
    for m, n in pairs:
        x, y = (rng.integers(-9, 9, size).astype(np.int32) for size in (m, n))
        if m > 3:
            x[:3], y[: min(n, 3)] = -(2**31), [-1, 0, 2**31 - 1][: min(n, 3)]
        inputs = [x, y] if '"y"' in text else [x]
        for a in values:
            given = {"a": a} if A[:12] in text else {}
            refused = a < 1 and name in ("from_one", "required")
            if refused or (name == "shaped" and m == 0):
                with pytest.raises(ops_wasm32.OpsError, match=r"\b[am]\b"):
                    library.call(name, *inputs, **given)
                continue
            got = library.call(name, *inputs, **given)
            wanted = np.asarray(expected(x.astype(np.int64), y.astype(np.int64), a))
            np.testing.assert_array_equal(got, wanted.astype(np.int32))


FITS = {
    "backwards": operator(TENSORS, formula="k.y[k.n - 1 - i]"),
    "a window": operator(
        TENSORS, size="k.n - k.m + 1", formula=WINDOW.format("k.y[i + j]")
    ),
    "around": operator(
        TENSORS,
        formula="k.y[(i + k.a) % k.n]",
        attributes=A.replace(")", ", minimum=-(2**30), maximum=2**30)"),
    ),
    "around backwards": operator(
        TENSORS, formula="k.y[k.n - 1 - (i + k.a % k.n) % k.n]", attributes=A
    ),
    "rows": operator(TENSORS, size="k.m", formula="k.x[k.m - 1 - (k.m - 1 - i)]"),
}


@pytest.mark.parametrize("kind", FITS)
def test_indices_that_fit_at_both_ends_are_taken(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(FITS[kind])
    assert compile_object(path, "simd128")
