"""The build itself: what is rebuilt, the same bytes again, mistakes, profiles."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from project import Project, copy_project

from toolchain.codegen.operators import load_operator
from toolchain.process.command import run, tool
from toolchain.profile import load_profile

SMALL = 'operators = ["add", "sub"]\ntargets = ["mvp", "simd128"]\n'
BROKEN = {
    "no_kernel": ('"""Nothing."""\n', "sets no KERNEL"),
    "no_syntax": ("def f(:\n", "line 1: SyntaxError"),
    "refused": (
        "compute=lambda k: te.compute((k.n,), lambda i: k.x[i, i], name='out')",
        "Need to provide 1 index",
    ),
    "scalar_libm": ("compute=pointwise(lambda k, x: tir.exp(x))", "calls expf"),
    "llvm_fatal": (
        "compute=pointwise(lambda k, x: tir.call_llvm_pure_intrin("
        "'float32', 'llvm.wasm.relaxed.madd.v4f32', x, x, x))",
        "",
    ),
    "wrong_dims": (
        '"""f"""\nfrom toolchain.spec import Input, Operator\n'
        'Operator(collapse="elementwise.broadcast", inputs=(Input("x", "m"),),\n'
        '    dtypes=("float32",), reference=None, cases=None, compute=abs)\n',
        "line 3: input x has dims 'm'; elementwise.broadcast gives 'n'",
    ),
    "wrong_dtype": (
        "compute=abs, absent={'float': 'no'}",
        "line 4: dtype 'float' is unknown; use float32, ",
    ),
    "wrong_kind": (
        "compute=abs, attributes=(spec.Attribute('alpha', kind='flaot'),)",
        "line 5: attribute alpha: kind 'flaot' is unknown; use int or float",
    ),
    "wrong_default": (
        "compute=abs, attributes=(spec.Attribute('alpha', default=2, maximum=1),)",
        "line 5: attribute alpha: its default 2 is outside its range, -inf to 1",
    ),
    "wrong_field": (
        "compute=abs, atributes=()",
        "line 4: Operator has no 'atributes'; did you mean 'attributes'?",
    ),
    "two_outputs": (
        "compute=abs, outputs=(spec.Output('a'), spec.Output('b'))",
        "2 outputs, and elementwise.broadcast writes one; use a collapse of rows, ",
    ),
    "unasked": (
        "compute=abs, requires=lambda k: []",
        "elementwise.broadcast does not check `requires`; leave it out, or use",
    ),
    "no_reference": (
        '"""f"""\nfrom toolchain.spec import Input, Operator\n'
        'KERNEL = Operator(collapse="elementwise.broadcast", cases=None,\n'
        '    inputs=(Input("x", "n"),), dtypes=("float32",), compute=abs)\n',
        "line 3: Operator lacks 'reference'; give it",
    ),
    "no_docstring": (
        "from toolchain.spec import Bound, Input, Operator\n"
        'KERNEL = Operator(collapse="elementwise.broadcast", cases=None,\n'
        '    inputs=(Input("x", "n"),), dtypes=("float32",), compute=abs,\n'
        "    reference=None, bound=Bound(why='f'))\n",
        "has no docstring; begin the file with one whose first line is the formula",
    ),
    "unknown_name": ("compute=lambda k: y", "line 5: NameError: name 'y' is not"),
    "no_source": ("source='elsewhere.c'", "it must be 'no_source.c'"),
    "no-name": ("compute=pointwise(lambda k, x: x)", "'no-name' cannot be a C name"),
    "aborts": ("compute=lambda k: __import__('os').abort()", "ended with signal 6"),
    "endless": (
        "compute=lambda k: __import__('time').sleep(60)",
        "did not end within 5 s",
    ),
}
FORM = """\
\"\"\"out[i] = f(x[i])\"\"\"
from toolchain import spec
from toolchain.spec import Input, Operator, pointwise, te, tir
KERNEL = Operator(collapse="elementwise.broadcast", inputs=(Input("x", "n"),),
    dtypes=("float32",), reference=None, cases=None, bound=spec.Bound(why="f"), {})
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return copy_project(tmp_path / "project")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy with the small profile built; tests put back what they change."""
    project = copy_project(tmp_path_factory.mktemp("built") / "project")
    done = project.doit("build", project.begun(SMALL))
    assert done.code == 0, done.text
    return project


def test_nothing_to_do_runs_nothing(built: Project) -> None:
    assert built.doit("build", "profile=small.toml").ran == []


def test_changed_operator_recompiles_only_its_objects(built: Project) -> None:
    built.edit("kernels/sub.py", '"""', '"""(changed) ')
    assert built.doit("build", "profile=small.toml").ran == [
        *("archive:mvp", "archive:simd128"),
        *("compile:mvp:sub", "compile:simd128:sub"),
        *("module:mvp", "module:simd128"),
    ]


def test_comment_in_target_table_recompiles_nothing(built: Project) -> None:
    built.edit("toolchain/targets.py", "TARGETS = {", "# a comment\nTARGETS = {")
    assert built.doit("build", "profile=small.toml").ran == []


def test_changed_target_recompiles_that_target_alone(built: Project) -> None:
    old, new = '(*_BASE, "simd128")', '(*_BASE, "simd128", "multivalue")'
    built.edit("toolchain/targets.py", old, new)
    ran = built.doit("build", "profile=small.toml").ran
    assert {"compile:simd128:add", "module:simd128"} <= set(ran)
    assert [name for name in ran if "mvp" in name] == []
    built.edit("toolchain/targets.py", new, old)
    assert built.doit("build", "profile=small.toml").code == 0


@pytest.mark.parametrize("language", ["c", "c++"])
def test_headers_compile_without_a_warning(built: Project, language: str) -> None:
    include = built.folder / "build/profiles/small/simd128/include"
    standard = {"c": "-std=c11", "c++": "-std=c++11"}[language]
    source = built.folder / f"includes.{language}"
    source.write_text('#include "ops_kernels.h"\n')
    run(
        [
            *tool("CLANG"),
            *("-target", "wasm32-freestanding", "-x", language, standard),
            *("-Wall", "-Wextra", "-pedantic", "-Werror", f"-I{include}"),
            *("-c", source, "-o", source.with_suffix(".o")),
        ]
    )


def test_interface_that_is_not_the_written_one_fails(built: Project) -> None:
    file = "runtime_stub/interface.txt"
    built.edit(file, "export ops_call func", "export ops_coll func")
    done = built.doit("build", "profile=small.toml")
    assert done.code != 0
    assert "not expected: ['export ops_call func']" in done.text
    built.edit(file, "export ops_coll func", "export ops_call func")
    assert built.doit("build", "profile=small.toml").code == 0


def test_zig_keeps_no_object(built: Project) -> None:
    """An object lies in the build alone: a copy in zig's cache would never go."""
    kept = (built.folder / "build/.zig").rglob("*")
    assert [path for path in kept if path.is_file()] == []


def test_clean_removes_the_build(built: Project) -> None:
    name = built.begun(SMALL, "cleaned")
    assert built.doit("build", name).code == 0
    assert built.doit("clean", name).code == 0
    assert not (built.folder / "build/profiles/cleaned/mvp").exists()


def test_changed_c_kernel_or_header_recompiles_it(project: Project) -> None:
    mine = project.folder / "mine"
    mine.mkdir()
    for suffix in (".py", ".c"):
        source = project.folder / "kernels" / f"identity{suffix}"
        (mine / f"same{suffix}").write_text(
            source.read_text().replace("identity", "same")
        )
    text = 'operators = ["same"]\ntargets = ["mvp"]\nfolders = ["mine"]\n'
    name = project.begun(text)
    assert project.doit("build", name).code == 0
    for file in ("mine/same.c", "runtime_stub/operator.h"):
        path = project.folder / file
        path.write_text(path.read_text() + "/* changed */\n")
        assert "compile:mvp:same" in project.doit("build", name).ran


def test_interrupt_says_so(project: Project) -> None:
    name = project.profile('operators = ["add"]\ntargets = ["mvp"]\n')
    words = [sys.executable, "-m", "doit", "build", name]
    with subprocess.Popen(
        words,
        cwd=project.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if "runtime:" in line:
                break
        os.killpg(running.pid, signal.SIGINT)
        rest = running.stdout.read()
    assert "interrupted; the next build goes on from here" in rest
    assert "Traceback" not in rest
    assert project.doit("build", "profile=small.toml").code == 0


def test_lost_object_is_made_again(built: Project) -> None:
    path = built.folder / "build/profiles/small/mvp/obj/add.o"
    before = path.read_bytes()
    path.unlink()
    assert built.doit("build", "profile=small.toml").code == 0
    assert path.read_bytes() == before


def test_deleted_operator_leaves_the_library(built: Project) -> None:
    name = built.profile(SMALL.replace(', "sub"', ""), "less")
    shutil.copytree(
        built.folder / "build/profiles/small", built.folder / "build/profiles/less"
    )
    assert built.doit("build", name).code == 0
    archive = built.artifacts("less")["simd128/libops_wasm32.a"]
    assert b"add.o" in archive
    assert b"sub.o" not in archive


def test_same_bytes_from_two_folders_and_any_number_of_workers(tmp_path: Path) -> None:
    artifacts = []
    for workers in (["build", "-n", "1"], ["-n", "2", "build"]):
        project = copy_project(tmp_path / "-".join(workers) / "project")
        done = project.doit(*workers, project.profile(SMALL))
        assert done.code == 0, done.text
        artifacts.append(project.artifacts())
    first, second = artifacts
    assert sorted(first) == sorted(second)
    assert [name for name in first if first[name] != second[name]] == []


def test_mistake_in_an_operator_file_fails_that_operator_alone(
    project: Project,
) -> None:
    folder = project.folder / "mine"
    folder.mkdir()
    for name, (text, _) in BROKEN.items():
        text = FORM.format(text) if text.startswith(("compute", "source")) else text
        (folder / f"{name}.py").write_text(text)
    names = ", ".join(f'"{n}"' for n in ("add", *BROKEN))
    profile = f'operators = [{names}]\ntargets = ["simd128"]\n'
    profile += 'folders = ["mine"]\ncompile_timeout = 5\n'
    done = project.doit("build", project.begun(profile))
    assert done.code != 0
    assert "Traceback" not in done.text
    summary = done.text[done.text.index("operator(s) failed") :]
    for name, (_, reason) in BROKEN.items():
        line = next(ln for ln in summary.splitlines() if f"mine/{name}.py: " in ln)
        assert reason in line
    assert b"add_float32" in project.artifacts()["simd128/ops_wasm32.wasm"]


def test_name_that_two_operators_go_by_fails_the_build(project: Project) -> None:
    folder = project.folder / "mine"
    folder.mkdir()
    for name, aliases in (("one", "Add"), ("two", "Shared"), ("three", "sha_red")):
        text = f"compute=pointwise(lambda k, x: x), aliases=({aliases!r},)"
        (folder / f"{name}.py").write_text(FORM.format(text))
    profile = 'operators = ["add", "one", "two", "three"]\ntargets = ["mvp"]\n'
    done = project.doit("build", project.begun(profile + 'folders = ["mine"]\n'))
    assert done.code != 0
    assert "one.py: its alias 'Add' is a name of add.py too; remove it" in done.text
    assert "two.py: its alias 'Shared' is a name of three.py too" in done.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("operators = [", "is not valid TOML"),
        ("operator = []", "key 'operator' is unknown; use operators"),
        ('operators = ["adds"]', "operator 'adds' is unknown; use "),
        ("operators = 3", "operators is 3; give a list of names"),
        ('operators = {add = "float32"}', "operators.add is 'float32'"),
        ('targets = ["avx"]', "target 'avx' is unknown; use mvp, simd128"),
        ("targets = []", "targets is empty"),
        ('max_memory = "1 TB"', "max_memory is '1 TB'; give bytes or text"),
        ('folders = ["nowhere"]', "folders names 'nowhere'"),
        ('folders = ["kernels"]', "has the same name; rename yours"),
        ("compile_timeout = 0", "compile_timeout is 0; give seconds"),
    ],
)
def test_wrong_profile_is_named(built: Project, text: str, message: str) -> None:
    done = built.doit("build", built.profile(text, "wrong"))
    assert done.code != 0
    assert message in done.text
    assert "Traceback" not in done.text


def test_own_operators_are_kept_beside_those_that_are_listed(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for name in ("cube", "half"):
        (tmp_path / "mine" / f"{name}.py").write_text("")
    file = tmp_path / "my.toml"
    file.write_text('folders = ["mine"]\n[operators]\nadd = true\nhalf = ["int32"]\n')
    wanted = {"add": None, "cube": None, "half": ("int32",)}
    assert wanted == load_profile(file).dtypes
    assert ["add", "cube", "half"] == list(load_profile(file).operators)


def test_missing_profile_is_named(built: Project) -> None:
    done = built.doit("build", "profile=none.toml")
    assert done.code != 0
    assert "none.toml: cannot be read (No such file or directory)" in done.text
    text = "small: cannot be read (No such file or directory); did you mean small.toml?"
    assert text in built.doit("build", "profile=small").text


def test_dtype_that_an_operator_lacks_is_named(built: Project) -> None:
    text = 'operators = {add = ["bool"]}\ntargets = ["mvp"]'
    done = built.doit("build", built.profile(text, "lacks"))
    assert done.code != 0
    assert "add: no variant for bool; it has float32, int32" in done.text


@pytest.mark.parametrize(
    ("variable", "script", "message"),
    [
        ("LLVM_AR", None, "cannot be run (No such file or directory)"),
        ("WASM_LD", "echo LLD 9.0.1", "is version 9.0, but 17 or newer is needed"),
        ("WASM_LD", "echo hello", "does not say that it is a tool of LLVM"),
        ("CLANG", "exit 3", "failed with exit code 3"),
    ],
)
def test_missing_old_or_broken_tool_is_named(
    project: Project, variable: str, script: str | None, message: str
) -> None:
    path = project.folder / "tool"
    if script is not None:
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    # Only what compiles needs something left to compile.
    write = project.profile if variable == "CLANG" else project.begun
    name = write('operators = ["add"]\ntargets = ["mvp"]')
    done = project.doit("build", name, **{variable: str(path)})
    assert done.code != 0
    assert message in done.text
    assert "Traceback" not in done.text
    assert project.doit("build", name).code == 0


def test_interrupted_build_is_right_the_next_time(project: Project) -> None:
    words = [sys.executable, "-m", "doit", "build", project.profile(SMALL)]
    with subprocess.Popen(
        words, cwd=project.folder, stdout=subprocess.PIPE, start_new_session=True
    ) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if b"compile:" in line:
                break
        time.sleep(0.3)
        os.killpg(running.pid, signal.SIGKILL)
    done = project.doit("build", "profile=small.toml")
    assert done.code == 0, done.text
    again = copy_project(project.folder.parent / "again")
    assert again.doit("build", again.begun(SMALL)).code == 0
    assert project.artifacts() == again.artifacts()


def test_full_disk_is_named_and_the_next_build_is_right(project: Project) -> None:
    # A limit on the size of files stands in for a full disk: writes fail alike.
    name = project.begun('operators = ["add"]\ntargets = ["mvp"]')
    for path in project.folder.rglob("add.o"):
        path.unlink()
    limited = f"ulimit -f 2; trap '' XFSZ; exec {sys.executable} -m doit build {name}"
    done = subprocess.run(
        ["bash", "-c", limited],
        cwd=project.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "File too large" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert project.doit("build", name).code == 0


def test_build_needs_no_network(project: Project) -> None:
    unshare = ["unshare", "--net", "--map-root-user"]
    try:
        subprocess.run([*unshare, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this machine lets no process leave its network")
    name = project.profile('operators = ["add"]\ntargets = ["mvp"]')
    done = subprocess.run(
        [*unshare, sys.executable, "-m", "doit", "build", name],
        cwd=project.folder,
        check=False,
    )
    assert done.returncode == 0


def test_unknown_operator_to_verify_is_named(built: Project) -> None:
    done = built.doit("test", "-o", "adds", "profile=small.toml")
    assert done.code != 0
    assert "operator 'adds' is unknown; use add, sub" in done.text


def test_an_operator_file_may_define_dataclasses(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        '"""out[i] = x[i]."""\n'
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "from toolchain.spec import Input, Operator, pointwise\n"
        "@dataclass\n"
        "class Given:\n"
        "    n: int\n"
        'KERNEL = Operator(collapse="elementwise.broadcast", reference=None,\n'
        '    inputs=(Input("x", "n"),), dtypes=("int32",), cases=None,\n'
        "    compute=pointwise(lambda k, x: x))\n"
    )
    assert load_operator(path).dtypes == ("int32",)
    broken = tmp_path / "broken.py"
    broken.write_text("1 / 0\n")
    for _ in range(2):  # nothing of it stays
        with pytest.raises(ZeroDivisionError):
            load_operator(broken)
