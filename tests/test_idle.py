"""A build with nothing to do: what it loads and reads, which is its time."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from project import Project, copy_project

from toolchain.records import states
from toolchain.records.states import Contents

PROFILE = 'operators = ["add", "relu"]\ntargets = ["mvp", "simd128"]\n'
# Runs doit and prints what it imported and opened, its children not counted.
WATCHED = """
import json, sys
opened = []
def watch(event, arguments):
    if event == "open" and not isinstance(arguments[0], int):
        opened.append(str(arguments[0]))
sys.addaudithook(watch)
from doit.doit_cmd import DoitMain
code = DoitMain().run(sys.argv[1:])
print(json.dumps({"code": code, "opened": opened, "modules": sorted(sys.modules)}))
"""
# What the tasks and their checks are made of.
LOADED = {
    "bench": {"errors", "whole", "whole.rows"},
    "toolchain": {
        *("abi", "link", "link.artifacts", "link.clang", "link.package", "profile"),
        "targets",
        *("process", "process.command", "process.command_line", "process.progress"),
        *("process.workers", "records", "records.definitions", "records.lock"),
        *("records.made", "records.places", "records.replace", "records.slices"),
        "records.states",
        *("tasks", "tasks.checks", "tasks.documents", "tasks.library"),
        *("tasks.making", "tasks.model_files", "tasks.models", "tasks.packages"),
        *("tasks.running", "tasks.traces"),
        *("tuning", "tuning.number", "tuning.table"),
    },
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy with a small profile built, long enough ago."""
    project = copy_project(tmp_path_factory.mktemp("idle") / "project")
    done = project.doit("build", project.begun(PROFILE))
    assert done.code == 0, done.text
    time.sleep(2.5)  # see states.py: a file shows a write when it is older than 2 s
    assert project.doit("build", "profile=small.toml").ran == []
    return project


def watched(project: Project, *words: str) -> dict[str, Any]:
    """What doit loads and opens in a copy."""
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, *words],
        cwd=project.folder,
        env={**os.environ, "PYTHONPATH": str(project.folder)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert found["code"] == 0, done.stdout
    return found


def files(project: Project, found: dict[str, Any]) -> Counter[str]:
    """Files of the project that were opened, without Python modules."""
    paths = (project.folder / path for path in found["opened"])
    # pip's finder of an editable install is no file, but is asked for as one.
    skipped = (".pyc", ".__path_hook__")
    inside = (p for p in paths if p.is_relative_to(project.folder))
    own = (p for p in inside if p.suffix not in skipped)
    names = Counter(str(path.relative_to(project.folder)) for path in own)
    for module in found["modules"]:
        for end in (".py", "/__init__.py"):
            names.pop(module.replace(".", "/") + end, None)
    return names


@pytest.mark.parametrize("words", [("list",), ("build", "profile=small.toml")])
def test_it_loads_nothing_large(built: Project, words: tuple[str, ...]) -> None:
    modules = watched(built, *words)["modules"]
    for package, expected in LOADED.items():
        loaded = {m for m in modules if m.startswith(f"{package}.")}
        assert loaded == {f"{package}.{name}" for name in expected}
    large = {"numpy", "onnx", "tvm", "llvmlite", "wasmtime", "sqlite3", "tarfile"}
    assert large.isdisjoint(modules)


def test_it_opens_a_record_for_each_target_and_no_more(built: Project) -> None:
    """No source but the ones that are run, and no output."""
    found = files(built, watched(built, "build", "profile=small.toml"))
    records = [name for name in found if name.endswith(".made")]
    made = built.folder.glob("build/profiles/small/**/.*.made")
    assert sorted(records) == sorted(str(p.relative_to(built.folder)) for p in made)
    assert max(found[name] for name in records) == 1
    kept = {"build/.contents.json", "build/.digests.json"}
    settings = {"small.toml", "pyproject.toml", "build/profiles/small/.lock"}
    assert set(found) - set(records) == kept | settings


@pytest.mark.parametrize(
    ("file", "task"),
    [
        ("kernels/relu.py", "compile:simd128:relu"),
        ("build/profiles/small/mvp/obj/relu.o", "compile:mvp:relu"),
        ("runtime_stub/text.h", "runtime:mvp:text"),
        ("toolchain/link/link.py", "module:mvp"),
    ],
)
def test_a_write_is_seen(built: Project, file: str, task: str) -> None:
    """Also where it leaves the time and the size of the file as they were."""
    path = built.folder / file
    before, status = path.read_bytes(), path.stat()
    path.write_bytes(before.replace(b"6", b"7").replace(b"x", b"y"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    listed = built.doit("list", "--all", "--status", "profile=small.toml").text
    path.write_bytes(before)
    assert ["R", task] in [line.split()[:2] for line in listed.splitlines()]


def test_a_file_written_just_now_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, file = tmp_path / "kept.json", tmp_path / "file"
    file.write_text("a")
    found = Contents(kept)
    hashed = found.hash_of(file)
    found.keep()
    assert Contents(kept).found == {}
    monkeypatch.setattr(states, "_STARTED", time.time_ns() + 3_000_000_000)
    found = Contents(kept)
    assert found.hash_of(file) == hashed
    found.keep()
    assert Contents(kept).found == {str(file): (states.state(file), hashed, [])}
