"""Builds that do not lie: what an edit makes stale, kills, damage, builds at once."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import ops_wasm32
import pytest
from abi import runtime_objects
from onnx import TensorProto, helper, numpy_helper
from project import Project, copy_project

from toolchain.graph.build import Place
from toolchain.model import compile
from toolchain.model.build import Options, build_model
from toolchain.records.cache import LIMIT, in_use
from toolchain.records.made import ChangedError, Made
from toolchain.records.slices import root_in, sources

PROFILE = 'operators = ["relu", "softmax", "tanh"]\ntargets = ["simd128"]\n'
ZERO = "zero = tir.const(0, k.dtype)"  # in kernels/relu.py
MODEL = "models:tiny:simd128"


def write_model(path: Path, factor: float) -> Path:
    """The model relu(x @ w), whose weights are one number."""
    weights = numpy_helper.from_array(np.full((4, 3), factor, np.float32), "w")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"]),
        helper.make_node("Relu", ["m"], ["y"]),
    ]
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", [2, 4]), ("y", [2, 3]))
    )
    graph = helper.make_graph(nodes, "graph", [x], [y], [weights])
    opsets = [helper.make_opsetid("", 17)]
    path.parent.mkdir(exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy with operators and a model built; tests put back what they change."""
    project = copy_project(tmp_path_factory.mktemp("made") / "project")
    write_model(project.folder / "models" / "tiny.onnx", 1)
    done = project.doit("build", "models", project.begun(PROFILE))
    assert done.code == 0, done.text
    assert stale(project) == []
    return project


def stale(project: Project) -> list[str]:
    """Tasks that have something to do, but for tasks that always have."""
    done = project.doit("list", "--all", "--status", "profile=small.toml")
    words = [line.split()[:2] for line in done.text.splitlines()]
    makes = ("compile:", "runtime:", "archive:", "module:", "models:")
    return sorted(
        name
        for status, name in words
        if status == "R" and name.startswith(makes) and name.count(":") > 0
    )


@contextmanager
def edited(project: Project, file: str, old: str, new: str) -> Iterator[None]:
    """A project with a text of a file replaced, for a while."""
    path = project.folder / file
    before = path.read_bytes()
    project.edit(file, old, new)
    try:
        yield
    finally:
        path.write_bytes(before)


def objects(*names: str) -> list[str]:
    return [f"compile:simd128:{name}" for name in names]


EDITS = {
    "test cases": ("toolchain/spec/cases.py", "FAR = ", "NEAR = FAR = ", []),
    "a comment": (
        "toolchain/codegen/llvm.py",
        "_OPTIONS =",
        "# a comment\n_OPTIONS =",
        [],
    ),
    "a docstring": ("toolchain/lower/te.py", '    """', '    """Changed. ', []),
    "space": ("toolchain/spec/rows.py", "\n\n\n", "\n\n\n\n\n", []),
    "a case of an operator": ("kernels/softmax.py", "(5, 300)", "(5, 301)", []),
    "its reference": ("kernels/softmax.py", "if not x.size", "if x.size == 0", []),
    "its bound": ("kernels/softmax.py", "Bound(ulp=8", "Bound(ulp=9", []),
    "its formula": (
        *("kernels/relu.py", ZERO, ZERO.replace("0", "5")),
        [*objects("relu"), MODEL],
    ),
    "a micro-kernel": (
        *("toolchain/micro/reductions.py", "half = lanes // 2", "half = lanes"),
        objects("softmax"),
    ),
    "a micro-kernel that nothing uses": (
        *("toolchain/micro/dot.py", "shift = i32(16)", "shift = i32(8)", []),
    ),
    "a function of spec/math": (
        *(
            "toolchain/spec/math/hyperbolic.py",
            "let.from_base(k, TANH_BASE, TANH_BITS)",
            "pass",
        ),
        [*objects("tanh"), MODEL],  # Relax may ask for any function
    ),
    "a C file": (
        *("runtime_stub/error.c", "\n", "\n/* changed */\n"),
        ["runtime:simd128:error"],
    ),
    "the linker's flags": (
        *("toolchain/link/link.py", "STACK_BYTES = 65536", "STACK_BYTES = 131072"),
        [MODEL, "module:simd128"],
    ),
    "a converter": (
        *("toolchain/frontends/onnx_elements.py", "from", "X = 1\nfrom", [MODEL]),
    ),
    "a pass": ("toolchain/model/plan.py", "-size // ", "1 - size // ", [MODEL]),
    "doit's tasks": ("dodo.py", "PROFILE = ", "# a comment\nPROFILE = ", []),
}


@pytest.mark.parametrize("kind", EDITS)
def test_an_edit_makes_stale_what_follows_from_it(built: Project, kind: str) -> None:
    file, old, new, expected = EDITS[kind]
    with edited(built, file, old, new):
        assert expected == stale(built)
    assert stale(built) == []


def test_a_header_makes_stale_what_includes_it(built: Project) -> None:
    with edited(built, "runtime_stub/text.h", "\n", "\n/* changed */\n"):
        found = stale(built)
    assert "runtime:simd128:text" in found
    assert "runtime:simd128:check" in found
    assert "runtime:simd128:memory" not in found


def test_an_edit_that_changes_no_byte_ends_there(built: Project) -> None:
    with edited(built, "runtime_stub/error.c", "\n", "\n/* changed */\n"):
        ran = built.doit("build", "models", "profile=small.toml").ran
    assert ran == ["runtime:simd128:error"]
    assert built.doit("build", "profile=small.toml").ran == ran


def test_a_copied_checkout_is_current(built: Project, tmp_path: Path) -> None:
    copy = Project(tmp_path / "elsewhere" / "copy")
    shutil.copytree(built.folder, copy.folder, copy_function=shutil.copyfile)
    assert stale(copy) == []
    assert copy.doit("build", "models", "profile=small.toml").ran == []


def test_a_restored_build_is_current(built: Project, tmp_path: Path) -> None:
    fresh = copy_project(tmp_path / "clone")
    fresh.profile(PROFILE)
    write_model(fresh.folder / "models" / "tiny.onnx", 1)
    shutil.copytree(
        built.folder / "build", fresh.folder / "build", copy_function=shutil.copyfile
    )
    assert stale(fresh) == []


def start(project: Project) -> subprocess.Popen[str]:
    """A build in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "doit", "build", "profile=small.toml", "-n", "2"],
        cwd=project.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
    )


def until_rewritten(
    path: Path, before: os.stat_result, build: subprocess.Popen[str]
) -> None:
    """Wait until a file is another than it was."""
    while build.poll() is None:
        now = path.stat()
        if (now.st_mtime_ns, now.st_ino) != (before.st_mtime_ns, before.st_ino):
            return
        time.sleep(0.002)


def assert_gone(group: int) -> None:
    """Nothing is left of a process group; a tool that runs may end by itself."""
    for _ in range(500):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.02)
    raise AssertionError(f"processes of group {group} are left")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_build_that_was_killed_does_not_lie(built: Project, number: int) -> None:
    before = built.artifacts()
    folder = built.folder / "build/profiles/small/simd128/obj"
    was = (folder / "relu.o").stat()
    with edited(built, "kernels/relu.py", ZERO, ZERO.replace("0", "5")):
        build = start(built)
        until_rewritten(folder / "relu.o", was, build)
        os.killpg(build.pid, number)
        build.communicate()
    assert built.doit("build", "profile=small.toml").code == 0
    assert built.artifacts() == before


def test_term_ends_a_build_as_an_interrupt_does(built: Project) -> None:
    out = built.folder / "build/profiles/small/simd128/obj"
    runtime = sorted(out.with_name("runtime").glob("*.o"))
    for path in (*runtime, out / "tanh.o", out / "relu.o"):
        path.unlink()
    build = start(built)
    assert build.stdout is not None
    for line in build.stdout:
        if "runtime:simd128:error" in line:
            break
    os.kill(build.pid, signal.SIGTERM)  # the main process alone
    text, _ = build.communicate(timeout=60)
    assert "interrupted; the next build goes on from here" in text
    assert "Traceback" not in text
    assert build.returncode == 1
    assert_gone(build.pid)
    # What was finished is not made again.
    assert not {*objects("relu", "tanh")} & set(stale(built))
    assert built.doit("build", "profile=small.toml").code == 0


def test_a_killed_main_process_leaves_none_behind(built: Project) -> None:
    (built.folder / "build/profiles/small/simd128/obj/softmax.o").unlink()
    build = start(built)
    assert build.stdout is not None
    build.stdout.readline()
    os.kill(build.pid, signal.SIGKILL)
    build.communicate(timeout=60)  # until nobody holds its output
    assert_gone(build.pid)
    assert built.doit("build", "profile=small.toml").code == 0


@pytest.mark.parametrize("file", ["obj/relu.o", "obj/relu.json", "runtime/text.o"])
@pytest.mark.parametrize("damage", ["bit", "cut"])
def test_a_damaged_object_is_made_again(built: Project, file: str, damage: str) -> None:
    path = built.folder / "build/profiles/small/simd128" / file
    before, times = path.read_bytes(), path.stat()
    data = bytearray(before)
    data[len(data) // 2] ^= 1
    path.write_bytes(data if damage == "bit" else data[: len(data) // 2])
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert built.doit("build", "profile=small.toml").code == 0
    assert path.read_bytes() == before


def test_two_builds_at_once_are_both_right(built: Project) -> None:
    before = built.artifacts()
    for path in (built.folder / "build/profiles/small/simd128").rglob("*.o"):
        path.unlink()
    builds = [start(built), start(built)]
    texts = [build.communicate()[0] for build in builds]
    assert [build.returncode for build in builds] == [0, 0], texts
    waited = [text for text in texts if "waiting: process " in text]
    assert len(waited) == 1, texts
    assert built.artifacts() == before


def test_a_source_that_changes_meanwhile_fails_the_task(tmp_path: Path) -> None:
    source, out = tmp_path / "source.txt", tmp_path / "out.o"
    source.write_text("a")
    made = Made((out,), ("toolchain.link.link:link",), (source,))

    def copy() -> None:
        out.write_text(source.read_text())

    def action() -> None:
        copy()
        source.write_text("b")

    with pytest.raises(ChangedError, match=r"source.txt: written while .*build again"):
        made.make(action)
    assert not made.current()
    made.make(copy)
    assert made.current()
    assert not Made(made.outputs, made.code, made.files, "other settings").current()


RUNTIME = runtime_objects("simd128")


def _quiet(text: str) -> None:
    del text


@pytest.mark.parametrize("limit", [LIMIT, 0])
def test_models_built_at_once_into_a_folder(
    limit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a build empties the cache as soon as nobody uses it."""
    monkeypatch.setattr(compile, "in_use", partial(in_use, limit=limit))
    names = {"a": 1.0, "b": 2.0}
    files = [write_model(tmp_path / f"{n}.onnx", f) for n, f in names.items()]
    place = Place(tmp_path / "out", tmp_path / "cache")
    for _ in range(2):
        children = []
        for file in files:
            if not (child := os.fork()):
                code = 1
                try:
                    build_model(file, Options("simd128"), place, RUNTIME, _quiet)
                    code = 0
                finally:
                    os._exit(code)
            children.append(child)
        assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
        for name, factor in names.items():
            model = ops_wasm32.load(place.folder / f"{name}.wasm")
            assert (model(np.ones((2, 4), np.float32)) == 4 * factor).all()
    wanted = [f"{n}{s}" for n in names for s in (".manifest.json", ".wasm")]
    assert sorted(p.name for p in place.folder.iterdir()) == wanted
    assert bool(list(place.cache.glob("*.o"))) == bool(limit)


def test_a_damaged_kernel_in_the_cache_is_made_again(tmp_path: Path) -> None:
    file = write_model(tmp_path / "net.onnx", 1)
    place, options = Place(tmp_path / "out", tmp_path / "cache"), Options("simd128")
    build_model(file, options, place, RUNTIME, _quiet)
    wasm = (place.folder / "net.wasm").read_bytes()
    for path in place.cache.glob("*.o"):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    build_model(file, options, place, RUNTIME, _quiet)
    assert (place.folder / "net.wasm").read_bytes() == wasm


def test_what_names_an_operator_that_is_gone_is_made_again(tmp_path: Path) -> None:
    operator, out = tmp_path / "gone.py", tmp_path / "out.o"
    operator.write_text('"""out = 1"""\n\nKERNEL = 1\n')
    roots = (root_in(operator, "KERNEL"),)

    def made() -> Made:
        sources.cache_clear()  # as another process would see the files
        return Made((out,), roots)

    def write() -> None:
        out.write_bytes(b"1")

    made().make(write)
    assert made().current()
    operator.unlink()
    assert not made().current()
