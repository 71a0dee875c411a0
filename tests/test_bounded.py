"""What holds where no bound in ULP does: sin and cos of huge arguments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import ops_wasm32
import pytest

from toolchain.profile import load_profile

PROFILE = load_profile(None)


def folders() -> list[Path]:
    return [PROFILE.folder / target for target in PROFILE.targets]


@pytest.mark.parametrize("folder", folders(), ids=lambda f: f.name)
@pytest.mark.parametrize("function", ["sin", "cos"])
def test_stays_within_one(function: str, folder: Path) -> None:
    library = ops_wasm32.load(folder / "ops_wasm32.wasm")
    magnitudes = np.arange(0x48000000, 0x7F800000, 997, dtype=np.uint32).view(
        np.float32
    )
    x = np.concatenate([magnitudes, -magnitudes])
    assert np.max(np.abs(library.call(function, x))) <= 1
