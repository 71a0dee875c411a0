"""A sample of ONNX's node test cases, built as models and run in wasmtime.

`doit coverage` runs all of them and writes docs/onnx.md.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from abi import runtime_objects
from node_cases import ROOT, node_cases, run_case

from toolchain.profile import load_profile

# What converters of our own make, one or two cases each, and what exporters write.
SAMPLE = (
    *("acos_example", "add_bcast", "attention_3d", "basic_conv_with_padding"),
    *("batchnorm_example", "bitshift_left_int32_shift_ge_width", "clip_example"),
    *("convinteger_with_padding", "convtranspose_output_shape", "cumsum_2d_int32"),
    *("dequantizelinear_axis", "dynamicquantizelinear", "gather_0"),
    *("gather_elements_negative_indices", "gathernd_example_int32", "gru_defaults"),
    *("isinf_negative", "isinf_positive", "layer_normalization_4d_axis1", "lrn"),
    *("lstm_defaults", "lstm_with_initial_bias", "matmulinteger", "max_example"),
    *("pow_types_int32_int32", "qlinearconv", "qlinearmatmul_2D_int8_float32"),
    *("quantizelinear_axis", "resize_downsample_scales_cubic_align_corners"),
    *("resize_tf_crop_and_resize", "resize_upsample_scales_linear", "scan9_sum"),
    *("scatter_elements_with_negative_indices", "simple_rnn_defaults"),
    *("scatternd", "scatternd_add", "softmax_axis_1", "sum_example"),
)


@pytest.mark.parametrize("name", SAMPLE)
def test_node_case(name: str, tmp_path: Path, pytestconfig: pytest.Config) -> None:
    file = pytestconfig.getoption("--profile-file")
    profile = load_profile(Path(file) if file else None)
    target = profile.targets[0]
    runtime = runtime_objects(target, profile.folder)
    case = node_cases(f"^test_{name}$")[f"test_{name}"]
    outcome = run_case(case, target, runtime, ROOT / "build" / "cache" / target)
    assert ("passed", "") == (outcome.kind, outcome.reason)
