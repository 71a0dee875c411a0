"""The bench of models: its rows, figures, verdicts and tables; nothing is timed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import onnx
import pytest
from abi import runtime_objects

from bench.errors import BuildError, MismatchError, TableError, UnknownModelError
from bench.library import Node, NodeProcess, Wasmtime
from bench.measure import NODE_LIBRARIES
from bench.records import (
    MeasuredModel,
    MeasuredOpen,
    ModelRecord,
    ModelResults,
    Rounds,
)
from bench.row import ENGINES, TARGETS
from bench.whole import judge, measure, open_sizes, open_table, rows, table
from bench.whole.measure import NATIVE, WEB
from bench.whole.open_sizes import FIXED, OPEN, PLAN
from bench.whole.report import BARS, report
from bench.whole.rows import BUILT, OPEN_ROWS, ROWS, OpenRow, Row
from toolchain import recipe
from toolchain.graph.build import Place
from toolchain.model.build import Options, build_model
from toolchain.profile import ROOT
from toolchain.recipe import Net
from toolchain.tasks import documents, models

HERE = models.sources(heavy=False)
HERE |= models.sources(heavy=True)


def measured(seconds: float = 1.0, web: bool = True) -> MeasuredModel:
    """Made-up rounds: ours takes `seconds`, everybody else 1 s."""
    ours = [*(f"{e}/{t}" for e in ENGINES for t in TARGETS), "node/run"]
    times = dict.fromkeys(ours, seconds) | {NATIVE: 1.0} | ({WEB: 1.0} if web else {})
    starts = [f"node/{t}" for t in TARGETS]
    starts += [name + more for name in ("node/run", WEB) for more in ("", ", first")]
    return {
        "rounds": {name: {"seconds": [s] * 5, "work": 1} for name, s in times.items()},
        "notes": [],
        "starts": {name: [0.03, 9.0, 0.01] for name in starts},
        "memory": {target: {"arena": 110, "lower_bound": 100} for target in BUILT},
        "code": dict.fromkeys(BUILT, 16 << 10),
    }


def measured_open(row: OpenRow, seconds: float = 1.0) -> MeasuredOpen:
    """Made-up rounds: the open module takes `seconds`, the others 1 s."""
    times = {OPEN: seconds, FIXED: 1.0, PLAN: 30e-6}
    names = {
        f"{e}/{t}/{w}": s for e in ENGINES for t in TARGETS for w, s in times.items()
    }
    rounds: dict[str, Rounds] = {
        n: {"seconds": [s] * 5, "work": 1.0} for n, s in names.items()
    }
    return {
        "rounds": {open_sizes.label(s): {**rounds} for s in row.sizes},
        "code": {target: [140, *[100] * len(row.sizes)] for target in BUILT},
        "steps": 500,
    }


def results(records: list[ModelRecord], complete: bool = True) -> ModelResults:
    """Made-up results of a run."""
    return {
        "date": "2000-01-01 00:00 UTC",
        "machine": "an abacus & beads, 1 core",
        "versions": {"wasmtime": "1.2.3"},
        "complete": complete,
        "seconds": 1,
        "rounds": 5,
        "web_bytes": 14_000_000,
        "web_call": 2e-5,
        "rows": records,
        "open": [judge.judged_open(row, measured_open(row)) for row in OPEN_ROWS],
    }


def all_rows(seconds: float = 1.0) -> ModelResults:
    return results([judge.judged(row, measured(seconds)) for row in ROWS])


def row_of(model: str) -> Row:
    return next(row for row in ROWS if row.model == model)


def test_rows_have_names_and_folders_of_their_own() -> None:
    assert len(ROWS) == len({row.name for row in ROWS})
    assert len(ROWS) == len({row.folder(Path()) for row in ROWS})


def test_every_model_has_a_row() -> None:
    ours = {name for name in HERE if not name.startswith("light_")}
    assert ours == {row.model for row in ROWS}
    assert ours >= {row.model for row in OPEN_ROWS}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_options_of_a_row_are_those_of_a_build(row: Row) -> None:
    Options("simd128", external=True, **row.options)


def test_every_target_that_runs_is_built() -> None:
    first = {NODE_LIBRARIES[target][0] for target in TARGETS}
    assert set(BUILT) == first | set(TARGETS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_file_of_a_row_is_one_of_onnx(row: Row, tmp_path: Path) -> None:
    bench = measure.Bench([], tmp_path, tmp_path / "built", ROOT / "models")
    source = models.file_of(HERE[row.model], bench.models)
    assert bench.onnx(row) == (ROOT / row.onnx if row.onnx else source)
    assert bench.onnx(row).suffix == ".onnx"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_goal_has_a_figure(row: Row) -> None:
    record = judge.judged(row, measured())
    goals = [f for f in record["figures"] if f["wanted"] is not None]
    assert goals == record["checks"]
    assert all(c["figure"] is not None for c in goals)
    found = {c["what"] for c in goals}
    named = ("web", "native", "code", "start")
    assert found == {"arena", *(n for n in named if getattr(row, n) is not None)}


def test_a_goal_is_the_most_that_a_figure_may_be() -> None:
    row = Row("net", "net", web=(0.5, 0.7), native=2.2, code=16 << 10, start=30e-3)
    passed = {
        (c["what"], c["engine"], c["target"]): c["passed"]
        for c in judge.judged(row, measured(0.6))["checks"]
    }
    assert passed == {
        **{("web", e, "relaxed-simd"): False for e in ENGINES},
        **{("web", e, "simd128"): True for e in ENGINES},
        # simd128 has no goal against native code.
        **{("native", e, "relaxed-simd"): True for e in ENGINES},
        **{("code", "", t): True for t in BUILT},  # just so
        ("arena", "", ""): True,
        **{("start", "node", t): True for t in TARGETS},  # the median
    }


def test_misses_are_named() -> None:
    row = Row("net", "net", web=(0.5, 2.0), native=0.9, code=100, start=1e-3)
    made = measured()
    made["memory"]["simd128"] = {"arena": 150, "lower_bound": 100}
    found = judge.misses(results([judge.judged(row, made)]))
    assert len(found) == 2 + 2 + 3 + 1 + 2
    for text in (
        "relaxed-simd in wasmtime, 1.000 x the time of onnxruntime-web, wanted at most",
        "relaxed-simd in Node, 1.000 x the time of native ONNX Runtime, wanted at most",
        "relaxed-simd-v8, 16,384 bytes of code, wanted at most 100",
        "an arena of 1.50 x its bound, wanted at most 1.1 x",
        "simd128 in Node, a start of 30.0 ms, wanted at most 1",
    ):
        assert any(line.startswith(f"net: {text}") for line in found), text


def test_without_the_peer_its_goals_are_missed() -> None:
    record = judge.judged(row_of("lenet"), measured(0.1, web=False))
    web = [c for c in record["checks"] if c["what"] == "web"]
    assert [False] * 4 == [c["passed"] for c in web]
    made = results([record])
    assert "nothing to compare with: the time of onnxruntime-web" in table.text(made)
    report(made)


def test_text_shows_each_row_and_marks_misses() -> None:
    text = table.text(all_rows())
    for row in ROWS:
        assert row.name in text
    assert "1.00! / 1.00! (0.57 / 0.7)" in text
    assert "an abacus & beads" in text
    assert "a module of 14,000,000 bytes" in text
    assert "ResNet-50: without Winograd" in text


def test_readme_takes_complete_results_alone() -> None:
    readme = f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n"
    written = table.with_table(readme, all_rows())
    assert all(f"| {row.name} |" in written for row in ROWS)
    assert "old" not in written
    assert written.startswith("before")
    assert written.endswith("after\n")
    with pytest.raises(TableError, match="run it without names of models"):
        table.with_table(readme, results([], complete=False))
    with pytest.raises(TableError, match="lacks the markers"):
        table.with_table("no markers", all_rows())


def test_the_page_has_a_place_for_the_table() -> None:
    text = (ROOT / "docs" / "speed.md").read_text()
    for t in (table, open_table):
        assert 1 == text.count(t.BEGIN) == text.count(t.END)


def test_report_is_well_formed_and_shows_each_row() -> None:
    page = report(all_rows())
    root = ElementTree.fromstring(page)
    titles = {"".join(e.itertext()) for e in root.iter() if e.tag.endswith("h3")}
    opened = {f"{r.title}, {open_sizes.label(s)}" for r in OPEN_ROWS for s in r.sizes}
    assert titles == {row.name for row in ROWS} | opened
    assert "http" not in page.replace("http://www.w3.org/1999/xhtml", "")
    bars = [e for e in root.iter() if e.tag.endswith("rect")]
    pairs = 2 * len(ENGINES) * len(TARGETS)
    assert len(bars) == len(ROWS) * len(BARS) + len(opened) * pairs


# Open sizes


def test_goals_of_open_sizes_are_the_most_that_a_figure_may_be() -> None:
    row = OPEN_ROWS[0]
    record = judge.judged_open(row, measured_open(row))
    assert all(check["passed"] for check in record["checks"])
    count = len(row.sizes) * len(ENGINES) * len(TARGETS) * 2 + len(BUILT)
    assert count == len(record["checks"])
    made = measured_open(row, 1.04)
    made["steps"] = 499
    made["code"] = {target: [141, 100, 100] for target in BUILT}
    missed = results([judge.judged(r, measured()) for r in ROWS])
    missed["open"] = [judge.judged_open(row, made)]
    texts = [m for m in judge.misses(missed) if m.startswith(row.title)]
    assert count == len(texts)
    for text in (
        "relaxed-simd in wasmtime, seq 32, 1.040 x the time of the module for these "
        "sizes, wanted at most 1.03 x",
        "simd128 in Node, seq 128, 30.1 µs to plan 500 nodes, wanted at most 30",
        "simd128, 1.410 x its bytes, wanted at most 1.4 x",
    ):
        assert f"{row.title}: {text}" in texts


def test_open_sizes_have_a_table() -> None:
    text = table.text(all_rows(), open_table.text(all_rows()))
    none = all_rows()
    none["open"] = []
    assert all(row.title in text for row in OPEN_ROWS)
    page = f"{open_table.BEGIN}\nold\n{open_table.END}\n"
    written = open_table.with_table(page, all_rows())
    assert all(f"| {row.title} |" in written for row in OPEN_ROWS)
    assert "old" not in written
    with pytest.raises(TableError, match="run it without names of models"):
        open_table.with_table(page, none)
    assert [] == open_table.text(none)


@pytest.mark.parametrize("row", OPEN_ROWS, ids=lambda row: row.key)
def test_a_recipe_leaves_the_sizes_of_a_row_open(row: OpenRow) -> None:
    made = recipe.load_recipe(HERE[row.model]).build(**row.arguments)
    named = {
        d.dim_param for i in made.graph.input for d in i.type.tensor_type.shape.dim
    }
    assert named - {""} == set(row.arguments.values())
    assert all(set(sizes) == set(row.arguments.values()) for sizes in row.sizes)


# The commands


def bench_command(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", *words]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_an_unknown_model_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UnknownModelError, match="'net' has no row; use lenet, lenet_"):
        rows.select(["lenet", "net"])
    found, opened = rows.select(["lstm", "unet_open", "lenet"])
    assert ["lenet", "lstm"] == [row.model for row in found]
    assert ["unet_open"] == [row.key for row in opened]
    assert rows.select([]) == (ROWS, OPEN_ROWS)
    done = bench_command(f"--folder={tmp_path}", "--build=.", "models", "net")
    assert done.returncode == 1
    assert done.stderr.startswith("error: model 'net' has no row")
    assert "Traceback" not in done.stderr


def test_the_command_line_says_what_is_built() -> None:
    both = ["bench_models:a:*", "bench_models:b:*"]
    for words, tasks in (
        (["bench", "models"], both),
        (["-n", "1", "bench", "models", "b", "net"], both[1:]),
        (["bench", "models", "net"], []),
        (["bench", "a"], []),
        (["bench"], []),
        (["build"], []),
    ):
        assert tasks == documents.bench_models(words, ["a", "b"])


def test_a_model_that_is_not_built_is_named(tmp_path: Path) -> None:
    bench = measure.Bench([], tmp_path, tmp_path, ROOT / "models")
    with pytest.raises(BuildError, match=r"missing; run doit bench models lenet"):
        measure.measured(bench, row_of("lenet"))


def test_each_table_is_written_where_it_was_measured(tmp_path: Path) -> None:
    page = tmp_path / "speed.md"
    shutil.copy(ROOT / "docs" / "speed.md", page)
    words = (f"--folder={tmp_path}", f"--page={page}")
    done = bench_command(*words)
    assert done.returncode == 1
    assert "holds no results; run doit bench first" in done.stderr
    (tmp_path / "models.json").write_text(json.dumps(all_rows()))
    done = bench_command(*words)
    assert done.returncode == 0
    assert "results.json is missing: its table stays as it is" in done.stdout
    before, after = (
        (f.parent / f.name).read_text() for f in (ROOT / "docs" / "speed.md", page)
    )
    assert "an abacus" in after.partition(table.BEGIN)[2]
    assert before.partition(table.BEGIN)[0] == after.partition(table.BEGIN)[0]


# A small model, as the bench runs it


@pytest.fixture(scope="module")
def module(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dense layer for simd128, its weights beside it, and its ONNX file."""
    folder = tmp_path_factory.mktemp("bench_models")
    net = Net("net")
    x = net.input("x", (2, 8))
    onnx.save(net.model(y=(net.dense(x, (8, 4)), (2, 4))), folder / "net.onnx")
    runtime = runtime_objects("simd128")
    place = Place(folder, folder / "cache")
    options = Options("simd128", external=True)
    build_model(folder / "net.onnx", options, place, runtime, lambda _: None)
    return folder / "net.wasm"


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is not installed")
def test_a_model_runs_in_both_engines(module: Path) -> None:
    x = np.arange(16, dtype=np.float32).reshape(2, 8)
    native = measure.Native(module.with_suffix(".onnx"), [x])
    wanted = native.results()
    process = NodeProcess(["node"], "library.mjs")
    try:
        hosts: measure.Hosts = {
            ("wasmtime", "simd128"): (Wasmtime(module), module),
            ("node", "simd128"): (Node(process, module), module),
        }
        row = Row("net", "net")
        measure.compare(row, hosts, [x], wanted)
        with pytest.raises(MismatchError, match="net: wasmtime simd128: differs by 1"):
            measure.compare(row, hosts, [x], [wanted[0] + 1])
        loader = measure.Loader(module, measure.model_of_module(module), [x], process)
        assert process.ask(do="start", library=str(module)) > 0
        assert all(s > 0 for s in (loader.seconds, loader.run(2), native.run(2)))
        assert all(host.run(2) > 0 for host, _ in hosts.values())
    finally:
        process.close()
