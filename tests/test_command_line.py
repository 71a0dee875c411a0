"""Words of doit's command line: values that hold "=", and wrong ones."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnx
import pytest
from compiling import compiled

from toolchain.process.command_line import option_values, variables, with_values
from toolchain.profile import ROOT
from toolchain.recipe import Net


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
    values = option_values(words)
    wanted = (selection or line).split()
    # What doit leaves: no words with "=" but options, from the first task on.
    left = [w for w in words if "=" not in w or w.startswith("-")]
    left = left[next(i for i, w in enumerate(left) if w in ("model", "build")) :]
    assert wanted == with_values(left, words, values)


WRONG = [
    (["build", "profil=x"], "variable 'profil' is unknown; did you mean profile?"),
    (["model", "--file", "a=b"], "or --file=a=b where it is the value of --file"),
    (["build", "profile="], "profile= names nothing; give profile=FILE.toml"),
    (["profile=a", "build", "profile=b"], "profile is given twice: a and b"),
    (["build", ""], "an argument is empty; give it a text, or leave it out"),
    (["buil"], "'buil' is no task; did you mean build? `doit list` shows the tasks"),
    (["build", "nope*"], "'nope*' is no task"),
    (["help", "modell"], "'modell' is no task; did you mean model?"),
    (["list", "nope"], "'nope' is no task"),
    (["model", "net.onnx"], "'net.onnx' is no task; for a file write --file net.onnx"),
    (["model", "--file", "a", "model"], "task model is named twice; name it once"),
    (
        ["model", "--fiel", "x"],
        "model: option --fiel is unknown; did you mean --file? `doit help model` lists",
    ),
    (["archive", "--file", "x"], "archive: option --file is unknown; it takes none"),
    (["build", "--profile=x"], "option --profile is unknown; write profile=FILE.toml"),
    (["model", "--profile", "x"], "option --profile is unknown; write profile=FILE"),
    (["fuzz", "-w", "x"], "fuzz: option -w is unknown; `doit help fuzz` lists the op"),
    (["model", "--t", "x"], "option --t may be --target, --timeout; write it out"),
    (["model", "--file"], "model: option --file lacks its value"),
    (["model", "--winograd=1"], "model: option --winograd takes no value; leave it"),
    (["model", "-f", "a", "--file", "b"], "model: --file is given twice: a and b"),
    (["model", "--timeout", "x"], "model: --timeout 'x' is no number; `doit help mod"),
    (["fuzz", "--count", "-1"], "--count '-1' is no whole number of 0 or more"),
    (["build", "-n", "x"], "build: -n 'x' is no whole number of 0 or more"),
    (["-n", "x", "build"], "doit: -n 'x' is no whole number of 0 or more"),
    (["--nope", "build"], "doit: option --nope is unknown; `doit help run` lists"),
    (["--reporter", "x", "build"], "doit: --reporter 'x' is none of console, "),
    (["dumpdb"], "doit dumpdb: doit keeps no records here; `doit list --all --status`"),
    (["help", "a", "b"], "doit help: takes one name, not 2"),
]


@pytest.mark.parametrize(("words", "text"), WRONG, ids=lambda x: " ".join(x[:9]))
def test_wrong_words(words: list[str], text: str) -> None:
    code, printed = doit(*words)
    assert (True, True) == (code != 0, text in printed), printed
    assert printed.startswith("ERROR: ")
    assert len(printed.splitlines()) == 1


def test_doit_started_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "doit", "-f", str(ROOT / "dodo.py"), "list"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode
    assert done.stderr.startswith("ERROR: start doit in the folder of dodo.py and pyp")


def test_variables() -> None:
    words = ["profile=a.toml", "model", "--shape", "profile=2,3", "--dim=n=1"]
    assert variables(words) == {"profile": "a.toml"}


def test_a_folder_for_a_file(tmp_path: Path) -> None:
    for name in ("a.onnx", "b.txt", "c.mindir"):
        (tmp_path / name).touch()
    failed = compiled(file=str(tmp_path))
    assert failed is not None
    text = "is a folder; give a file, .onnx or .mindir: it holds a.onnx, c.mindir"
    assert failed.message == f"--file {tmp_path}: {text}"


def test_an_input_that_is_defined_twice(file: Path) -> None:
    proto = onnx.load(file)
    proto.graph.input.append(proto.graph.input[0])
    proto.graph.input.append(proto.graph.input[0])
    onnx.save(proto, file)
    failed = compiled(file=str(file))
    assert failed is not None
    text = "'profile' is defined twice: by an input and by an input; give them names of"
    assert failed.message == f"{file}: {text} their own"


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
    words = ["trace", "--file", str(file), "--out", str(tmp_path)]
    code, text = doit(*words)
    assert code
    shown = shlex.split(text.partition("as in ")[2])
    assert ["--at", "batch=64", "--at", "length=64"] == shown
    code, text = doit(*words, *shown)
    assert (code, (tmp_path / "trace.html").exists()) == (0, True), text


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
    failed = compiled(file=str(file), out=str(tmp_path), **options)
    assert failed is not None
    assert text in failed.message
