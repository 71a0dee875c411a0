"""The mutation run: a few mutants of the runtime, which its tests must notice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from mutant_places import EQUIVALENT, Mutant, mutants_of, read_equivalent
from mutants import LEFT_OUT

from toolchain.link.clang import RUNTIME
from toolchain.profile import ROOT

MUTANTS = Path(__file__).with_name("mutants.py")


@pytest.fixture(scope="module")
def every() -> list[Mutant]:
    return [m for path in sorted(RUNTIME.glob("*.c")) for m in mutants_of(path)]


SOURCE = """\
#define N 3 /* 4 */
int f(int a2) {
  return a2 <= 0x10 && a2 != 1u ? 0 : 2;
  g("5 < 6", '7', p->x << 1, 1.5); // 8
}
"""


def test_what_is_changed(tmp_path: Path) -> None:
    path = tmp_path / "some.c"
    path.write_text(SOURCE)
    found = [(m.line, m.before, m.after) for m in mutants_of(path)]
    assert found == [
        *((3, "<=", "<"), (3, "0x10", "17"), (3, "0x10", "15"), (3, "&&", "||")),
        *((3, "!=", "=="), (3, "1", "2"), (3, "1", "0"), (3, "0", "1")),
        *((3, "2", "3"), (3, "2", "1"), (4, "1", "2"), (4, "1", "0")),
    ]


def test_the_equivalent_ones_are_there(every: list[Mutant]) -> None:
    """Each line of mutants.txt is one of the runtime as it is, with a reason."""
    listed = read_equivalent(EQUIVALENT)
    assert set(listed) <= {m.key for m in every}
    assert all(listed.values())


def test_what_is_left_out_is_there() -> None:
    """A test that pytest does not know by that name would be run for each mutant."""
    files = sorted({test.partition("::")[0] for test in LEFT_OUT})
    words = [sys.executable, "-m", "pytest", "-n0", "--collect-only", "-q", *files]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    for test in LEFT_OUT:
        assert f"\n{test}" in f"\n{done.stdout}"


def test_some_are_noticed() -> None:
    words = ["--quick", "--only=shape.c", "--text=if (axis >= -rank && axis < rank)"]
    done = subprocess.run(
        [sys.executable, MUTANTS, *words], capture_output=True, text=True, check=False
    )
    assert done.stdout.endswith(
        "3 mutants tried: 3 killed, 0 survive, 0 equivalent left out, "
        "0 do not compile; 100.0 % killed\n"
    ), done.stdout + done.stderr
