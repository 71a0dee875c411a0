"""Shapes before a model runs, against what ops_infer says of every case."""

from __future__ import annotations

import warnings
import zlib
from collections import Counter
from collections.abc import Iterator
from functools import cache

import numpy as np
import ops_wasm32
from ops_wasm32.convert import Array

from toolchain.codegen.operators import load_operator
from toolchain.graph.calls import Shape
from toolchain.graph.graph import Attribute, Node, Value
from toolchain.graph.operators import output_dtypes
from toolchain.graph.shapes import infer
from toolchain.graph.sizes import Size, evaluate, named
from toolchain.profile import full_profile
from toolchain.spec import Case, kernel_name
from toolchain.spec.cases_extremes import every_case

PROFILE = full_profile()
OPTIONS = ("num_outputs", "to")  # of the host's call, not of the operator


@cache
def library() -> ops_wasm32.Library:
    return ops_wasm32.load(PROFILE.folder / "simd128" / "ops_wasm32.wasm")


def variants() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Each operator with its first dtypes: shapes do not depend on them."""
    for name, path in PROFILE.operators.items():
        yield name, load_operator(path).variants()[0]


def cases() -> Iterator[tuple[str, tuple[str, ...], Case]]:
    """All cases but those whose inputs have the shapes of others with them."""
    for name, dtypes in variants():
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        seen = set()
        for case in every_case(load_operator(PROFILE.operators[name]), dtypes, rng):
            shapes = [None if x is None else x.shape for x in arrays(case)]
            key = (str(shapes), str(case.attributes))
            if key not in seen:
                seen.add(key)
                yield name, dtypes, case


def arrays(case: Case) -> list[Array | None]:
    found = []
    for value in case.inputs:
        found += value if isinstance(value, list) else [value]
    return [None if v is None else np.asarray(v) for v in found]


def node_of(
    name: str, dtypes: tuple[str, ...], case: Case, shapes: list[Shape], count: int
) -> Node:
    inputs = [
        None if array is None else Value(f"x{i}", str(array.dtype), shape)
        for i, (array, shape) in enumerate(zip(arrays(case), shapes, strict=True))
    ]
    outputs = [Value(f"y{i}", d) for i, d in enumerate(output_dtypes(name, dtypes, count))]
    attributes: dict[str, Attribute] = {
        n: v for n, v in case.attributes.items() if n not in OPTIONS
    }
    return Node(name, inputs, outputs, attributes, dtypes)


def truth(name: str, dtypes: tuple[str, ...], case: Case) -> list[tuple[int, ...]]:
    kernel = kernel_name(name, dtypes)
    return [s for s, _ in library().infer(kernel, *case.inputs, **case.attributes)]


def fresh(case: Case) -> tuple[list[Shape], dict[str, int]]:
    """Shapes whose sizes are names of their own; what each is in the case."""
    names: dict[str, int] = {}
    shapes: list[Shape] = []
    for i, array in enumerate(arrays(case)):
        sizes = {f"x{i}_{axis}": n for axis, n in enumerate(np.shape(array))}
        names |= sizes
        shapes.append(tuple(map(named, sizes)))
    return shapes, names


def shared(case: Case) -> tuple[list[Shape], dict[str, int]]:
    """Shapes whose equal sizes share a name; 1, which broadcasts, is a number."""
    found = [np.shape(a) for a in arrays(case)]
    names = {f"n{n}": n for shape in found for n in shape if n != 1}
    return [tuple(n if n == 1 else named(f"n{n}") for n in s) for s in found], names


def wrong(shape: Shape, want: tuple[int, ...], names: dict[str, int]) -> bool:
    """Whether what is known of a shape is not so."""
    if shape is None:
        return False
    pairs = zip(shape, want, strict=False)
    known = [(evaluate(s, names), n) for s, n in pairs if s is not None]
    return len(shape) != len(want) or any(a != b for a, b in known)


def test_b() -> None:
    import time
    t = time.time()
    for mode in (fresh, shared):
        c = Counter()
        tot = Counter()
        for name, dtypes, case in cases():
            want = truth(name, dtypes, case)
            shapes, names = mode(case)
            node = node_of(name, dtypes, case, shapes, len(want))
            infer(node)
            tot[name]+=1
            for v, w in zip(node.outputs, want):
                assert not wrong(v.shape, w, names), (name, case.name, case.attributes, v.shape, names, w)
                if v.shape is None: c[name, "rank"] += 1
                elif None in v.shape: c[name] += 1; last=(name, case.name, shapes, v.shape)
        print(mode, {k: (v, tot[k if isinstance(k,str) else k[0]]) for k,v in c.items()}, sum(c.values()), last)
    print(time.time() - t)
