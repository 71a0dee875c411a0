"""Exact: ONNX Runtime with settings that give right results on every processor.

Its kernels for products of uint8 by int8 saturate sums of two in 16 bits on x86 without
VNNI, by as much as 90 of 255 levels. The session's entry x64quantprecision takes exact
ones; files that it refuses run without optimisations, which leaves such products to
float32.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnxruntime

PRECISE, PLAIN = "session.x64quantprecision = 1", "graph optimisations off"


def exact_session(model: Path | bytes) -> tuple[onnxruntime.InferenceSession, str]:
    """A session of one thread, and the setting that makes it exact.

    Errors: ImportError without ONNX Runtime; its own for a file that it does not take.
    """
    import onnxruntime as ort

    source = str(model) if isinstance(model, Path) else model
    for setting in (PRECISE, PLAIN):
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        if setting == PRECISE:
            options.add_session_config_entry("session.x64quantprecision", "1")
        else:
            options.graph_optimization_level = (
                ort.GraphOptimizationLevel.ORT_DISABLE_ALL
            )
        try:
            session = ort.InferenceSession(
                source, options, providers=["CPUExecutionProvider"]
            )
        except Exception:  # its classes are private, and differ by version
            if setting == PLAIN:
                raise
        else:
            return session, setting
    raise AssertionError("the last setting returns or raises")
