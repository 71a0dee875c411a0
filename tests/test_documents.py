"""What documents and texts say holds: tables are fresh, and commands work."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from toolchain.matrix import with_matrix
from toolchain.profile import ROOT, load_profile
from toolchain.targets import TARGETS
from toolchain.tasks import models

DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
PROGRAMS = {"doit": "doit", "ops-wasm32": "ops_wasm32"}
# What stands for a word of the user's.
PLACEHOLDERS = {"NAME": "add", "profile=my.toml": "profile=bench/matmul_alone.toml"}
SAID = {  # what the README's commands print
    "run -o Add -d FP32 -I '[1, 2]' -I '[10, 20]'": "[11.0, 22.0]",
    "run -o ReduceSum -d INT8 -I '[[1, 2], [100, 100]]' axes=[0] keepdims=0": "[101",
    "run -o Softmax -d FP32 -I '[1, 2]' axis=3": "axis 3 is outside rank 1 of x; use",
}
# Where users read which targets there are.
OF_TARGETS = ("README.md", "embed/c/README.md.in")
# Runs doit up to the tasks themselves, for each command line of the argument.
DRY = """
import json, sys
from doit.cmd_run import Run
from doit.control import TaskControl
from doit.doit_cmd import DoitMain
Run._execute = lambda self: 0
process = TaskControl.process
for words in json.loads(sys.argv[1]):
    sys.argv[1:] = words
    sys.modules.pop("dodo", None)
    TaskControl.process = process
    if DoitMain().run(list(words)):
        print("REFUSED", words)
"""


def test_matrix_of_the_readme_is_fresh() -> None:
    text = (ROOT / "README.md").read_text()
    assert with_matrix(text) == text, "run `doit matrix`"


def commands(program: str) -> list[str]:
    """What documents show after the name of a program, in blocks and in lines."""
    found = []
    for path in DOCUMENTS:
        text = path.read_text()
        blocks = re.findall(r"^```(?:sh|console)\n(.*?)^```", text, re.M | re.S)
        lines = [x for b in blocks for x in b.splitlines()]
        inline = re.findall(
            r"`([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S)
        )
        for line in [*lines, *(" ".join(x.split()) for x in inline)]:
            for part in line.removeprefix("$ ").partition(" #")[0].split(" && "):
                words = part.strip().removeprefix(".venv/bin/")
                if words.startswith(f"{program} "):
                    found.append(words.removeprefix(program).strip())
    return list(dict.fromkeys(found))


def test_doit_takes_what_documents_show() -> None:
    found = commands("doit")
    assert {"build", "test", "model --file net.onnx"} <= set(found)
    words = [
        [PLACEHOLDERS.get(w, w) for w in shlex.split(line)]
        for line in found
        if not line.startswith(("list", "clean", "help"))  # doit's own
    ]
    done = subprocess.run(
        [sys.executable, "-c", DRY, json.dumps(words)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "REFUSED" not in done.stdout


def run(program: str, line: str, folder: Path) -> str:
    """What a command of a document prints; it writes into a folder of its own."""
    line = re.sub(r"\bnet(?=/| |$)", str(folder / "net"), line)
    line = re.sub(r"\b(inputs|outputs)\.npz", rf"{folder}/\1.npz", line)
    done = subprocess.run(
        [sys.executable, "-m", PROGRAMS[program], *shlex.split(line)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stdout
    return done.stdout


def test_the_readme_from_file_to_answer(tmp_path: Path) -> None:
    """Its commands, in their order; what it says that they print."""
    shown = commands("doit")
    (model,) = [x for x in shown if x.startswith("model ") and "lenet" in x]
    text = run("doit", model, tmp_path)
    assert f"{tmp_path}/net/lenet.wasm: " in text
    np.savez(tmp_path / "inputs.npz", image=np.zeros((1, 1, 28, 28), "float32"))
    others = commands("ops-wasm32")
    assert set(SAID) <= set(others)
    for line in others:
        if line in SAID or "net/" in line or line == "list":
            text = run("ops-wasm32", line, tmp_path)
            assert SAID.get(line, "") in text
            assert ("error:" in text) == ("axis=3" in line), (line, text)


def texts(folders: tuple[str, ...]) -> Iterator[tuple[Path, str]]:
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path, path.read_text()


def test_texts_name_tasks_that_there_are() -> None:
    """In messages and docstrings: the word after doit."""
    tasks = set(re.findall(r"^def task_(\w+)", (ROOT / "dodo.py").read_text(), re.M))
    known = tasks | {"list", "clean", "help"}
    for path, text in texts(("toolchain", "bench", "embed/python", "kernels")):
        for name in re.findall(r"(?:`|run )doit ([a-z_]+)", text):
            assert name in known, path


@pytest.mark.parametrize("folder", ["toolchain/frontends", "toolchain/model"])
def test_texts_name_options_that_there_are(folder: str) -> None:
    """Of doit model, in messages about models."""
    options = {option["name"] for option in models.OPTIONS}
    assert {"file", "shape", "dim", "value", "timeout"} <= options
    for path, text in texts((folder,)):
        for name in re.findall(r"--([a-z]+)", text):
            assert name in options, path


@pytest.mark.parametrize("name", OF_TARGETS)
def test_documents_name_every_target(name: str) -> None:
    named = set(re.findall(r"`([\w-]+)`", (ROOT / name).read_text()))
    assert set(TARGETS) - named == set()


def test_files_of_users_lie_apart() -> None:
    """A user's lenet.onnx does not replace what `build` made of models/lenet.onnx."""
    own = models.folder_of(Path("models/lenet.onnx"), TARGETS["simd128"].name)
    assert ROOT / "build" / "files" / "lenet" / "simd128" == own
    said = {o["name"]: o["help"] for o in models.OPTIONS}["out"]
    assert "(build/files/<name>/<target>)" in said
    profile = load_profile(None)
    for task in models.model_tasks(profile, heavy=False):
        for path in task["targets"]:
            assert models.FILES not in Path(path).parents, path
