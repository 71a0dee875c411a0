"""RoiAlign inside models against numpy: special values, and regions of any size."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import ops_wasm32
import pytest
from onnx import TensorProto, helper
from test_inside import Net, build, run

from toolchain.frontends.onnx_windows import MOST_PIXELS, MOST_SAMPLES
from toolchain.spec import SpecError

INF, NAN = np.inf, np.nan
CELLS = (2, 3)
IMAGE = np.random.default_rng(0).uniform(0.5, 2, (2, 1, 6, 5)).astype("f4")
SPECIAL = IMAGE.copy()
SPECIAL[0, 0, 1, 1], SPECIAL[0, 0, 4, 3] = INF, NAN
SPECIAL[1, 0, 0], SPECIAL[1, 0, 5] = -INF, (0.0, -0.0, 1e-45, 1e37, -1e37)
ORDINARY = np.array(
    [[0, 0, 4, 5], [0.5, 1.25, 3, 2], [2, 2, 2, 2], [-3, -2, 9, 8], [3, 4, 1, 2]], "f4"
)
# Samples of most cells are outside the image; a cell has up to 2^24 pixels, or more.
EXTREME = np.array(
    [
        *([-100, -100, 100, 100], [-1e5, -3e4, 2e5, 7e4], [-1e6, 0, 1e6, 5]),
        *([2, -3e7, 3, 3e7], [1e9, 1e9, 2e9, 2e9], [-3e38, 0, 3e38, 5]),
        *([0, 0, INF, 5], [-INF, 0, INF, 5], [NAN, 0, 4, 5], [0, NAN, 4, NAN]),
        *([0, 0, 100 * MOST_PIXELS, 5], [1, 1, 1 + 3 * 65, 1 + 2 * 64]),
    ],
    "f4",
)


def _points(low: Any, high: Any, cells: int, ratio: int) -> list[tuple[Any, int]]:
    """Where the samples of each cell along an axis lie, in float32, and how many."""
    start = low - np.float32(0.5)
    width = ((high - np.float32(0.5)) - start) / np.float32(cells)
    count = ratio or int(np.ceil(min(width, MOST_PIXELS)) if width > 0 else 0)
    steps = (np.arange(count, dtype="f4") + np.float32(0.5)) * width / np.float32(count)
    return [((start + np.float32(c) * width) + steps, count) for c in range(cells)]


def _sides(point: Any, size: int) -> list[tuple[int, Any]]:
    place = min(max(point, np.float32(0)), np.float32(size - 1))
    low = int(place)
    rest = place - np.float32(low)
    return [(low, np.float32(1) - rest), (min(low + 1, size - 1), rest)]


def _cell(plane: Any, samples: list[tuple[Any, int]], largest: bool) -> Any:
    inside, counts = [], [count for _, count in samples]
    for (points, _), size in zip(samples, plane.shape, strict=True):
        found = points[(points >= -1) & (points <= size)]
        inside.append([_sides(p, size) for p in found])
    values = [
        [wy * wx * plane[y, x] for y, wy in rows for x, wx in columns]
        for rows, columns in product(*inside)
    ]
    if largest:
        rest = [0.0] if len(values) < np.prod(counts, dtype=float) else []
        return max_of([v for parts in values for v in parts] + rest)
    total = np.prod(counts, dtype=float)
    return sum(sum(v) for v in values) / total if total else 0.0


def max_of(values: list[Any]) -> Any:
    """The largest; NaN where there is a NaN, 0 of nothing."""
    return np.max(values) if values else 0.0


def wanted(image: Any, rois: Any, batch: Any, ratio: int, largest: bool) -> Any:
    """RoiAlign with half_pixel places; weights in float32, sums in float64."""
    out = np.zeros((len(rois), 1, *CELLS))
    for n, (x1, y1, x2, y2) in enumerate(rois):
        rows = _points(y1, y2, CELLS[0], ratio)
        columns = _points(x1, x2, CELLS[1], ratio)
        for y, x in np.ndindex(*CELLS):
            plane = image[batch[n], 0].astype("f8")
            out[n, 0, y, x] = _cell(plane, [rows[y], columns[x]], largest)
    return out


def _net(image: Any, rois: Any, **attributes: Any) -> Net:
    net = Net()
    batch = np.arange(len(rois), dtype="i8") % len(image)
    net.inputs |= {"x": image, "rois": rois, "batch": batch}
    given = {"output_height": CELLS[0], "output_width": CELLS[1]} | attributes
    net.node("RoiAlign", ["x", "rois", "batch"], "y", **given)
    net.outputs.append(helper.make_tensor_value_info("y", TensorProto.FLOAT, None))
    return net


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize(
    ("image", "rois", "ratio"),
    [
        pytest.param(SPECIAL, ORDINARY, 2, id="special-2"),
        pytest.param(SPECIAL, ORDINARY, 0, id="special-0"),
        pytest.param(IMAGE, EXTREME[:4], 3, id="extreme-3"),
        pytest.param(IMAGE, EXTREME, 0, id="extreme-0"),
    ],
)
def test_regions(
    *,
    mode: str,
    image: Any,
    rois: Any,
    ratio: int,
    tmp_path: Path,
    pytestconfig: pytest.Config,
) -> None:
    net = _net(image, rois, mode=mode, sampling_ratio=ratio)
    (found,) = run(net, tmp_path, pytestconfig.getoption("--profile-file"))
    with np.errstate(all="ignore"):
        batch = net.inputs["batch"]
        want = wanted(image, rois, batch, ratio, mode == "max").astype("f4")
    np.testing.assert_allclose(found, want, rtol=4e-6, atol=1e-37)


def test_time_follows_from_tensors(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    """Regions with 2^40 samples in a cell take less than a second."""
    rois = np.tile(np.array([-1e7, -1e7, 1e7, 1e7], "f4"), (8, 1))
    net = _net(IMAGE, rois, sampling_ratio=0)
    path = build(net, tmp_path, pytestconfig.getoption("--profile-file"))
    module = ops_wasm32.load(path)
    begin = perf_counter()
    module.call("inside", *net.inputs.values())
    assert perf_counter() - begin < 1


def test_most_samples(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    file = pytestconfig.getoption("--profile-file")
    build(_net(IMAGE, ORDINARY, sampling_ratio=MOST_SAMPLES), tmp_path, file)
    with pytest.raises(SpecError, match="has sampling_ratio 65; use 1 to 64, or 0: as"):
        build(_net(IMAGE, ORDINARY, sampling_ratio=65), tmp_path, file)
