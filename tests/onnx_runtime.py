"""ONNX Runtime as the reference of whole models."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import onnxruntime
from ops_wasm32.command_verify import compare
from ops_wasm32.convert import Array
from ops_wasm32.exact import exact_session


@cache
def session_of(path: Path) -> onnxruntime.InferenceSession:
    """ONNX Runtime on a file, with exact products of bytes."""
    return exact_session(path)[0]


def assert_close(got: list[Array], want: list[Array], tolerance: float) -> None:
    """Element by element, within the bound that the model's manifest says."""
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        assert compare(a, b)[1] <= tolerance
