"""The command ops-wasm32: tables, runs, and the one line that a mistake gives."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import ops_wasm32
import pytest
from ops_wasm32.__main__ import main

from toolchain.profile import ROOT

X = np.arange(6, dtype=np.float32).reshape(2, 3)


def run(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    """Exit code, output and errors of ops-wasm32."""
    try:
        code = main([str(word) for word in words])
    except SystemExit as end:
        code = int(end.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def fails(capsys: pytest.CaptureFixture[str], *words: str | Path) -> str:
    """The one line that a mistake gives."""
    code, out, err = run(capsys, *words)
    assert (2, "", 1) == (code, out, err.count("\n"))
    assert err.startswith("error: ")
    return err


def test_list_is_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "list")
    lines = out.splitlines()
    assert (0, ["operator", "dtypes", "attributes"]) == (code, lines[0].split())
    add = next(line for line in lines if line.startswith("add "))
    assert ["add", "float32", "int32", "int8"] == add.split()[:4]
    assert ops_wasm32.load().operators() == [line.split()[0] for line in lines[1:]]


def test_info_tells_what_is_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    path = ROOT / "build" / "simd128" / "ops_wasm32.wasm"
    code, out, _ = run(capsys, "info", path)
    lines = dict(
        line.split(":", 1) for line in out.splitlines() if not line.startswith(" ")
    )
    assert 0 == code
    assert "simd128" == lines["target"].strip()
    assert lines["features"].endswith(" simd128")
    assert ("0", "11") == (lines["imports"].strip(), lines["exports"].strip())
    assert lines["size"].strip().startswith(f"{path.stat().st_size} bytes")
    assert "llvmlite" in lines["tools"]
    assert "  add " in out


def test_info_of_other_files(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    whole = (ROOT / "build" / "mvp" / "ops_wasm32.wasm").read_bytes()
    path = tmp_path / "file.wasm"
    for content, text in (
        (b"text", "is no WebAssembly file"),
        (whole[: len(whole) // 2], "is cut off or damaged in section"),
        (whole[:8], "has no section ops_wasm32.manifest"),
        (
            b"\0asm\1\0\0\0\0\xff\xff\xff\xff\xff\xff",
            "is cut off or damaged in section 0",
        ),
    ):
        path.write_bytes(content)
        assert f"error: {path}: {text}" in fails(capsys, "info", path)
    assert "cannot be read" in fails(capsys, "info", tmp_path / "none.wasm")


@pytest.mark.parametrize("name", ["Add", "ADD", "add", "add_float32"])
def test_run_takes_any_spelling(capsys: pytest.CaptureFixture[str], name: str) -> None:
    words = ("run", "-o", name, "-d", "FP32", "-I", "[0.1, 2]", "-I", "[[3], [NaN]]")
    assert (0, "[[3.1, 5.0], [NaN, NaN]]\n", "") == run(capsys, *words)


def test_run_takes_mindspore_spellings(capsys: pytest.CaptureFixture[str]) -> None:
    library = ops_wasm32.load()
    aliases = library.manifest["aliases"]
    assert set(aliases.values()) <= set(library.operators())
    for alias in aliases:
        assert "is unknown" not in run(capsys, "run", "-o", alias)[2]


def test_run_reads_the_inputs_of_the_proof_of_concept(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "inputs.json"
    entry = {"input-data": [1, 2, 3, 4], "dim-size": 2, "shape": [2, 2]}
    path.write_text(json.dumps([entry, entry]))
    words = ("run", "-o", "Add", "-d", "INT32", "-i", path)
    assert (0, "[[2, 4], [6, 8]]\n", "") == run(capsys, *words)
    for change, text in (
        ({"shape": [2, 3]}, "entry 1: input-data has 4 numbers but shape [2, 3] takes"),
        ({"dim-size": 1}, "entry 1: dim-size is 1 but shape [2, 2] has 2 sizes"),
        ({"shape": [-4]}, "entry 1: shape is [-4]; give a list of sizes"),
        ({"input-data": 1}, "entry 1: input-data is 1; give a list of numbers"),
        ({"shap": 1}, "entry 1: key 'shap' is unknown"),
    ):
        path.write_text(json.dumps([entry, entry | change]))
        assert text in fails(capsys, *words)
    path.write_text(json.dumps([entry, {"shape": [1]}]))
    assert "entry 1: needs" in fails(capsys, *words)


def test_run_reads_and_writes_numpy_files(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    one, both, out = (tmp_path / n for n in ("x.npy", "xy.npz", "out.npy"))
    np.save(one, X)
    np.savez(both, X, X[0])
    assert 0 == run(capsys, "run", "-o", "add", "-i", both, "--out", out)[0]
    assert (X + X[0]).tolist() == np.load(out).tolist()
    words = ("run", "-o", "add", "-I", "1", "-i", one)
    assert [(1 + X).tolist()] == [json.loads(run(capsys, *words)[1])]
    out = tmp_path / "out.npz"
    assert 0 == run(capsys, "run", "-o", "add", "-i", one, "-i", one, "--out", out)[0]
    assert (X + X).tolist() == np.load(out)["out"].tolist()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ["-o", "Ad", "-d", "FP32"],
            "operator 'Ad' is unknown; did you mean pad or add?",
        ),
        (["-o", "add", "-d", "FP64"], "data type 'FP64' is unknown; use FP32"),
        (["-o", "add", "-I", "1", "-I", "2"], "JSON inputs have no data type; give -d"),
        (["-o", "add", "-d", "BOOL", "-I", "1", "-I", "1"], "no kernel for bool"),
        (["-o", "add", "-d", "INT8", "-I", "300", "-I", "1"], "300 does not fit int8"),
        (["-o", "add", "-d", "INT8", "-I", "1"], "input b is missing"),
        (["-o", "add", "-d", "INT8", "-I", "[1"], "input '[1' is not JSON"),
        (["-o", "add", "-d", "INT8", "-I", '"a"'], "is 'a'; give numbers in nested"),
        (["-o", "add", "-d", "INT8", "-I", "[" * 99999], "is not JSON"),
        (
            ["-o", "add", "-d", "INT8", "-I", "1", "-I", "[" * 99 + "]" * 99],
            "nested too deeply",
        ),
        (
            ["-o", "add", "-d", "FP32", "-I", "1", "-I", "1", "axis=1"],
            "'axis' is unkno",
        ),
        (["-o", "add", "axis"], "'axis' is no attribute; write NAME=VALUE"),
        (["-o", "add", "axes=[1"], "attribute axes: '[1' is no JSON list"),
        (["-o", "add", "--frob"], "argument '--frob' is unknown"),
        (["-o", "add", "-i", "none.npy"], "none.npy: cannot be read: No such file"),
        (["-o", "add", "-c", "none.wasm"], "none.wasm: cannot be read: No such file"),
        (["-o", "add", "-d", "INT8", "-I", "[1,2]", "-I", "[1,2,3]"], "broadcast"),
        (["-o", "add_int8", "-I", "1", "-I", "1", "--out", "x.txt"], "named *.npy or"),
        (["-o", "add_int8", "-I", "1", "-I", "1", "--out", "none/x.npy"], "be written"),
        ([], "give the operator: -o NAME"),
    ],
)
def test_mistakes_of_run_give_one_line(
    capsys: pytest.CaptureFixture[str], words: list[str], text: str
) -> None:
    assert text in fails(capsys, "run", *words)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.npy", "is not a .npy file"),
        ("x.npz", "is not a .npz file"),
        ("x.json", "is not a JSON file"),
    ],
)
def test_damaged_files_of_inputs(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, text: str
) -> None:
    path = tmp_path / name
    for content in (b"", b"\x93NUMPY damaged", b"PK\3\4 damaged", b"\xff\xfe"):
        path.write_bytes(content)
        assert f"{path}: {text}" in fails(capsys, "run", "-o", "add", "-i", path)


def test_float64_file_is_not_cast(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "x.npy"
    np.save(path, X.astype(np.float64))
    text = fails(capsys, "run", "-o", "add", "-d", "FP32", "-i", path, "-i", path)
    assert "add: input a has dtype float64; it takes float32" in text
