"""Values of options that hold "=", which doit takes for variables."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest

from toolchain.process.command_line import _values, with_values
from toolchain.profile import ROOT
from toolchain.recipe import Net
from toolchain.tasks import models
from toolchain.tasks.making import reported


@pytest.mark.parametrize(
    ("line", "selection"),
    [
        ("model --shape x=1,2 --file f", "model --shape x=1,2 --file f"),
        ("model --file f --shape x=1,2", "model --file f --shape x=1,2"),
        ("model --file f -s x=1 --dim n=2 --value k=3", None),
        ("-n 1 model --dim=a=1 --dim b=2 profile=p", "model --dim=a=1 --dim b=2"),
        ("profile=p model --dim b=2 build profile=p", "model --dim b=2 build"),
        ("run build profile=p", "build"),
        ("model --dim n=1 model --dim n=2", None),
    ],
)
def test_values_are_put_back(line: str, selection: str | None) -> None:
    words = line.split()
    values = _values(words)
    wanted = (selection or line).split()
    # What doit leaves: no words with "=" but options, from the first task on.
    left = [w for w in words if "=" not in w or w.startswith("-")]
    left = left[next(i for i, w in enumerate(left) if w in ("model", "build")) :]
    assert wanted == with_values(left, words, values)


def doit(*words: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "doit", *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stdout
    return done.returncode, done.stdout


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A model of open sizes; an input is called like a variable of doit's."""
    net = Net("open")
    y = net.op("Add", net.input("profile", (1, 1)), net.input("rate", (1,)))
    proto: Any = net.model(y=(y, (1, 1)))
    for dim, name in zip(
        proto.graph.input[0].type.tensor_type.shape.dim,
        ("batch", "length"),
        strict=True,
    ):
        dim.dim_param = name
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    path = tmp_path / "open.onnx"
    onnx.save(proto, path)
    return path


def test_what_the_error_shows_works_when_pasted(file: Path, tmp_path: Path) -> None:
    words = ["model", "--file", str(file), "--out", str(tmp_path)]
    code, text = doit(*words)
    assert code
    (line,) = [x for x in text.splitlines() if x.startswith("run: ")]
    shown = shlex.split(line.removeprefix("run: "))
    assert ["--dim", "batch=1", "--dim", "length=128"] == shown[-4:]
    code, text = doit(*shown[shown.index("model") :])
    assert (code, (tmp_path / "open.wasm").exists()) == (0, True), text


@pytest.mark.parametrize(
    "words",
    [
        ["--shape", "profile=2,3", "--value", "rate=16000"],
        ["-s", "profile=2,3", "--dim", "batch=2", "--dim=length=3", "--value=rate=1"],
    ],
)
def test_both_forms(words: list[str], file: Path, tmp_path: Path) -> None:
    code, text = doit("model", *words, "--file", str(file), "--out", str(tmp_path))
    assert (code, (tmp_path / "open.wasm").exists()) == (0, True), text


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            {"shape": ["x"]},
            "--shape 'x' is no shape; give name=sizes, as in --shape im",
        ),
        (
            {"dim": ["n=1,2"]},
            "--dim 'n=1,2' is no size; give name=size, as in --dim ba",
        ),
        ({"dim": ["n=1", "n=2"]}, "--dim gives n twice: 1 and 2"),
        ({"value": ["n="]}, "--value 'n=' is no value; give name=numbers, as in --val"),
        ({"dim": ["n=1"]}, "no open size is named 'n' (--dim); names: batch, length"),
        ({"value": ["n=1"]}, "no input is named 'n' (--value); inputs: profile, rate"),
        ({"value": ["rate=1,2"]}, "the input's shape is [1]; give 1 or 1 numbers"),
        ({"value": ["rate=fast"]}, "'fast' is no float32"),
        ({"value": ["profile=1"]}, "sizes of the input, [batch, length], are open"),
        ({"timeout": 0.0}, "--timeout 0 is no time; give seconds"),
    ],
)
def test_mistakes_are_named(
    options: dict[str, Any], text: str, file: Path, tmp_path: Path
) -> None:
    given = {o["name"]: o["default"] for o in (*models.OPTIONS, models.WEIGHTS)}
    given |= {"file": str(file), "out": str(tmp_path)} | options
    failed = reported(models.compile_file, **given)
    assert failed is not None
    assert text in failed.message
