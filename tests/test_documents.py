"""What the documents say of the registry is what the registry says."""

from __future__ import annotations

from toolchain.matrix import with_matrix
from toolchain.profile import ROOT


def test_matrix_of_the_readme_is_fresh() -> None:
    text = (ROOT / "README.md").read_text()
    assert with_matrix(text) == text, "run `doit matrix`"
