"""State: what the runtime writes is ops_state, and nothing in its own files."""

from __future__ import annotations

import re

import pytest

from toolchain.link.clang import RUNTIME, compile_ir
from toolchain.targets import TARGETS

# Definitions of variables that are written, without the constants.
_VARIABLE = re.compile(r"^@([\w.]+) = (?!external )[^\n]*\bglobal\b", re.M)
# 51 KB that only elementwise operators link: nothing in them outlives a call.
SCRATCH = {"buffers"}


@pytest.mark.parametrize("target", TARGETS)
def test_no_file_has_variables_of_its_own(target: str) -> None:
    found = {
        name
        for source in sorted(RUNTIME.glob("*.c"))
        for name in _VARIABLE.findall(compile_ir(source, TARGETS[target]))
    }
    assert found == SCRATCH
