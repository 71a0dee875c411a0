"""Shapes before a model runs, against what ops_infer says of every case."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from typing import Any

import numpy as np
import ops_wasm32
import pytest
from ops_wasm32.convert import Array

from toolchain.graph.calls import Shape
from toolchain.graph.graph import Attribute, Node, Value
from toolchain.graph.operators import FOLDERS, operator, output_dtypes
from toolchain.graph.references import referred
from toolchain.graph.shapes import infer
from toolchain.graph.sizes import evaluate, named
from toolchain.profile import full_profile
from toolchain.spec import Case, SpecError, kernel_name
from toolchain.spec.cases_extremes import every_case

PROFILE = full_profile()
OPTIONS = ("num_outputs", "to")  # of the host's call, not of the operator
ABSENT = "absent"

Names = dict[str, int]


@dataclass
class Known:
    """A case by its shapes, and what the runtime says of it."""

    operator: str
    dtypes: tuple[str, ...]
    name: str
    inputs: list[tuple[str, tuple[int, ...]]]  # dtype, or "absent", and shape
    attributes: Mapping[str, Any]
    outputs: list[tuple[int, ...]]

    def node(self, shapes: list[Shape]) -> Node:
        """The case as a node, its inputs known by these shapes."""
        pairs = zip(self.inputs, shapes, strict=True)
        inputs = [
            None if dtype == ABSENT else Value(f"x{i}", dtype, shape)
            for i, ((dtype, _), shape) in enumerate(pairs)
        ]
        dtypes = output_dtypes(self.operator, self.dtypes, len(self.outputs))
        outputs = [Value(f"y{i}", dtype) for i, dtype in enumerate(dtypes)]
        return Node(self.operator, inputs, outputs, dict(self.attributes), self.dtypes)

    def __str__(self) -> str:
        return f"{self.operator}-{self.name}"


def of_models() -> Iterator[Known]:
    """Cases of operators that models alone call, with the shapes of references."""
    for path in sorted(FOLDERS[1].glob("[!_]*.py")):
        dtypes = operator(path.stem).variants()[0]
        rng = np.random.default_rng(7)
        # The recurrent operators have 227 cases, whose references take seconds.
        for case in islice(operator(path.stem).cases(dtypes, rng), 100):
            given = list(arrays(case))
            inputs = [
                (ABSENT, ()) if a is None else (str(a.dtype), a.shape) for a in given
            ]
            known = Known(path.stem, dtypes, case.name, inputs, case.attributes, [])
            count = len(operator(path.stem).outputs)
            node = replace(known, outputs=[()] * count).node([None] * len(inputs))
            results = referred(node, given)[:count]
            yield replace(known, outputs=[np.shape(r) for r in results])


@cache
def every_known() -> list[Known]:
    """All cases of all operators; of those with the same shapes the first.

    Each operator has its first dtypes: shapes do not depend on them.
    """
    library = ops_wasm32.load(PROFILE.folder / "simd128" / "ops_wasm32.wasm")
    found: dict[str, Known] = {}
    for name in PROFILE.operators:
        dtypes = operator(name).variants()[0]
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        for case in every_case(operator(name), dtypes, rng):
            inputs = [
                (ABSENT, ()) if a is None else (str(a.dtype), a.shape)
                for a in arrays(case)
            ]
            key = f"{name} {inputs} {case.attributes}"
            if key in found:
                continue
            kernel = kernel_name(name, dtypes)
            given = library.infer(kernel, *case.inputs, **case.attributes)
            shapes = [shape for shape, _ in given]
            attributes = {n: v for n, v in case.attributes.items() if n not in OPTIONS}
            found[key] = Known(name, dtypes, case.name, inputs, attributes, shapes)
    return list(found.values())


def arrays(case: Case) -> Iterator[Array | None]:
    for value in case.inputs:
        for array in value if isinstance(value, list) else [value]:
            yield None if array is None else np.asarray(array)


def own_names(known: Known) -> tuple[list[Shape], Names]:
    """Shapes in which each size has a name of its own; what each is in the case."""
    names: Names = {}
    shapes: list[Shape] = []
    for i, (_, shape) in enumerate(known.inputs):
        sizes = {f"x{i}_{axis}": n for axis, n in enumerate(shape)}
        names |= sizes
        shapes.append(tuple(map(named, sizes)))
    return shapes, names


def shared_names(known: Known) -> tuple[list[Shape], Names]:
    """Shapes whose equal sizes share a name; 1, which broadcasts, is a number."""
    found = [shape for _, shape in known.inputs]
    names = {f"n{n}": n for shape in found for n in shape if n != 1}
    return [tuple(n if n == 1 else named(f"n{n}") for n in s) for s in found], names


def check(known: Known, node: Node, names: Names) -> tuple[bool, bool]:
    """Whether a rank is unknown, and a size; what is known must be so."""
    infer(node)
    rank = size = False
    for value, want in zip(node.outputs, known.outputs, strict=True):
        rank |= value.shape is None
        if value.shape is None:
            continue
        size |= None in value.shape
        got = [None if s is None else evaluate(s, names) for s in value.shape]
        hidden = [None if s is None else n for s, n in zip(got, want, strict=True)]
        assert got == hidden, f"{known}: {value.shape}, {names}"
    return rank, size


def test_numbers() -> None:
    assert len(every_known()) > 2000
    for known in every_known():
        node = known.node([shape for _, shape in known.inputs])
        infer(node)
        assert known.outputs == [v.shape for v in node.outputs], str(known)


def test_names_of_their_own() -> None:
    """Two names may be equal or one of them 1: only there a result is unknown."""
    unknown = set()
    for known in every_known():
        shapes, names = own_names(known)
        rank, size = check(known, known.node(shapes), names)
        assert not rank, str(known)
        if size:
            unknown.add(operator(known.operator).collapse)
    assert unknown == {
        "elementwise.broadcast",
        "matmul.plain",
        "matmul.zero_points",
    }


def test_shared_names() -> None:
    for known in every_known():
        shapes, names = shared_names(known)
        assert check(known, known.node(shapes), names) == (False, False), str(known)


def test_operators_that_models_alone_call() -> None:
    """Unknown are only the sizes that follow from elements, or from tuples' length."""
    for known in of_models():
        shapes: list[Shape] = [shape for _, shape in known.inputs]
        node = known.node(shapes)
        rank, size = check(known, node, {})
        late = any(o.late for o in operator(known.operator).outputs)
        assert (rank, size) == (False, late), str(known)
        assert [v.dtype for v in node.outputs] == output_dtypes(
            known.operator, known.dtypes, len(node.outputs)
        )
        shapes, names = shared_names(known)
        rank, size = check(known, known.node(shapes), names)
        assert not rank or known.operator == "gather_nd", str(known)


def as_values(known: Known, named_elements: bool) -> tuple[dict[str, Attribute], Names]:
    """Attributes of integers as values; elements that may be sizes as names."""
    found: dict[str, Attribute] = dict(known.attributes)
    names: Names = {}
    for name, given in known.attributes.items():
        several = isinstance(given, (list, tuple))
        numbers = list(given) if several else [given]
        if not all(isinstance(n, (int, np.integer)) for n in numbers):
            continue
        sizes = {
            f"{name}_{i}": int(n) for i, n in enumerate(numbers) if 0 < n < 1 << 31
        }
        elements = tuple(
            named(f"{name}_{i}") if f"{name}_{i}" in sizes else int(n)
            for i, n in enumerate(numbers)
        )
        shape = (len(numbers),) if several else ()
        value = Value(name, "int64", shape, None, elements if named_elements else None)
        found[name] = value
        names |= sizes
    return found, names


@pytest.mark.parametrize("named_elements", [False, True])
def test_attributes_that_are_values(named_elements: bool) -> None:
    for known in every_known():
        shapes, names = shared_names(known)
        node = known.node(shapes)
        node.attributes, more = as_values(known, named_elements)
        rank, _ = check(known, node, names | more)
        decides = {"keepdims", "noop_with_empty_axes"} & set(node.attributes)
        assert not rank or decides, str(known)


def test_inputs_of_unknown_rank() -> None:
    for known in every_known():
        shapes, names = shared_names(known)
        for i in range(len(shapes)):
            hidden = [None if i == j else s for j, s in enumerate(shapes)]
            check(known, known.node(hidden), names)


def test_inputs_with_an_unknown_size() -> None:
    """Of every fourth case each size in turn: all would take a minute."""
    for known in every_known()[::4]:
        shapes, names = shared_names(known)
        for i, shape in enumerate(shapes):
            for axis in range(len(shape or ())):
                sizes = [None if axis == j else s for j, s in enumerate(shape or ())]
                hidden = [tuple(sizes) if i == j else s for j, s in enumerate(shapes)]
                rank, _ = check(known, known.node(hidden), names)
                assert not rank, str(known)


Wrong = tuple[str, list[tuple[int, ...]], dict[str, Attribute]]
SLICED: dict[str, Attribute] = {"starts": [0, 0], "ends": [1, 1], "steps": [1]}
WIDE: Wrong = ("max_pool", [(1, 3, 2, 2)], {"kernel_shape": [3, 3]})
CUBIC: Wrong = ("resize", [(1, 1, 2, 2)], {"mode": "cubic", "sizes": [3, 3]})
WRONG: dict[str, Wrong] = {
    "add: sizes 2 and 3 do not broadcast": ("add", [(2,), (3,)], {}),
    "matmul: columns of a and rows of b": ("matmul", [(2, 3), (4, 5)], {}),
    "concat: sizes of axis 0 of": ("concat", [(2, 3), (4, 3)], {"axis": 1}),
    "concat: its inputs have 1, 2 axes": ("concat", [(2,), (4, 3)], {"axis": 0}),
    "softmax: axis 2 is outside rank 2; use -2..1": ("softmax", [(2, 3)], {"axis": 2}),
    "reduce_sum: axes .* twice": ("reduce_sum", [(2, 3)], {"axes": [0, -2]}),
    "gather: axis -3 is outside": ("gather", [(2, 3), (2,)], {"axis": -3}),
    "reshape: shape has 7 elements": ("reshape", [(2, 3)], {"shape": [7]}),
    "reshape: .* must divide 6": ("reshape", [(2, 3)], {"shape": [4, -1]}),
    "reshape: shape has -1 twice": ("reshape", [(2, 3)], {"shape": [-1, -1]}),
    "transpose: perm has 1 entries": ("transpose", [(2, 3)], {"perm": [0]}),
    "slice: steps has 1 entries": ("slice", [(2, 3)], SLICED),
    "tile: repeats has 1 entries": ("tile", [(2, 3)], {"repeats": [1]}),
    "pad: pads has 2 entries": ("pad", [(2, 3)], {"pads": [1, 1]}),
    "conv: w has rank 3 but must have": ("conv", [(1, 3, 8, 8), (4, 3, 3)], {}),
    "max_pool: the window has more": WIDE,
    "resize: mode is 'cubic'; use one of nearest, linear": CUBIC,
}


@pytest.mark.parametrize("text", WRONG)
def test_what_no_call_could_pass(text: str) -> None:
    name, shapes, attributes = WRONG[text]
    dtypes = operator(name).variants()[0]
    inputs: list[Value | None] = [
        Value(f"x{i}", dtypes[0], shape) for i, shape in enumerate(shapes)
    ]
    node = Node(name, inputs, [Value("y", dtypes[0])], dict(attributes), dtypes)
    with pytest.raises(SpecError, match=text):
        infer(node)
