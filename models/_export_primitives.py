"""How tests/mindspore_primitives.zip was made: MindIR of one operation each.

By MindSpore 2.10.0 on a CPU, as in _export_mindspore.py. Beside each <name>.mindir the
archive holds <name>.npz: inputs a, b, ... and MindSpore's own results out0, ...
"""

from __future__ import annotations

import importlib
import io
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mindspore as ms
import numpy as np
from mindspore import Tensor, nn, ops

RNG = np.random.default_rng(7)


def normal(*shape: int) -> Any:
    """An input of normally distributed numbers."""
    return RNG.standard_normal(shape).astype(np.float32)


def positive(*shape: int) -> Any:
    """An input of positive numbers."""
    return RNG.uniform(0.2, 2, shape).astype(np.float32)


def integers(*shape: int) -> Any:
    """An input of small numbers that are no fractions."""
    return RNG.integers(0, 4, shape).astype(np.int32)


x, image, volume = normal(2, 3, 5), normal(1, 4, 9, 9), normal(1, 2, 5, 6, 5)
row = normal(1, 4, 12)
ms.set_seed(3)

UNARY = (
    "abs acos asin atan ceil cos cosh elu erf exp floor gelu hardsigmoid hardswish "
    "log_softmax logsigmoid mish neg reciprocal relu relu6 round selu sigmoid sign "
    "silu sin sinh softplus softsign square tan tanh expm1 leaky_relu isnan "
    "logical_not hardshrink softshrink acosh asinh atanh erfc tanhshrink isfinite "
    "isinf celu trunc"
)
POSITIVE = "log log1p rsqrt sqrt log2"
BINARY = (
    "add sub mul div maximum minimum pow equal not_equal less less_equal "
    "greater greater_equal squared_difference floor_div floor_mod fmod atan2 "
)
REDUCTIONS = "sum mean prod amax amin argmax argmin std var logsumexp all any"

# The text of an expression over a, b, c, or what is called with them.
Case = tuple[Callable[..., Any] | str, tuple[Any, ...]]
CASES: dict[str, Case] = {}
for n in UNARY.split():
    given = x > 0 if n == "logical_not" else x * 0.3 if n.startswith(("a", "e")) else x
    given = abs(given) + 1 if n == "acosh" else given
    CASES[n] = (getattr(ops, n), (given,))
for n in POSITIVE.split():
    CASES[n] = (getattr(ops, n), (positive(2, 3, 5),))
for n in BINARY.split():
    if hasattr(ops, n):
        CASES[n] = (getattr(ops, n), (positive(2, 3, 5), positive(3, 1)))
for n in REDUCTIONS.split():
    given = x > 0 if n in ("all", "any") else x
    CASES[n] = (f"ops.{n}(a, 1)", (given,))
    if n in ("sum", "mean", "amax", "amin"):
        keep = "keep_dims" if n in ("sum", "mean") else "keepdims"
        CASES[f"{n}_kept"] = (
            f"ops.{n}(a, (0, 2), {keep}=True)".replace(
                "ops.sum(a, (0, 2), keep_dims", "ops.sum(a, (0, 2), keepdim"
            ),
            (x,),
        )
        CASES[f"{n}_all"] = (f"ops.{n}(a)", (x,))
CASES |= {
    "adds": ("a + 2.5", (x,)),
    "subs": ("2.5 - a", (x,)),
    "muls": ("a * 2.5", (x,)),
    "divs": ("a / 2.5", (x,)),
    "rdivs": ("2.5 / a", (positive(2, 3),)),
    "powers": ("a ** 3", (x,)),
    "integer_sum": (ops.add, (integers(2, 3), integers(3))),
    "integer_mul": (ops.mul, (integers(2, 3), integers(3))),
    "integer_muls": ("a * 3 + 1", (integers(2, 3),)),
    "logical_and": (ops.logical_and, (x > 0, x < 1)),
    "logical_or": (ops.logical_or, (x > 0, x < 1)),
    "logical_xor": (ops.logical_xor, (x > 0, x < 1)),
    "matmul": (ops.matmul, (normal(4, 5), normal(5, 6))),
    "matmul_batched": (ops.matmul, (normal(2, 3, 4, 5), normal(5, 6))),
    "matmul_transposed": (ops.MatMul(transpose_a=True), (normal(5, 4), normal(5, 6))),
    "batch_matmul": (ops.BatchMatMul(False, True), (normal(2, 4, 5), normal(2, 6, 5))),
    "bmm": (ops.bmm, (normal(2, 4, 5), normal(2, 5, 6))),
    "addmm": (ops.addmm, (normal(4, 6), normal(4, 5), normal(5, 6))),
    "addcmul": ("ops.addcmul(a, a, a, 0.5)", (x,)),
    "lerp": ("ops.lerp(a, a * 2, 0.5)", (x,)),
    "tile": ("ops.tile(a, (2, 1, 3))", (x,)),
    "repeat_interleave": ("ops.repeat_interleave(a, 2, 1)", (x,)),
    "broadcast_to": ("ops.broadcast_to(a, (4, 2, 3))", (normal(2, 1),)),
    "reshape": ("ops.reshape(a, (3, -1))", (x,)),
    "expand_dims": ("ops.expand_dims(a, 1)", (x,)),
    "squeeze": ("ops.squeeze(a, 1)", (normal(2, 1, 3),)),
    "squeeze_all": (ops.squeeze, (normal(2, 1, 3, 1),)),
    "flatten": (ops.flatten, (x,)),
    "swapaxes": ("ops.swapaxes(a, 0, 2)", (x,)),
    "transpose": ("ops.transpose(a, (2, 0, 1))", (x,)),
    "concat": ("ops.concat((a, b, a), 1)", (x, x[:, :1])),
    "stack": ("ops.stack((a, b), 1)", (x, x)),
    "unstack": ("ops.unstack(a, 1)", (x,)),
    "split": ("ops.split(a, 2, 1)", (normal(2, 6, 3),)),
    "split_sizes": ("ops.split(a, (1, 3, 2), 1)", (normal(2, 6, 3),)),
    "chunk": ("ops.chunk(a, 3, 1)", (normal(2, 6, 3),)),
    "slice": ("a[:, 1:3, ::2]", (x,)),
    "slice_primitive": ("ops.slice(a, (0, 1, 2), (2, 2, 2))", (x,)),
    "index": ("a[1]", (x,)),
    "index_last": ("a[..., -1]", (x,)),
    "index_new": ("a[:, None, 1:]", (x,)),
    "strided_slice": (
        "ops.strided_slice(a, (0, 0, 1), (2, 3, 5), (1, 2, 2))",
        (x,),
    ),
    "narrow": ("ops.narrow(a, 1, 1, 2)", (x,)),
    "gather": ("ops.gather(a, b, 1)", (x, integers(2, 2) % 3)),
    "gather_elements": (
        "ops.gather_elements(a, 1, b)",
        (x, integers(2, 2, 5) % 3),
    ),
    "gather_nd": (ops.gather_nd, (x, integers(3, 2) % 2)),
    "embedding": (nn.Embedding(9, 4), (integers(2, 3),)),
    "one_hot": (
        "ops.one_hot(a, 5, Tensor(1.0), Tensor(0.0))",
        (integers(2, 3),),
    ),
    "where": (ops.where, (x > 0, x, x * 2)),
    "select": (ops.select, (x > 0, x, x * 2)),
    "masked_fill": ("ops.masked_fill(a, b, -10000.0)", (x, x > 0)),
    "cast": ("ops.cast(a, ms.int32)", (x * 3,)),
    "cast_float": ("ops.cast(a, ms.float32)", (integers(2, 3),)),
    "clamp": ("ops.clamp(a, -0.5, 0.5)", (x,)),
    "clip_by_value": ("ops.clip_by_value(a, Tensor(-0.5), Tensor(0.5))", (x,)),
    "cumsum": ("ops.cumsum(a, 1)", (x,)),
    "topk": ("ops.topk(a, 2)", (x,)),
    "sort": ("ops.sort(a, -1)", (x,)),
    "triu": ("ops.triu(a)", (x,)),
    "tril": ("ops.tril(a)", (x,)),
    "flip": ("ops.flip(a, (1,))", (x,)),
    "roll": ("ops.roll(a, 1, 1)", (x,)),
    "zeros_like": ("ops.zeros_like(a) + a", (x,)),
    "ones_like": ("ops.ones_like(a) + a", (x,)),
    "full": ("a + ops.full((2, 3, 5), 1.5, dtype=ms.float32)", (x,)),
    "softmax": ("ops.softmax(a, 1)", (x,)),
    "prelu": (nn.PReLU(4), (image,)),
    "glu": ("ops.glu(a, 1)", (normal(2, 4),)),
    "conv2d": (nn.Conv2d(4, 6, 3, has_bias=True), (image,)),
    "conv2d_same": (nn.Conv2d(4, 6, 3, stride=2, pad_mode="same"), (image,)),
    "conv2d_same_even": (nn.Conv2d(4, 6, 2, stride=1, pad_mode="same"), (image,)),
    "conv2d_valid": (
        nn.Conv2d(4, 6, (3, 2), stride=(1, 2), pad_mode="valid"),
        (image,),
    ),
    "conv2d_pad": (
        nn.Conv2d(4, 6, 3, pad_mode="pad", padding=(1, 2, 0, 1), dilation=2, group=2),
        (image,),
    ),
    "conv1d": (nn.Conv1d(4, 6, 3), (row,)),
    "conv2d_transpose": (
        nn.Conv2dTranspose(4, 6, 3, stride=2, pad_mode="pad", padding=1),
        (image,),
    ),
    "conv2d_transpose_same": (nn.Conv2dTranspose(4, 6, 3, stride=2), (image,)),
    "conv3d": (nn.Conv3d(2, 3, 3), (volume,)),
    "batch_norm": (nn.BatchNorm2d(4).set_train(False), (image,)),
    "batch_norm_1d": (nn.BatchNorm1d(5).set_train(False), (normal(3, 5),)),
    "instance_norm": (nn.InstanceNorm2d(4), (image,)),
    "group_norm": (nn.GroupNorm(2, 4), (image,)),
    "layer_norm": (nn.LayerNorm((3, 5), begin_norm_axis=1, begin_params_axis=1), (x,)),
    "rms_norm": ("ops.rms_norm(a, Tensor(np.ones(5, np.float32)))[0]", (x,)),
    "lrn": ("ops.lrn(a)", (image,)),
    "normalize": ("ops.L2Normalize(axis=1)(a)", (x,)),
    "max_pool": (nn.MaxPool2d(3, 2), (image,)),
    "max_pool_same": (nn.MaxPool2d(2, 2, pad_mode="same"), (image,)),
    "max_pool_pad": (nn.MaxPool2d(3, 2, pad_mode="pad", padding=1), (image,)),
    "max_pool_ceil": (
        nn.MaxPool2d(2, 2, pad_mode="pad", padding=0, ceil_mode=True),
        (image,),
    ),
    "avg_pool": (nn.AvgPool2d(3, 2), (image,)),
    "avg_pool_same": (nn.AvgPool2d(2, 2, pad_mode="same"), (image,)),
    "avg_pool_pad": (nn.AvgPool2d(3, 2, pad_mode="pad", padding=1), (image,)),
    "avg_pool_excluded": (
        nn.AvgPool2d(3, 2, pad_mode="pad", padding=1, count_include_pad=False),
        (image,),
    ),
    "max_pool_1d": (nn.MaxPool1d(2, 2), (row,)),
    "avg_pool_1d": (nn.AvgPool1d(2, 2), (row,)),
    "adaptive_avg_pool": (nn.AdaptiveAvgPool2d(3), (image,)),
    "adaptive_avg_pool_one": (nn.AdaptiveAvgPool2d(1), (image,)),
    "pad": ("ops.pad(a, (1, 2, 0, 1))", (image,)),
    "pad_value": ("ops.pad(a, (1, 2, 0, 1), value=2.0)", (image,)),
    "pad_reflect": ('ops.pad(a, (1, 2, 0, 1), mode="reflect")', (image,)),
    "pad_replicate": ('ops.pad(a, (1, 2, 0, 1), mode="replicate")', (image,)),
    "pad_primitive": (ops.Pad(((0, 1), (2, 0), (0, 0))), (x,)),
    "nn_pad": (nn.Pad(((0, 0), (0, 0), (1, 1), (2, 2)), mode="REFLECT"), (image,)),
    "resize_nearest": (
        "ops.interpolate(a, size=(18, 18), mode='nearest')",
        (image,),
    ),
    "resize_bilinear": (
        "ops.interpolate(a, size=(18, 12), mode='bilinear')",
        (image,),
    ),
    "resize_bilinear_corners": (
        "ops.interpolate(a, size=(18, 12), mode='bilinear', align_corners=True)",
        (image,),
    ),
    "depth_to_space": (ops.DepthToSpace(2), (image,)),
    "space_to_depth": (ops.SpaceToDepth(3), (image,)),
    "pixel_shuffle": ("ops.pixel_shuffle(a, 2)", (image,)),
    "dense": (nn.Dense(5, 7, activation="relu"), (x,)),
    "dropout": (nn.Dropout(p=0.5).set_train(False), (x,)),
    "range": ("a + ops.arange(0, 5, 1).astype(ms.float32)", (x,)),
    "size_of": ("ops.reshape(a, (a.shape[0], -1))", (x,)),
}


CELL = """
import mindspore as ms, numpy as np
from mindspore import Tensor, nn, ops
class Net(nn.Cell):
    def __init__(self, function):
        super().__init__()
        self.function = function
    def construct(self, {inputs}):
        return {text}
"""


def cell(name: str, folder: Path) -> Any:
    """The case as a cell; MindSpore reads the source of one from its file."""
    function, arrays = CASES[name]
    inputs = ", ".join("abc"[: len(arrays)])
    text = function if isinstance(function, str) else f"self.function({inputs})"
    file = folder / f"case_{name}.py"
    file.write_text(CELL.format(inputs=inputs, text=text))
    return importlib.import_module(file.stem).Net(function)


def export(name: str, folder: Path) -> tuple[bytes, bytes]:
    """The MindIR of a case, and its inputs and results."""
    arrays = CASES[name][1]
    net = cell(name, folder).set_train(False)
    inputs = [Tensor(a) for a in arrays]
    for parameter in net.get_parameters():
        shape = parameter.shape
        parameter.set_data(Tensor(RNG.uniform(0.2, 1, shape).astype(np.float32)))
    results = net(*inputs)
    results = results if isinstance(results, (tuple, list)) else [results]
    file = folder / f"{name}.mindir"
    ms.export(net, *inputs, file_name=str(file), file_format="MINDIR")
    buffer = io.BytesIO()
    named = {chr(ord("a") + i): a for i, a in enumerate(arrays)}
    named |= {f"out{i}": r.asnumpy() for i, r in enumerate(results)}
    np.savez(buffer, **named)
    return file.read_bytes(), buffer.getvalue()


def main() -> None:
    """Write the archive; what MindSpore cannot run or export is printed."""
    ms.set_context(mode=ms.GRAPH_MODE, device_target="CPU")
    out = Path(__file__).resolve().parents[1] / "tests" / "mindspore_primitives.zip"
    with (
        tempfile.TemporaryDirectory() as folder,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        sys.path.insert(0, folder)
        for name in sys.argv[1:] or CASES:
            try:
                model, data = export(name, Path(folder))
            except Exception as error:
                print(f"{name}: {str(error).strip().splitlines()[0][:150]}")
                continue
            for suffix, content in (("mindir", model), ("npz", data)):
                archive.writestr(zipfile.ZipInfo(f"{name}.{suffix}"), content)


if __name__ == "__main__":
    main()
