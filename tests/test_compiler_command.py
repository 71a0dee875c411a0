"""The commands compile and build, and what ops-wasm32 tells programs and shells.

tests/users/ does the same with the packages alone.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import ops_wasm32
import pytest
from onnx import TensorProto, helper, numpy_helper
from ops_wasm32 import tables
from ops_wasm32.parser import COMMANDS, parsers
from test_command import run

from toolchain.process import terminal
from toolchain.profile import ROOT, version

LENET = ROOT / "build" / "models" / "lenet" / "simd128" / "lenet.wasm"


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """A model of any number of rows: relu(x + w)."""
    weights = numpy_helper.from_array(np.array([1, -2, 3], np.float32), "w")
    graph = helper.make_graph(
        [
            helper.make_node("Add", ["x", "w"], ["sum"]),
            helper.make_node("Relu", ["sum"], ["y"]),
        ],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [weights],
    )
    opset = helper.make_opsetid("", 17)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    path = tmp_path / "my net.onnx"
    onnx.save(model, path)
    return path


def test_compile_writes_what_out_names(net: Path, tmp_path: Path) -> None:
    words = ["compile", net.name, "-o", "out/foo.wasm", "--weights", "external"]
    done = subprocess.run(
        [sys.executable, "-m", "ops_wasm32", *words, "--archive"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (0, "") == (done.returncode, done.stderr)
    last = done.stdout.splitlines()[-1]
    assert last.startswith("out/foo.wasm: ")
    assert {"foo.wasm", "foo.manifest.json", "foo.safetensors", "libfoo.a"} == {
        path.name for path in (tmp_path / "out").iterdir()
    }
    x = np.array([[1, 1, 1], [-5, 5, 0]], np.float32)
    found = ops_wasm32.load(tmp_path / "out" / "foo.wasm")
    assert [[2, 0, 4], [0, 3, 3]] == found(x).tolist()
    assert [[2, 0, 4], [0, 3, 3]] == found.clone()(x).tolist()
    assert "my_net" == found.manifest["model"]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["compile", "none.onnx"], "none.onnx"),
        (["compile", "."], ".: is a folder; give a file, .onnx or .mindir: it holds"),
        (["compile", "x.onnx", "-t", "avx"], "--target 'avx' is unknown; use mvp"),
        (["compile", "x.onnx", "-o", "y.onnx"], "--out y.onnx: names no .wasm file"),
        (["compile", "x.onnx", "--weights", "x"], "--weights 'x' is unknown"),
        (["compile", "x.onnx", "--timeout", "0"], "--timeout 0 is no time"),
        (["compile", "x.onnx", "--timeout", "x"], "invalid float value: 'x'"),
        (["compile", "x.onnx", "--tagret", "x"], "did you mean --target?"),
        (["compile"], "the following arguments are required: NET.onnx"),
        (["complie"], "'complie' is unknown; did you mean compile"),
        (["build", "none.toml"], "none.toml: cannot be read (No such file"),
        (["build", "x.toml", "-n", "0"], "'0' is no number of 1 or more"),
        (
            ["build", "x.toml", "-o", "x.toml"],
            "x.toml: is no folder; give another name",
        ),
    ],
)
def test_mistakes_give_one_line(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    text: str,
) -> None:
    (tmp_path / "x.toml").write_text('operators = ["add"]\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("toolchain.tasks.compiler.prepare", lambda: None)
    code, _, err = run(capsys, *words)
    assert (2, 1) == (code, err.count("\n")), err
    assert err.startswith("error: ")
    assert text in err


def test_the_version_is_the_projects(capsys: pytest.CaptureFixture[str]) -> None:
    assert version() == tables.VERSION
    assert (0, f"{version()}\n", "") == run(capsys, "--version")


def test_list_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "list", "--json")
    found = json.loads(out, parse_constant=pytest.fail)
    library = ops_wasm32.load()
    assert (0, library.operators()) == (code, list(found["operators"]))
    assert library.target == found["target"]
    (kernel,) = found["operators"]["softmax"]
    assert "softmax_float32" == kernel["name"]
    assert ["axis"] == [a["name"] for a in kernel["attributes"]]


def test_info_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "info", LENET, "--json")
    found = json.loads(out, parse_constant=pytest.fail)
    assert (0, 0) == (code, found["imports"])
    assert LENET.stat().st_size == found["bytes"]["file"]
    assert ops_wasm32.load(LENET).manifest == found["manifest"]


@pytest.mark.parametrize(("bound", "passes"), [("1e-3", True), ("0", False)])
def test_verify_for_programs(
    capsys: pytest.CaptureFixture[str], bound: str, passes: bool
) -> None:
    original = ROOT / "models" / "lenet.onnx"
    words = ("verify", LENET, "--against", original, "--json", "--bound", bound)
    code, out, _ = run(capsys, *words)
    found = json.loads(out, parse_constant=pytest.fail)
    assert (0 if passes else 1, passes) == (code, found["passes"])
    ((output,),) = [call["outputs"] for call in found["calls"]]
    assert ("probabilities", passes) == (output["output"], output["passes"])
    assert 0 < output["relative_error"] < 1e-3


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_shell_completes_it(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    pytest.importorskip("shtab")
    code, out, err = run(capsys, "completion", shell)
    assert (0, "") == (code, err)
    for word in (*COMMANDS, "--winograd", "--op-type", "layer_normalization"):
        assert word in out


def test_every_command_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for name in COMMANDS:
        code, out, _ = run(capsys, name, "--help")
        assert code == 0
        assert COMMANDS[name] in " ".join(out.split())
    code, out, _ = run(capsys, "--help")
    assert "exit codes:\n  0    done\n" in out
    assert set(COMMANDS) == set(parsers()[1])


class Terminal(io.StringIO):
    """What is written to a terminal."""

    def isatty(self) -> bool:
        return True


def test_progress_is_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich")
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    watch = terminal.Watch("net")
    watch("kernel 1/4 add")
    assert "" == screen.getvalue()  # it may be done within two seconds
    now[0] = 3.0
    watch("kernel 2/4 mul")
    watch.close()
    assert "net: kernel 2/4 mul" in screen.getvalue()


def test_progress_is_lines_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    watch = terminal.Watch("net")
    watch("kernel 1/4 add")
    watch.close()
    assert ("  net: kernel 1/4 add\n", "") == capsys.readouterr()
