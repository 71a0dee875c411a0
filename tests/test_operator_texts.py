"""What the author of an operator file reads of tuples and bounds that are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolchain.codegen.child import author_text
from toolchain.codegen.operators import load_operator
from toolchain.spec import SpecError

FIELDS = {"inputs": '(Input("x", "n"),)', "dtypes": '("float32",)', "bound": "EXACT"}
FILE = '''\
"""out[i] = x[i]"""
from toolchain.spec import Attribute, Bound, Input, Operator
EXACT = Bound(why="exact")
KERNEL = Operator(collapse="elementwise.broadcast", cases=None,
    reference=None, compute=abs, {})
'''
COMMA = "not a tuple; a tuple of one needs a comma: "
CASES = {
    'dtypes=("float32")': f'dtypes is "float32", {COMMA}dtypes=("float32",)',
    'inputs=(Input("x", "n"))': (
        f'inputs is Input("x", "n"), {COMMA}inputs=(Input("x", "n"),)'
    ),
    'attributes=(Attribute("axis"))': (
        f'attributes is Attribute("axis"), {COMMA}attributes=(Attribute("axis"),)'
    ),
    'aliases=("Other")': f'aliases is "Other", {COMMA}aliases=("Other",)',
    'inputs=("x",)': 'inputs holds "x"; write Input("x", "n")',
    'attributes=("axis",)': 'attributes holds "axis"; write Attribute("axis")',
    "dtypes=(3,)": 'dtypes holds 3; write a name, such as "float32", or a tuple of',
    "bound=2": 'bound is 2; write bound=Bound(ulp=2, why="two roundings")',
    "bound=Bound()": (
        "float32 results have no bound; write how far they may be from the reference, "
        'bound=Bound(ulp=2, why="two roundings"), or bound=Bound(why="exact") where '
        "they are exact"
    ),
    "bound=Bound(ulp=2)": "float32 results have ulp=2 without why; write",
}


def refusal(path: Path, words: str) -> str:
    """What the author reads of a file with a field written so; "" where it is taken."""
    others = [f"{n}={t}" for n, t in FIELDS.items() if f"{n}=" not in words]
    path.write_text(FILE.format(", ".join([words, *others])))
    try:
        load_operator(path)
    except SpecError as error:
        return author_text(path, error)
    return ""


@pytest.mark.parametrize("words", CASES)
def test_mistakes_are_named(words: str, tmp_path: Path) -> None:
    found = refusal(tmp_path / "mine.py", words)
    assert (found.startswith("line 4: "), CASES[words] in found) == (True, True), found


@pytest.mark.parametrize(
    "words",
    [
        'bound=Bound(why="exact")',
        'bound=Bound(ulp=2, why="two roundings")',
        'dtypes=("int32",), bound=Bound()',
        'dtypes=("float32",), bound=Bound(), stored_as={"float32": "int32"}',
        'dtypes=["float32"]',
    ],
)
def test_what_is_right_is_taken(words: str, tmp_path: Path) -> None:
    assert refusal(tmp_path / "mine.py", words) == ""
