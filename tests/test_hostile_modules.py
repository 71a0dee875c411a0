"""Files that are not ours, given to load(): one clear error, soon, in both hosts."""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ops_wasm32
import pytest
import wasmtime
from ops_wasm32.tables import MANIFEST

from toolchain.link.module import add_custom_section
from toolchain.profile import ROOT

SECONDS = 2
MEMORY = 128 << 20  # bytes that a process may grow by over all cases
LOADER = (ROOT / "embed/js/ops_wasm32.mjs").as_uri()
LOOP = "(loop (br 0)) (i32.const 0)"
SIGNATURE = "net(x: float32) -> (y: float32)"
ALLOC = (
    "(global.get $end) (global.set $end (i32.add (global.get $end) "
    "(i32.and (i32.add (local.get 0) (i32.const 63)) (i32.const -64))))"
)
# What each function of the ABI takes, and does in a module without faults.
FUNCTIONS = {
    "ops_abi_version": ("", "(i32.const 1)"),
    "ops_alloc": ("(param i32)", ALLOC),
    "ops_call": ("(param i32 i32 i32)", "(i32.const 0)"),
    "ops_count": ("", "(i32.const 1)"),
    "ops_find": ("(param i32)", "(i32.const 0)"),
    "ops_free": ("(param i32)", "(i32.const 0)"),
    "ops_infer": ("(param i32 i32 i32)", "(i32.const 0)"),
    "ops_last_error": ("", "(i32.const 0)"),
    "ops_name": ("(param i32)", "(i32.const 8)"),
    "ops_signature": ("(param i32)", "(i32.const 64)"),
}
TENSOR = {"name": "x", "dtype": "float32", "shape": [2]}
OPEN = TENSOR | {"shape": ["n"]}
MODEL = {
    "abi_version": 1,
    "model": "net",
    "inputs": [TENSOR],
    "outputs": [TENSOR | {"name": "y"}],
}
OTHER_TYPE = "does not export ops_alloc as ops_wasm32.h declares"


@dataclass(frozen=True)
class Case:
    """A module: its text, its manifests, and the error that it gets in both hosts."""

    error: str
    memory: str = '(memory (export "memory") 2)'
    extra: str = ""
    functions: tuple[tuple[str, str], ...] = ()  # whole texts, by name
    manifests: tuple[Any, ...] = (MODEL,)
    weights: bytes | None = None
    signature: str = SIGNATURE

    def write(self, folder: Path, name: str) -> Path:
        """Write the module, with its weights beside it."""
        given = dict(self.functions)
        parts = [
            given.get(f, f'(func (export "{f}") {takes} (result i32) {body})')
            for f, (takes, body) in FUNCTIONS.items()
        ]
        data = f'(data (i32.const 64) "{self.signature}\\00")'
        end = "(global $end (mut i32) (i32.const 4096))"
        text = f"(module {self.memory} {data} {end} {self.extra} {' '.join(parts)})"
        path = folder / f"{name.replace(' ', '_')}.wasm"
        path.write_bytes(wasmtime.wat2wasm(text))
        for manifest in self.manifests:
            raw = manifest if isinstance(manifest, bytes) else json.dumps(manifest)
            content = raw if isinstance(raw, bytes) else raw.encode()
            add_custom_section(path, MANIFEST, content)
        if self.weights is not None:
            (folder / "w.safetensors").write_bytes(self.weights)
        return path


def body(name: str, text: str) -> tuple[str, str]:
    """A function of the ABI with another body."""
    return name, f'(func (export "{name}") {FUNCTIONS[name][0]} (result i32) {text})'


def lie(**changes: object) -> tuple[Any, ...]:
    return (MODEL | changes,)


def shaped(shape: object, **changes: object) -> tuple[Any, ...]:
    return lie(inputs=[TENSOR | {"shape": shape} | changes])


def opened(**changes: object) -> tuple[Any, ...]:
    """The manifest of a model with an open size."""
    entries = {"inputs": [OPEN], "outputs": [OPEN | {"name": "y"}]}
    return lie(**{"abi_version": 2, "sizes": {"n": [0, 512]}} | entries | changes)


def weights(content: bytes, size: int, file: str = "w.safetensors") -> dict[str, Any]:
    """A case's weights: a file, and a manifest that claims a size."""
    hashed = hashlib.sha256(content).hexdigest()
    entry = {"file": file, "bytes": size, "sha256": hashed}
    return {"manifests": lie(weights=entry), "weights": content}


FILE = struct.pack("<Q", 2) + b"{}" + bytes(64)
DAMAGED = "its manifest is damaged"
CASES = {
    "start loops": Case(
        "runs its function 0 when it is loaded",
        extra="(func $s (loop (br 0))) (start $s)",
    ),
    "export missing": Case(OTHER_TYPE, functions=(("ops_alloc", ""),)),
    "export of i64": Case(
        OTHER_TYPE,
        functions=(
            (
                "ops_alloc",
                '(func (export "ops_alloc") (param i64) (result i64) local.get 0)',
            ),
        ),
    ),
    "export of two results": Case(
        OTHER_TYPE,
        functions=(
            (
                "ops_alloc",
                '(func (export "ops_alloc") (param i32) (result i32 i32) '
                "local.get 0 local.get 0)",
            ),
        ),
    ),
    "export is a global": Case(
        OTHER_TYPE,
        functions=(
            ("ops_alloc", '(global (export "ops_alloc") i32 (i32.const 4096))'),
        ),
    ),
    "memory missing": Case("does not export memory", memory="(memory 2)"),
    "memory of 64 bits": Case(
        "declares a shared or a 64-bit memory",
        memory='(memory (export "memory") i64 2)',
    ),
    "memory shared": Case(
        "declares a shared or a 64-bit memory",
        memory='(memory (export "memory") 2 3 shared)',
    ),
    "two memories": Case("has 2 memories instead of one", extra="(memory 65536)"),
    "table of 10^9": Case(
        "claims 1000000000 functions in a file of", extra="(table 1000000000 funcref)"
    ),
    "array of 10^9": Case(
        "declares a type that is no function",
        extra="(type $a (array i8)) (global (ref $a) "
        "(array.new_default $a (i32.const 1000000000)))",
    ),
    "manifest nested": Case(DAMAGED.split()[-1], manifests=(b"[" * 100_000,)),
    "manifest closed": Case(
        DAMAGED.split()[-1], manifests=(b"[" * 100_000 + b"]" * 100_000,)
    ),
    "manifest no JSON": Case("damaged: ", manifests=(b"{nope",)),
    "manifest no UTF-8": Case("damaged: ", manifests=(b"\xff\xfe",)),
    "manifest null": Case("damaged: it is no object", manifests=(None,)),
    "manifest twice": Case("2 ", manifests=(MODEL, MODEL)),
    "manifest empty": Case("has ABI version", manifests=({},)),
    "ABI of tomorrow": Case("has ABI version", manifests=lie(abi_version=3)),
    "model a number": Case(DAMAGED, manifests=lie(model=5)),
    "model without end": Case(DAMAGED, manifests=lie(model="x" * 100_000)),
    "inputs a text": Case(DAMAGED, manifests=lie(inputs="abc")),
    "inputs missing": Case(DAMAGED, manifests=lie(inputs=None)),
    "two inputs of one name": Case(DAMAGED, manifests=lie(inputs=[TENSOR] * 2)),
    "size of 2^40": Case(DAMAGED, manifests=shaped([2**40])),
    "sizes of 2^93": Case(DAMAGED, manifests=shaped([2**31] * 3)),
    "size below 0": Case(DAMAGED, manifests=shaped([-1])),
    "size a fraction": Case(DAMAGED, manifests=shaped([1.5])),
    "shape a text": Case(DAMAGED, manifests=shaped("ab")),
    "shape of 70 axes": Case(DAMAGED, manifests=shaped([1] * 70)),
    "dtype __proto__": Case(DAMAGED, manifests=shaped([2], dtype="__proto__")),
    "dtype constructor": Case(DAMAGED, manifests=shaped([2], dtype="constructor")),
    "size a text": Case(DAMAGED, manifests=shaped(["n"])),
    "shape unknown": Case(DAMAGED, manifests=shaped(None)),
    "open size without a name": Case(
        DAMAGED, manifests=opened(inputs=[OPEN | {"shape": [""]}])
    ),
    "sizes a list": Case(DAMAGED, manifests=opened(sizes=[])),
    "sizes null": Case(DAMAGED, manifests=opened(sizes=None)),
    "bounds a number": Case(DAMAGED, manifests=opened(sizes={"n": 5})),
    "bounds of three": Case(DAMAGED, manifests=opened(sizes={"n": [1, 2, 3]})),
    "bounds of texts": Case(DAMAGED, manifests=opened(sizes={"n": ["1", "2"]})),
    "bounds the wrong way": Case(DAMAGED, manifests=opened(sizes={"n": [2, 1]})),
    "bounds of 2^31": Case(DAMAGED, manifests=opened(sizes={"n": [0, 1 << 31]})),
    "weights elsewhere": Case(DAMAGED, **weights(FILE, 64, "../w.safetensors")),
    "weights of more bytes": Case("holds 64 bytes of weights", **weights(FILE, 10**9)),
    "weights of fewer bytes": Case("holds 64 bytes of weights", **weights(FILE, 0)),
    "weights below 0": Case(DAMAGED, **weights(FILE, -64)),
    "weights cut off": Case("holds 0 bytes of weights", **weights(b"abc", 64)),
    "weights with a header of 2^63": Case(
        "holds 0 bytes of weights", **weights(struct.pack("<Q", 1 << 63), 64)
    ),
}
# Without a manifest the module itself is asked, in Python alone.
ASKED = {
    "version loops": ((body("ops_abi_version", LOOP),), "all fuel consumed"),
    "count loops": ((body("ops_count", LOOP),), "all fuel consumed"),
    "signature loops": ((body("ops_signature", LOOP),), "all fuel consumed"),
    "count of 10^6": ((body("ops_count", "(i32.const 1000000)"),), "claims 1000000 "),
    "count of 10^9": ((body("ops_count", "(i32.const 1000000000)"),), "claims 10000"),
    "count below 0": ((body("ops_count", "(i32.const -1)"),), "claims 4294967295 "),
    "signature outside": ((body("ops_signature", "(i32.const -1)"),), "signature ''"),
    "signature without end": (
        (
            body(
                "ops_signature",
                "(memory.fill (i32.const 0) (i32.const 65) (i32.const 131072)) "
                "(i32.const 131000)",
            ),
        ),
        "signature ''",
    ),
}


def resident() -> int:
    """The most bytes that this process has had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def refused(path: Path) -> str:
    """Text of the ModuleError that a file gets within the time allowed."""
    start = time.monotonic()
    with pytest.raises(ops_wasm32.ModuleError) as caught:
        ops_wasm32.load(path)
    assert time.monotonic() - start < SECONDS
    return str(caught.value)


@pytest.mark.parametrize("name", list(CASES))
def test_python_refuses(tmp_path: Path, name: str) -> None:
    before = resident()
    text = refused(CASES[name].write(tmp_path, name))
    assert CASES[name].error in text
    assert len(text) < 500
    assert resident() - before < MEMORY


@pytest.mark.parametrize("name", list(ASKED))
def test_python_asks_with_so_much_fuel(tmp_path: Path, name: str) -> None:
    functions, error = ASKED[name]
    case = Case(error, functions=functions, manifests=())
    assert error in refused(case.write(tmp_path, name))


def looping(name: str) -> Case:
    """A module of which each function loops, with a manifest like a sound one's."""
    loops = tuple(body(function, LOOP) for function in FUNCTIONS)
    names = {"inputs": [TENSOR | {"name": name}], "outputs": [TENSOR | {"name": name}]}
    memory = '(memory (export "memory") 65536)'
    return Case("", memory=memory, functions=loops, manifests=lie(**names))


def test_python_runs_no_code_of_a_module(tmp_path: Path) -> None:
    before = resident()
    library = ops_wasm32.load(looping("__proto__").write(tmp_path, "loops"))
    assert ["net"] == library.ops()
    operators = {"abi_version": 1, "operators": {"net": ["net"]}}
    case = Case("", functions=looping("").functions, manifests=(operators,))
    assert ["net"] == ops_wasm32.load(case.write(tmp_path, "operators")).ops()
    assert resident() - before < MEMORY


def test_python_names_what_does_not_fit(tmp_path: Path) -> None:
    path = Case("", manifests=lie(model="other")).write(tmp_path, "other")
    with pytest.raises(ops_wasm32.ModuleError, match="other is net; build the module"):
        ops_wasm32.load(path)(np.zeros(2, np.float32))


def test_what_is_no_file_of_a_module(tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "is no regular file": "/dev/zero",
        "Is a directory": tmp_path,
        "No such file": tmp_path / "none.wasm",
        "path is a float": 3.5,
    }
    for text, path in given.items():
        with pytest.raises(ValueError, match=text):
            ops_wasm32.load(path)


def test_python_copies_no_view_that_memory_cannot_hold() -> None:
    view = np.broadcast_to(np.float32(1), (1 << 20, 1 << 13))
    with pytest.raises(ops_wasm32.ArgumentError, match="has 34359738368 bytes"):
        ops_wasm32.load().call("relu", view)


SCRIPT = """
const {{ load }} = await import({loader});
const found = {{}};
for (const [name, path] of Object.entries({paths})) {{
  const start = performance.now();
  let text;
  try {{
    const model = await load(path);
    text = `loaded ${{Object.keys(model).join()}}`;
  }} catch (error) {{
    text = `${{error.constructor.name}}: ${{error.message}}`;
  }}
  found[name] = [text, (performance.now() - start) / 1000, process.memoryUsage().rss];
}}
console.log(JSON.stringify(found));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
def test_javascript_refuses(tmp_path: Path) -> None:
    paths = {}
    for i, (name, case) in enumerate(CASES.items()):
        (folder := tmp_path / str(i)).mkdir()
        paths[name] = str(case.write(folder, name))
    paths["loops"] = str(looping("__proto__").write(tmp_path, "loops"))
    script = SCRIPT.format(loader=json.dumps(LOADER), paths=json.dumps(paths))
    command = ["node", "--input-type=module", "-e", script]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = json.loads(done.stdout)
    assert found.pop("loops")[0] == "loaded manifest"
    first = next(iter(found.values()))[2]
    for name, (text, seconds, memory) in found.items():
        assert text.startswith("OpsError: "), name
        assert CASES[name].error in text, name
        assert len(text) < 500
        assert seconds < SECONDS
        assert memory - first < MEMORY


RUN = """
const {{ load }} = await import({loader});
const found = [];
for (const [path, name] of {runs}) {{
  try {{
    const model = await load(path);
    const results = model.run({{ [name]: new Float32Array(2) }});
    found.push(Object.entries(results).map(([n, x]) => [n, [...x]]));
  }} catch (error) {{
    found.push(error.message.split(": ").slice(1).join(": "));
  }}
}}
console.log(JSON.stringify(found));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
def test_javascript_runs_what_it_took(tmp_path: Path) -> None:
    proto = {"inputs": [TENSOR | {"name": "__proto__"}]}
    proto["outputs"] = [TENSOR | {"name": "__proto__"}]
    # An ops_infer that says that y is a scalar: its descriptor is the sixth block:
    # the name, the arguments, sizes and descriptor of x, sizes of y.
    rank = 4096 + 5 * 64 + 12
    scalar = f"(i32.store (i32.const {rank}) (i32.const 0)) (i32.const 0)"
    cases = {
        "__proto__": Case("", manifests=lie(**proto)),
        "none": Case("", functions=(body("ops_find", "(i32.const -1)"),)),
        "shape": Case("", functions=(body("ops_infer", scalar),)),
        "outside": Case("", functions=(body("ops_alloc", "(i32.const -64)"),)),
        "odd": Case("", functions=(body("ops_alloc", "(i32.const 4097)"),)),
        "full": Case("", functions=(body("ops_alloc", "(i32.const 0)"),)),
    }
    runs = [
        (str(case.write(tmp_path, name)), "__proto__" if name == "__proto__" else "x")
        for name, case in cases.items()
    ]
    script = RUN.format(loader=json.dumps(LOADER), runs=json.dumps(runs))
    command = ["node", "--input-type=module", "-e", script]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert [
        [["__proto__", [0, 0]]],
        "has no operator net",
        "its manifest does not fit its signature: y is not 2; build the module anew",
        "ops_alloc gave a block outside memory",
        "ops_alloc gave a block at 4097",
        "",
    ] == json.loads(done.stdout)
