"""Slices: what an output's hash covers is what making it runs, and no more."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from toolchain.codegen.objects import compile_object
from toolchain.codegen.operators import load_operator
from toolchain.frontends import (
    Given,
    onnx,  # noqa: F401  # before it is watched
)
from toolchain.frontends.converters import converters
from toolchain.frontends.nodes.rules import tables
from toolchain.frontends.primitives.calls import table
from toolchain.graph.operators import FOLDERS
from toolchain.micro.registry import emitters
from toolchain.model import build
from toolchain.model.read import read
from toolchain.profile import ROOT, full_profile
from toolchain.records.definitions import REFERENCE, Index, index_of
from toolchain.records.slices import Sources, root_in, sources
from toolchain.tasks import models

# Of functions of tables, micro-kernels, C, windows and 8-bit products.
OPERATORS = ("tanh", "softmax", "matmul_integer", "max_pool", "identity", "slice")


@cache
def spans(file: str) -> list[tuple[int, int, str]]:
    """First and last line and name of what a source defines at its top level."""
    found = []
    for node in ast.parse(Path(file).read_text()).body:
        names = [n.id for n in ast.walk(node) if isinstance(n, ast.Name)]
        name = getattr(node, "name", names[0] if names else "")
        first = min(
            [node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))]
        )
        found.append((first, node.end_lineno or first, name))
    return found


def executed(action: Callable[[], Any]) -> tuple[Any, set[tuple[str, str]]]:
    """What the action gives, and which of the project's definitions ran."""
    codes = set()

    def seen(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            codes.add(frame.f_code)

    sys.setprofile(seen)
    try:
        result = action()
    finally:
        sys.setprofile(None)
    found = set()
    for code in codes:
        path = Path(code.co_filename)
        if path.is_relative_to(ROOT / "toolchain") or path.is_relative_to(
            ROOT / "kernels"
        ):
            if code.co_name == "<module>":
                continue
            for first, last, name in spans(str(path)):
                if first <= code.co_firstlineno <= last:
                    found.add((str(path.relative_to(ROOT)), name))
    return result, found


def covered(roots: list[str]) -> set[tuple[str, str]]:
    """Files and names of all definitions in slices."""
    found = set()
    for root in roots:
        for module, name in sources().slice(root):
            file = (
                module if module.endswith(".py") else module.replace(".", "/") + ".py"
            )
            if not (ROOT / file).exists():
                file = module.replace(".", "/") + "/__init__.py"
            found.add((file, name))
    return found


@pytest.mark.parametrize("operator", OPERATORS)
def test_what_a_compilation_runs_is_covered(operator: str) -> None:
    path = ROOT / "kernels" / f"{operator}.py"
    load_operator(path)  # what runs on import is not told apart from the rest
    emitters()
    (_, description), ran = executed(lambda: compile_object(path, "simd128"))
    roots = ["toolchain.codegen.objects:compile_object", root_in(path, "KERNEL")]
    roots += description["code"]
    assert len(ran) > 20
    assert ran - covered(roots) == set()


def test_what_reading_a_model_runs_is_covered() -> None:
    for path in full_profile().operators.values():
        load_operator(path)
    converters()
    path = ROOT / "models" / "lenet.onnx"
    program, ran = executed(lambda: build._program(path, build.Options("simd128")))
    assert len(ran) > 100
    assert ran - covered([*models.code(), *program.code]) == set()


def test_what_reading_a_graph_runs_is_covered() -> None:
    for file in (f for folder in FOLDERS for f in folder.glob("[!_]*.py")):
        load_operator(file)
    tables()
    table()
    path = ROOT / "models" / "mindspore_net.mindir"
    (_, roots), ran = executed(lambda: read(path, Given()))
    assert len(ran) > 100
    assert ran - covered([*models.code(".mindir"), *roots]) == set()


def index(text: str) -> Index:
    """What a source defines: uses by name, and hashes."""
    return index_of(text.encode())


def uses(text: str, name: str) -> list[str]:
    found: list[str] = index(text)["definitions"][name][1]
    return found


SOURCE = """
from toolchain.spec import cases, math as m
from toolchain.link.link import link
import toolchain.effects

LIMIT = 3
_CACHE = {}


def used(x):
    return m.exp(x) + LIMIT


def shadowed(link):
    LIMIT = link
    return [LIMIT for m in x for _ in m.items()]


def inside():
    from toolchain.link.archive import archive

    return archive, link


@registered
def by_name():
    return 1


_CACHE["a"] = inside
KERNEL = make(reference=used, cases=cases.few(), compute=inside)
"""


def test_uses_are_names_of_this_file_and_of_others() -> None:
    assert uses(SOURCE, "used") == ["LIMIT", "toolchain.spec:math.exp"]
    assert uses(SOURCE, "shadowed") == []
    assert uses(SOURCE, "inside") == [
        "toolchain.link.archive:archive",
        "toolchain.link.link:link",
    ]
    assert uses(SOURCE, "KERNEL") == ["KERNEL", "inside"]


def test_what_acts_by_being_run_counts_for_all() -> None:
    effects = index(SOURCE)["effects"]
    assert {"by_name", "toolchain"} <= set(effects)
    assert len([e for e in effects if e.startswith("!")]) == 1  # _CACHE["a"] = ...
    assert len(effects) == 3


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ("LIMIT = 3", "LIMIT = 3  # a comment", set()),
        ("def used(x):", 'def used(x):\n    """A docstring."""', set()),
        ("reference=used", "reference=inside", {REFERENCE}),
        ("LIMIT = 3", "LIMIT = 4", {"LIMIT"}),
        ("return 1", "return 2", {"by_name"}),
        ("import link", "import link, other", {"other"}),
    ],
)
def test_hashes_change_with_what_counts(old: str, new: str, changes: set[str]) -> None:
    before = index(SOURCE)["definitions"]
    after = index(SOURCE.replace(old, new))["definitions"]
    assert {n for n in after if after[n] != before.get(n)} == changes


def test_a_source_that_does_not_parse_is_one_definition() -> None:
    assert list(index("def f(:")["definitions"]) == ["*"]
    assert index("def f(:") != index("def g(:")


def test_what_is_exported_acts_on_nobody() -> None:
    text = 'from a import f, g\n__all__ = ["f"]\n'
    assert index(text)["effects"] == ["g"]


def kept(folder: Path) -> Sources:
    """Sources of which a folder knows, with one digest."""
    found = Sources(folder)
    found.digest("toolchain.link.link:link")
    found.keep()
    return found


def test_a_damaged_index_is_made_again(tmp_path: Path) -> None:
    before, file = kept(tmp_path), tmp_path / ".definitions.json"
    data = file.read_bytes()
    assert Sources(tmp_path).known
    (tmp_path / ".digests.json").unlink(missing_ok=True)
    file.write_bytes(
        data.replace(b"toolchain.process.command:run", b"toolchain.process.command:ran")
    )
    assert not Sources(tmp_path).known
    assert kept(tmp_path).digests == before.digests
    assert file.read_bytes() == data
