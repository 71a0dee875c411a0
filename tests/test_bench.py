"""The bench: its rows, its ceilings and its verdicts; nothing is timed here."""

from __future__ import annotations

import functools
import os
import stat
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wasmtime

from bench import ceilings, compare, judge, loops, measure, models, peers, rows, table
from bench.errors import BuildError, PeerError, TableError, UnknownOperatorError
from bench.records import Measured, Record, Results, Rounds
from bench.report import report
from bench.row import ENGINES, ORT_WEB, TARGETS, TFJS, Goal, Onnx, Row
from bench.rows import ROWS
from toolchain.profile import KERNELS, ROOT, load_profile


@functools.cache
def outsiders(row: Row) -> tuple[str, ...]:
    """Participants that have a row, beside ours."""
    case = row.make()
    has = {
        f"node/{ORT_WEB}": case.onnx,
        f"node/{TFJS}": case.tfjs,
        "native/onnxruntime": case.onnx,
        "native/numpy": case.numpy,
    }
    return tuple(name for name, form in has.items() if form is not None)


def measured(row: Row, seconds: float = 1.0, ceiling: float = 1e9) -> Measured:
    """Made-up rounds: everybody takes `seconds`, arithmetic runs at `ceiling`."""
    names = [f"{e}/{t}" for e in ENGINES for t in TARGETS]
    names += outsiders(row)
    found: dict[str, Rounds] = {
        n: {"seconds": [seconds] * 7, "work": row.work} for n in names
    }
    for engine in ENGINES:
        ceiling_names = ceilings.INT8 if row.unit == "int8" else ceilings.FLOAT
        for name in ceiling_names if row.unit != "byte" else ():
            found[f"{engine}/{name}"] = {"seconds": [1.0] * 7, "work": ceiling}
        if row.stream:
            work = loops.STREAMS[row.stream[0]] * row.stream[1]
            found[f"{engine}/stream"] = {"seconds": [1.0] * 7, "work": work}
    return {"rounds": found, "notes": []}


def results(records: list[Record], complete: bool = True) -> Results:
    """Made-up results of a run."""
    levels = [f"{kind}, {level}" for kind in loops.STREAMS for level in ceilings.LEVELS]
    return {
        "date": "2000-01-01 00:00 UTC",
        "machine": "an abacus & beads, 1 core",
        "versions": {"wasmtime": "1.2.3"},
        "complete": complete,
        "seconds": 1,
        "libraries": {},
        "levels": {},
        "rounds": 7,
        "rows": records,
        "figures": [judge.limit("simd128 library", 1000, 2000, "byte")],
        "overheads": {ORT_WEB: 2e-5},
        "ceilings": {
            f"{e}/{n}": 5e10 for e in ENGINES for n in (*loops.RATES, *levels)
        },
    }


def row_named(name: str) -> Row:
    return next(row for row in ROWS if row.name == name)


def test_rows_have_names_of_their_own() -> None:
    names = [row.name for row in ROWS]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_row_is_of_a_kernel(row: Row) -> None:
    known = {path.stem for path in KERNELS.glob("*.py")}
    assert row.operator in known


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_goal_has_a_figure(row: Row) -> None:
    record = judge.judged(row, measured(row))
    assert record["checks"]
    assert all(c["figure"] is not None for c in record["checks"])


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_figure_has_a_goal(row: Row) -> None:
    assert row.goals
    assert all(g.relaxed > 0 and g.simd128 > 0 for g in row.goals)


def test_rates_are_of_medians() -> None:
    row = row_named("matmul 16³")
    made = measured(row)
    made["rounds"]["node/simd128"]["seconds"] = [9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 0.1]
    record = judge.judged(row, made)
    assert record["medians"]["node/simd128"] == 3.0
    assert record["rates"]["node/simd128"] == row.work / 3


def test_ceiling_of_a_target() -> None:
    row = row_named("matmul 256³")
    made = measured(row, seconds=row.work / 40e9)
    for name, rate in (("mul+add", 50e9), (ceilings.FLOAT[0], 80e9)):
        made["rounds"][f"node/{name}"] = {"seconds": [1.0], "work": rate}
    shares: dict[str, tuple[object, bool]] = {
        c["target"]: (c["figure"], c["passed"])
        for c in judge.judged(row, made)["checks"]
        if c["engine"] == "node" and c["against"] == "ceiling"
    }
    assert shares["relaxed-simd"] == (pytest.approx(0.5), False)
    assert shares["simd128"] == (pytest.approx(0.8), True)


def test_best_peer_is_the_faster() -> None:
    row = row_named("exp 1M")
    made = measured(row, seconds=1.0)
    made["rounds"]["node/tensorflow.js"]["seconds"] = [3.0] * 7
    made["rounds"]["node/simd128"]["seconds"] = [0.2] * 7
    record = judge.judged(row, made)
    figures: dict[str, tuple[object, bool]] = {
        c["target"]: (c["figure"], c["passed"]) for c in record["checks"]
    }
    assert judge.best_peer(record) == f"node/{ORT_WEB}"
    assert figures["relaxed-simd"] == (pytest.approx(1.0), False)
    assert figures["simd128"] == (pytest.approx(5.0), True)


def test_a_goal_of_relaxed_simd_in_node_alone() -> None:
    goal = Goal("ceiling", 0.85, 0.82, node_relaxed=0.92)
    wanted = [goal.wanted(e, t) for e in ENGINES for t in TARGETS]
    assert wanted == [0.85, 0.82, 0.92, 0.82]


def test_a_rate_may_be_enough_by_itself() -> None:
    row = row_named("matmul 1×1024×1024, weights packed ahead")
    made = measured(row, seconds=row.work / 26e9)
    for engine in ENGINES:
        made["rounds"][f"{engine}/stream"] = {"seconds": [1.0], "work": 1e12}
    checks = judge.judged(row, made)["checks"]
    streams = [c for c in checks if c["against"] == "stream"]
    assert len(streams) == 4
    assert all((c["figure"] or 0) < 0.8 and c["passed"] for c in streams)


def test_a_missing_kernel_is_a_miss() -> None:
    record = judge.judged(ROWS[0], {"missing": "no operator 'x'"})
    made = results([record])
    assert judge.misses(made) == [f"{ROWS[0].name}: missing (no operator 'x')"]
    assert "MISS: missing" in table.text(made)


def test_text_shows_each_row_and_marks_misses() -> None:
    records = [judge.judged(row, measured(row, seconds=1.0)) for row in ROWS]
    text = table.text(results(records))
    for row in ROWS:
        assert row.name in text
    assert "an abacus & beads" in text
    assert "matmul 256³: relaxed-simd in wasmtime" in text


def test_readme_takes_complete_results_alone() -> None:
    records = [judge.judged(row, measured(row)) for row in ROWS[:1]]
    readme = f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n"
    written = table.with_table(readme, results(records))
    assert ROWS[0].name in written
    assert "old" not in written
    assert written.startswith("before")
    assert written.endswith("after\n")
    with pytest.raises(TableError, match="run it without names"):
        table.with_table(readme, results(records, complete=False))
    with pytest.raises(TableError, match="lacks the markers"):
        table.with_table("no markers", results(records))


def test_the_page_has_a_place_for_the_table() -> None:
    text = (ROOT / "docs" / "speed.md").read_text()
    assert 1 == text.count(table.BEGIN) == text.count(table.END)


def test_report_is_well_formed_and_shows_each_row() -> None:
    records = [judge.judged(row, measured(row, seconds=1e-3)) for row in ROWS[1:]]
    records.append(judge.judged(ROWS[0], {"missing": "no operator <x>"}))
    page = report(results(records))
    root = ElementTree.fromstring(page)
    titles = {"".join(e.itertext()) for e in root.iter() if e.tag.endswith("h3")}
    assert titles == {row.name for row in ROWS}
    assert "http" not in page.replace("http://www.w3.org/1999/xhtml", "")
    dots = [e for e in root.iter() if e.tag.endswith("circle")]
    floats = [row for row in ROWS[1:] if row.unit != "int8"]
    assert len(dots) == len(floats) * len(TARGETS) * len(ENGINES)


def test_an_unknown_operator_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownOperatorError, match="'soft' has no row; use add, arg_"):
        rows.select(["exp", "soft"])
    assert {row.operator for row in rows.select(["exp", "softmax"])} == {
        "exp",
        "softmax",
    }
    assert rows.select([]) == ROWS


def test_a_mistake_in_the_command_shows_no_traceback(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "bench",
        f"--folder={tmp_path}",
        "--build=.",
        "soft",
    ]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: operator 'soft' has no row")
    assert "Traceback" not in done.stderr


def test_no_npm_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PeerError, match="npm is not installed"):
        peers.install(tmp_path / "peers")


def test_a_failed_installation_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho no network >&2\nexit 7\n")
    npm.chmod(npm.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(PeerError, match=r"(?s)exit code 7.*npm install.*no network"):
        peers.install(tmp_path / "peers")
    npm.write_text("#!/bin/sh\nmkdir node_modules\n")
    with pytest.raises(PeerError, match="did not put a Node"):
        peers.install(tmp_path / "peers")


def test_peers_are_pinned() -> None:
    for name, version in peers.versions().items():
        assert version[0].isdigit(), f"{name}: {version} is no exact version"


def test_differences_are_found() -> None:
    one = np.array([1.0, 2.0], np.float32)
    assert measure.difference(one, one.astype(np.float64), 0) == ""
    assert "differs by 1" in measure.difference(one + 1, one, 0.4)
    assert "differs by nan" in measure.difference(one * np.nan, one, 0.4)
    assert "shape" in measure.difference(one, one[:1], 0.4)


def test_calibration_fills_a_turn() -> None:
    n = measure.calibrated(lambda n: n * 1e-6)
    assert n == pytest.approx(15_000, rel=0.01)


def test_models_hold_equal_nodes() -> None:
    onnx = pytest.importorskip("onnx")
    x = np.ones((2, 2), np.float32)
    data, feeds = models.model(Onnx("MatMul", (x, x), constants=(1,)), 3)
    graph = onnx.load_from_string(data).graph
    assert [n.op_type for n in graph.node] == ["MatMul"] * 3
    assert {tuple(n.input) for n in graph.node} == {("x0", "x1")}
    assert [o.name for o in graph.output] == ["y"]
    assert list(feeds) == ["x0"]
    assert models.enough_nodes(1.0) == 4
    assert models.enough_nodes(1e-9) == models.enough_nodes(-1.0) > 100


# The ceilings compute what they say: otherwise an engine might leave it out.


def instance(text: str) -> tuple[wasmtime.Store, Any]:
    store = wasmtime.Store()
    module = wasmtime.Module(store.engine, text)
    return store, wasmtime.Instance(store, module, []).exports(store)


def steps(name: str, x: Any, a: Any, b: Any) -> Any:
    """A chain's next value, as 4 x 32 bits."""
    if name in ("relaxed_madd (factor)", "mul+add"):
        return x * a + b
    if name == "relaxed_madd (addend)":
        return a * b + x
    x, a = x.view(np.int8 if name.startswith("relaxed") else np.int16), a.view(np.int8)
    a = a if name.startswith("relaxed") else a.view(np.int16)
    products = x.astype(np.int32) * a.astype(np.int32)
    return (products.reshape(4, -1).sum(1) + b.view(np.int32)).astype(np.int32)


@pytest.mark.parametrize("name", list(loops.RATES))
def test_rate_computes_what_it_counts(name: str) -> None:
    store, exports = instance(loops.rate_module(loops.RATES[name]))
    a, b = np.full(4, 0.5, np.float32), np.full(4, 0.25, np.float32)
    total = np.int32(0)
    for chain in range(loops.CHAINS):
        x = np.full(4, chain, np.float32)
        for _ in range(3 * loops.UNROLL):
            x = steps(name, x, a, b)
        total ^= x.view(np.int32)[0]
    assert int(total) == exports["run"](store, 3)


def test_streams_compute_what_they_count() -> None:
    size, data = 256, np.arange(192, dtype=np.float32)
    for kind, arrays in loops.STREAMS.items():
        store, exports = instance(loops.stream_module(kind, 2))
        memory = exports["memory"]
        memory.write(store, data.tobytes(), 64)
        got = exports["run"](store, size, 1)
        after = np.frombuffer(memory.read(store, 64, 64 + 3 * size), np.float32)
        x, y, z = after.reshape(3, 64)
        if kind == "read":
            sums = [np.float32(data[4 * v] + data[32 + 4 * v]) for v in range(8)]
            assert int(np.bitwise_xor.reduce(np.array(sums).view(np.int32))) == got
        assert (x == data[:64]).all()
        assert (y == (data[:64] if kind == "copy" else data[64:128])).all()
        assert (z == (data[:64] + data[64:128] if kind == "add" else data[128:])).all()
        assert arrays == {"read": 1, "copy": 2, "add": 3}[kind]


def test_stream_works_at_every_level_and_size() -> None:
    made = ceilings.Ceilings()
    for size in (1, 4000, *list(ceilings.LEVELS.values())[:2]):
        for kind in loops.STREAMS:
            loop, arguments, work = made.stream(kind, size)
            loop.run(*arguments, 1)
            assert work == loops.STREAMS[kind] * arguments[0]


def test_calls_report_errors() -> None:
    store = wasmtime.Store()
    for code in (0, 5):
        text = loops.NOTHING.replace("i32.const 0", f"i32.const {code}")
        library = wasmtime.Instance(store, wasmtime.Module(store.engine, text), [])
        call = library.exports(store)["ops_call"]
        module = wasmtime.Module(store.engine, loops.CALLS)
        run: Any = wasmtime.Instance(store, module, [call]).exports(store)["run"]
        assert run(store, 0, 0, 0, 3) == code


class Clock:
    """A library whose calls take a given time."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def run(self, n: int) -> float:
        return n * self.seconds


def test_compare_says_how_much_longer_ours_takes() -> None:
    assert pytest.approx(1.25) == compare.ratio([Clock(0.005), Clock(0.004)])


def test_compare_runs_both_builds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compare, "SLOWER", 1000.0)  # nothing is timed here
    build = load_profile(None).folder
    assert [] == compare.compare(build, build, rows.select(["relu"])[:1])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1:] for line in lines[:2]] == [
        [target, "relu", "1K"] for target in TARGETS
    ]


def test_compare_needs_a_whole_build(tmp_path: Path) -> None:
    build = load_profile(None).folder
    with pytest.raises(BuildError, match="give the folder of a whole build"):
        compare.compare(build, tmp_path, rows.select(["relu"])[:1])
