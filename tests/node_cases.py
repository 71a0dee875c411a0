"""ONNX's own node test cases, through the whole pipeline; docs/onnx.md from them.

python tests/node_cases.py --runtime FOLDER [--target T] [--workers N] [PATTERN]

Each case is a graph of one node with inputs and expected outputs. It is built as any
model and run in wasmtime. Inputs that say shapes, axes or sizes, which files of real
models hold as constants, are made constants where the case would need them so.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shutil
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from ops_wasm32.convert import Array

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "onnx.md"
# Settings more than data: an input after the first with so few elements.
SMALL = 64
# Operators whose first input is a setting too.
SETTINGS = (
    *("BlackmanWindow", "ConstantOfShape", "HammingWindow", "HannWindow", "If"),
    *("Loop", "Range"),
)

PASSED, DTYPE, REFUSED, WRONG, FAILED = "passed", "dtype", "refused", "wrong", "failed"


@dataclass(frozen=True)
class Outcome:
    """What became of a case; reason: why it did not pass."""

    case: str
    operator: str
    kind: str
    reason: str = ""


def node_cases(pattern: str = ".") -> dict[str, Any]:
    """The cases by name."""
    from onnx.backend.test.case.node import collect_testcases

    with contextlib.redirect_stdout(io.StringIO()):
        cases = collect_testcases(None)
    # Some stand for operators by the functions that define them: other operators.
    return {
        c.name: c
        for c in cases
        if re.search(pattern, c.name) and c.data_sets and not _expanded(c)
    }


def _expanded(case: Any) -> bool:
    return bool(re.search(r"_expanded(_|$)", case.name))


def operator_of(case: Any) -> str:
    """The operator that a case is about."""
    node = case.model.graph.node[-1] if len(case.model.graph.node) == 1 else None
    for name in case.model.graph.node if node is None else [node]:
        if name.op_type != "Constant":
            domain = name.domain if name.domain != "ai.onnx" else ""
            return f"{domain}.{name.op_type}" if domain else str(name.op_type)
    return "Constant"


def frozen(case: Any, every: bool) -> tuple[onnx.ModelProto, list[Array]]:
    """The case's model and inputs; with `every`, its small inputs as constants."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    given = list(case.data_sets[0][0])
    kept = []
    for i, (value, data) in enumerate(
        zip(list(model.graph.input), given, strict=False)
    ):
        if isinstance(data, np.ndarray | np.generic):
            data = np.asarray(data)
            setting = i or operator_of(case) in SETTINGS
            if every and setting and data.ndim <= 1 and data.size < SMALL:
                model.graph.initializer.append(
                    numpy_helper.from_array(data, value.name)
                )
                model.graph.input.remove(value)
                continue
            kind = value.type.tensor_type
            del kind.shape.dim[:]
            for size in data.shape:
                kind.shape.dim.add().dim_value = size
        kept.append(data)
    return model, kept


def run_case(case: Any, target: str, runtime: list[Path], cache: Path) -> Outcome:
    """Build a case as `doit model` does, and run it.

    First with all sizes known; what that path refuses as a model of any shape; then
    with small inputs made constant.
    """
    from toolchain.spec import SpecError

    operator = operator_of(case)
    outcome = Outcome(case.name, operator, FAILED)
    for build, every in ((_built, False), (_built_open, False), (_built, True)):
        model, inputs = frozen(case, every)
        folder = Path(tempfile.mkdtemp(prefix="ops_case_"))
        try:
            path = folder / "model.onnx"
            path.write_bytes(model.SerializeToString())
            manifest = build(path, target, runtime, cache)
            reason = _compare(case, inputs, manifest, folder)
            kind = WRONG if reason else PASSED
            outcome = Outcome(case.name, operator, kind, reason)
        except SpecError as error:
            text = str(error).replace(f"{folder}/model.onnx: ", "")
            kind = DTYPE if foreign(text) else REFUSED
            outcome = Outcome(case.name, operator, kind, text)
        except Exception as error:
            text = f"{type(error).__name__}: {str(error)[-600:]}"
            outcome = Outcome(case.name, operator, FAILED, text)
        finally:
            shutil.rmtree(folder)
        if outcome.kind in (PASSED, DTYPE, WRONG):
            break
    return outcome


def foreign(text: str) -> bool:
    """Whether the case's own inputs or outputs are of types that modules lack."""
    return all(
        re.match(r"(input|output) '[^']*' (has dtype|is \w+;|has no shape)", line)
        for line in text.splitlines()
    )


def _built(path: Path, target: str, runtime: list[Path], cache: Path) -> dict[str, Any]:
    """The manifest of a model whose sizes are known, beside its file."""
    from toolchain.graph.build import Place
    from toolchain.model.build import Options, build_model

    place = Place(path.parent, cache)
    return build_model(path, Options(target), place, runtime, lambda _: None)


def _built_open(
    path: Path, target: str, runtime: list[Path], cache: Path
) -> dict[str, Any]:
    """The manifest of a model of any shape, beside its file."""
    from toolchain.graph.build import Place
    from toolchain.model.build import Options
    from toolchain.model.open import build_open

    place = Place(path.parent, cache)
    return build_open(path, Options(target), place, runtime, lambda _: None)


def _compare(
    case: Any, inputs: list[Array], manifest: dict[str, Any], folder: Path
) -> str:
    """What is wrong with the results; nothing where they are right."""
    import ops_wasm32
    from ops_wasm32.command_verify import compare

    library = ops_wasm32.load(folder / "model.wasm")
    results = library.call("model", *inputs)
    found = list(results) if isinstance(results, tuple | list) else [results]
    expected = case.data_sets[0][1]
    for i, (want, got) in enumerate(zip(expected, found, strict=True)):
        try:
            np.testing.assert_allclose(
                got, np.asarray(want), rtol=case.rtol, atol=case.atol
            )
            error = compare(got, np.asarray(want))[1]
            bound = max(manifest["tolerance"], INEXACT.get(case.name, 0.0))
            assert error <= bound, f"error {error:.3g}, allowed {bound:.3g}"
            assert np.shape(want) == np.shape(got), f"shape {np.shape(got)}"
        except AssertionError as error:
            return f"output {i}: " + " ".join(str(error).split())[:200]
    return ""


# Cases whose expected results are less exact than the bound of depth, and how far they
# may be off: the onnx package writes them with four decimals, or computes them in
# float32, so that their own rounding adds to ours. Ours are within 4e-7 of what its
# evaluator gives in float64.
_WRITTEN, _COMPUTED = 2e-4, 4e-7
INEXACT = {
    "test_averagepool_2d_ceil_last_window_starts_on_pad": _WRITTEN,
    "test_averagepool_2d_pads_count_include_pad": _COMPUTED,
    "test_averagepool_3d_default": _COMPUTED,
    "test_blackmanwindow": _COMPUTED,
    "test_gridsample_bicubic": _WRITTEN,
    "test_roialign_aligned_false": _WRITTEN,
    "test_roialign_aligned_true": _WRITTEN,
}
_cases: dict[str, Any] = {}


def _work(name: str, target: str, runtime: list[Path], cache: Path) -> Outcome:
    if not _cases:
        _cases.update(node_cases())
    # TVM prints what it refuses; the reason is in the outcome.
    with contextlib.redirect_stdout(io.StringIO()):
        return run_case(_cases[name], target, runtime, cache)


def run_all(
    names: Iterable[str], target: str, runtime: list[Path], cache: Path, workers: int
) -> Iterator[Outcome]:
    """Outcomes of many cases, in their order."""
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        jobs = [pool.submit(_work, n, target, runtime, cache) for n in names]
        for job in jobs:
            yield job.result()


def page(outcomes: list[Outcome], target: str) -> str:
    """docs/onnx.md: operators that are supported, in part, or not."""
    by: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        by[outcome.operator].append(outcome)
    full: list[str] = []
    part: list[str] = []
    none: list[str] = []
    foreign: list[str] = []
    for operator, found in sorted(by.items()):
        ours = [o for o in found if o.kind != DTYPE]
        passed = [o for o in ours if o.kind == PASSED]
        if not ours:
            foreign.append(f"`{operator}`")
        elif len(passed) == len(ours):
            full.append(f"`{operator}` {len(passed)}")
        else:
            rest = _reasons(o for o in ours if o.kind != PASSED)
            row = f"| `{operator}` | {len(passed)} of {len(ours)} | {rest} |"
            (part if passed else none).append(row)
    count = {k: sum(o.kind == k for o in outcomes) for k in (PASSED, DTYPE)}
    head = "| operator | cases passed | the others |\n|---|---|---|"
    return f"""# Operators in models

Generated by `doit coverage`: the node test cases of onnx {onnx.__version__}, each
built as a model for {target} and run in wasmtime against its expected outputs.

Of {len(outcomes)} cases {count[DTYPE]} have inputs or outputs of types that modules do
not take (float16, float64, strings, sequences, small and unsigned integers).
**{count[PASSED]} of the other {len(outcomes) - count[DTYPE]} pass.** Inputs that say
shapes, axes or sizes are made constants where the case needs that, as they are in the
files of most models; `doit model --file net.onnx --value axes=1,2` makes an input one,
with a number for each element or one for all.

## Supported: every case passes
{", ".join(full) or "None."}

## Supported in part
{head}
{chr(10).join(part)}

## Not supported
{head}
{chr(10).join(none)}

Without a case in these types: {", ".join(foreign) or "none"}.
"""


def _reasons(outcomes: Iterable[Outcome]) -> str:
    """The reasons, each once and short."""
    texts = dict.fromkeys(_short(o) for o in outcomes)
    return "; ".join(list(texts)[:3]) + ("; ..." if len(texts) > 3 else "")


# What errors call a node: its operator, then its name or its number and results.
_NODE = re.compile(
    r"^\s*\S+( \(domain \S+\))?, node (/?(\d+ \(of [^)]*\)|[^\s:/]+))+(: |$)"
)


def _short(outcome: Outcome) -> str:
    if outcome.kind == WRONG:
        return "results differ"
    if outcome.kind == FAILED:
        return "fails to build"
    lines = outcome.reason.splitlines()
    text = lines[1] if "these operators are not supported" in lines[0] else lines[0]
    text = _NODE.sub("", text)
    text = re.sub(r"cannot be converted.*", "cannot be converted", text)
    return text.partition(";")[0].replace("|", "/")[:120] or "no converter"


def main() -> int:
    """Run the cases; write the page where all were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pattern", nargs="?", default=".")
    parser.add_argument("--target", default="simd128")
    parser.add_argument("--runtime", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    sources = sorted((ROOT / "runtime_stub").glob("*.c"))
    runtime = [options.runtime / f"{s.stem}.o" for s in sources]
    cache = ROOT / "build" / "cache" / options.target
    names = list(node_cases(options.pattern))
    outcomes = []
    found = run_all(names, options.target, runtime, cache, options.workers)
    for i, outcome in enumerate(found, 1):
        outcomes.append(outcome)
        if outcome.kind not in (PASSED, DTYPE):
            print(f"{outcome.kind} {outcome.case}: {outcome.reason}", flush=True)
        if i % 100 == 0:
            print(f"{i} of {len(names)}", file=sys.stderr, flush=True)
    passed = sum(o.kind == PASSED for o in outcomes)
    foreign = sum(o.kind == DTYPE for o in outcomes)
    print(f"{passed} of {len(outcomes) - foreign} cases pass; {foreign} of other types")
    if options.pattern == ".":
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(page(outcomes, options.target))
    return 0


if __name__ == "__main__":
    sys.exit(main())
