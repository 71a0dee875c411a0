"""Rules of primitives that move elements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from toolchain.frontends.nodes.scope import Items
from toolchain.frontends.nodes.shapes import joined, rank_of, size_at
from toolchain.frontends.primitives.calls import Primitive, Scalar, primitive
from toolchain.graph.graph import Value
from toolchain.spec import SpecError

_FAR = 1 << 31  # beyond the end of any axis


@primitive("Reshape")
def reshape(c: Primitive) -> Value:
    """The same elements in another shape."""
    return c.onnx("Reshape", c[0], _vector(c, 1, "shape"))


def _vector(c: Primitive, index: int, name: str) -> Value:
    """What an input or an attribute says, as a vector of int64."""
    found = c.option(index, name)
    if found is None:
        raise SpecError(f"has no {name}; export the model again")
    if isinstance(found, Value):
        return c.cast(found, "int64")
    return c.constant(np.ravel(found), "int64")


@primitive("Transpose")
def transpose(c: Primitive) -> Value:
    """With the axes in another order."""
    rank, perm = rank_of(c[0]), c.known(1, "perm")
    return c.onnx("Transpose", c[0], perm=[a % rank for a in perm])


@primitive("Flatten")
def flatten(c: Primitive) -> Value:
    """All axes but the first as one."""
    return c.onnx("Flatten", c[0], axis=1)


@primitive("Squeeze")
def squeeze(c: Primitive) -> Value:
    """Without axes of size 1; without all of them where none is given."""
    axes = c.axes()
    return c.onnx("Squeeze", c[0], c.constant(axes, "int64") if axes else None)


@primitive("ExpandDims")
def unsqueeze(c: Primitive) -> Value:
    """With one axis more, of size 1."""
    axis = c.constant(c.axes(), "int64")
    return c.onnx("Unsqueeze", c[0], axis)


@primitive("Concat")
def concat(c: Primitive) -> Value:
    """One after the other along an axis."""
    packed = isinstance(c[0], Items)
    axis = c.known(1, "axis", 0) if packed else c.get("axis", 0)
    return c.onnx("Concat", *c.tensors(), axis=int(axis))


@primitive("Stack")
def stack(c: Primitive) -> Value:
    """One after the other along a new axis."""
    axis = int(c.get("axis", 0))
    parts = [c.builder.unsqueeze(v, [axis]) for v in c.tensors()]
    return c.onnx("Concat", *parts, axis=axis)


@primitive("Split")
def split(c: Primitive) -> Value:
    """Equal parts along an axis."""
    axis, count = int(c.known(1, "axis", 0)), int(c.known(2, "output_num", 1))
    if count == 1:
        return Items([c[0]])
    given: dict[str, Any] = {"axis": axis, "num_outputs": count}
    return Items(c.onnx_outputs("Split", count, c[0], **given))


@primitive("SplitV", "SplitWithSize")
def split_by_sizes(c: Primitive) -> Value:
    """Parts of given sizes along an axis."""
    if c.name == "SplitV":
        sizes, axis = c.get("size_splits"), c.get("split_dim", 0)
    else:
        sizes, axis = c.known(1, "split_sizes"), c.known(2, "axis", 0)
    given = c.constant(sizes, "int64")
    return Items(c.onnx_outputs("Split", len(sizes), c[0], given, axis=axis))


@primitive("Unstack")
def unstack(c: Primitive) -> Value:
    """The slices along an axis."""
    x, axis = c[0], int(c.get("axis", 0))
    size = None if x.shape is None else x.shape[axis]
    count = size if isinstance(size, int) else c.get("num")
    if not isinstance(count, int):
        raise SpecError(f"needs the size of axis {axis}, which is open; give it")
    if count == 1:
        return Items([c.builder.squeeze(x, [axis])])
    parts = c.onnx_outputs("Split", count, x, axis=axis, num_outputs=count)
    return Items([c.builder.squeeze(v, [axis]) for v in parts])


class Cuts:
    """A slice of each axis. starts, ends, steps: by axis."""

    def __init__(self) -> None:
        self.starts: list[Scalar] = []
        self.ends: list[Scalar] = []
        self.steps: list[Scalar] = []
        self.axes: list[int] = []

    def add(self, axis: int, start: Scalar, end: Scalar, step: Scalar = 1) -> None:
        """Cut an axis."""
        self.starts.append(start)
        self.ends.append(end)
        self.steps.append(step)
        self.axes.append(axis)

    def of(self, c: Primitive, x: Value) -> Value:
        """What is left of x."""
        if not self.axes:
            return x
        parts = [c.vector(v) for v in (self.starts, self.ends, self.axes, self.steps)]
        return c.onnx("Slice", x, *parts)


@primitive("Slice")
def cut(c: Primitive) -> Value:
    """From begin on as many elements as size says; -1: up to the end."""
    x, cuts = c[0], Cuts()
    pairs = zip(c.elements(1), c.elements(2), strict=True)
    for axis, (begin, size) in enumerate(pairs):
        if isinstance(size, int) and size == -1:
            cuts.add(axis, begin, _FAR)
        else:
            cuts.add(axis, begin, _sum(c, begin, size))
    return cuts.of(c, x)


def _sum(c: Primitive, a: Scalar, b: Scalar) -> Scalar:
    if not isinstance(a, Value) and not isinstance(b, Value):
        return a + b
    values = [v if isinstance(v, Value) else c.constant(v, "int64") for v in (a, b)]
    return c.call("add", *(c.cast(v, "int64") for v in values))


_MASKS = ("begin", "end", "ellipsis", "new_axis", "shrink_axis")


@primitive("StridedSlice")
def strided_slice(c: Primitive) -> Value:
    """Slices of numpy.

    Bits of the masks say of each slice: whether its bounds are open, whether it stands
    for all axes that the others do not name, is a new axis, or an index.
    """
    x, rank = c[0], rank_of(c[0])
    parts = list(zip(*(c.elements(i) for i in (1, 2, 3)), strict=True))
    masks = {n: int(c.known(i, f"{n}_mask", 0)) for i, n in enumerate(_MASKS, 4)}
    bits = [{n: bool(m >> i & 1) for n, m in masks.items()} for i in range(len(parts))]
    own = [not b["ellipsis"] and not b["new_axis"] for b in bits]
    cuts, gone, new, axis = Cuts(), list[int](), list[int](), 0
    for (begin, end, step), bit in zip(parts, bits, strict=True):
        if bit["ellipsis"]:
            axis += rank - sum(own)
        elif bit["new_axis"]:
            new.append(axis - len(gone) + len(new))
        else:
            if bit["shrink_axis"]:
                begin = 0 if bit["begin"] else begin
                last = not isinstance(begin, Value) and begin == -1
                cuts.add(axis, begin, _FAR if last else _sum(c, begin, 1))
                gone.append(axis)
            else:
                _cut_axis(cuts, axis, (begin, end, step), bit)
            axis += 1
    found = cuts.of(c, x)
    found = c.builder.squeeze(found, gone) if gone else found
    return c.builder.unsqueeze(found, new) if new else found


def _cut_axis(
    cuts: Cuts, axis: int, part: tuple[Scalar, Scalar, Scalar], bit: dict[str, bool]
) -> None:
    begin, end, step = part
    if isinstance(step, Value):
        raise SpecError("its strides are computed; make them constants")
    if bit["begin"] and bit["end"] and step == 1:
        return
    first, last = (0, _FAR) if step > 0 else (_FAR, -_FAR)
    cuts.add(axis, first if bit["begin"] else begin, last if bit["end"] else end, step)


@primitive("ReverseV2")
def reversed_(c: Primitive) -> Value:
    """Axes from their ends on."""
    cuts = Cuts()
    for axis in c.axes():
        cuts.add(axis, -1, -_FAR, -1)
    return cuts.of(c, c[0])


@primitive("Gather")
def gather(c: Primitive) -> Value:
    """Slices at indices, which are limited to the axis."""
    c.need("batch_dims", c.known(3, "batch_dims", 0), 0)
    return c.onnx("Gather", c[0], c[1], axis=int(c.known(2, "axis", 0)))


@primitive("GatherD")
def gather_elements(c: Primitive) -> Value:
    """Elements at indices along an axis."""
    return c.onnx("GatherElements", c[0], c[2], axis=int(c.known(1, "dim")))


@primitive("GatherNd")
def gather_nd(c: Primitive) -> Value:
    """Slices at indices of several axes."""
    return c.onnx("GatherND", c[0], c.cast(c[1], "int64"))


@primitive("TensorScatterUpdate", "TensorScatterAdd", "TensorScatterMul")
def scatter_nd(c: Primitive) -> Value:
    """X with slices at indices replaced, added to or multiplied."""
    way = {"Update": "none"}.get(c.name[13:], c.name[13:].lower())
    return c.onnx("ScatterND", c[0], c.cast(c[1], "int64"), c[2], reduction=way)


@primitive("OneHot")
def one_hot(c: Primitive) -> Value:
    """Give on where the place along a new axis is the index, else off."""
    on, off = c[2], c.like(3, c[2])
    values = [c.builder.reshape(v, [1]) for v in (off, on)]
    axis, depth = int(c.known(4, "axis", -1)), c[1]
    return c.onnx("OneHot", c[0], depth, c.call("concat", *values, axis=0), axis=axis)


@primitive("Tile")
def tile(c: Primitive) -> Value:
    """Repeated along each axis; missing axes come first."""
    x, counts = c[0], c.elements(1)
    more = len(counts) - rank_of(x)
    x = c.builder.unsqueeze(x, [*range(more)]) if more > 0 else x
    return c.onnx("Tile", x, c.vector([*[1] * -more, *counts]))


@primitive("BroadcastTo")
def broadcast(c: Primitive) -> Value:
    """Broadcast to a shape; -1 stands for the size that there is."""
    wanted = c.elements(1) if c.optional(1) is not None else list(c.get("shape"))
    kept = [1 if not isinstance(n, Value) and n == -1 else n for n in wanted]
    return c.onnx("Expand", c[0], c.vector(kept))


@primitive("Pad", "PadV3", "MirrorPad")
def pad(c: Primitive) -> Value:
    """Pairs of counts, the first axis first; PadV3 has the last axis first."""
    x, rank, value = c[0], rank_of(c[0]), None
    mode = str(c.get("mode", "constant")).lower()
    c.need("mode", mode, "constant", "reflect", "edge", "circular")
    pairs = np.reshape(c.known(1, "paddings"), (-1, 2))
    if c.name == "PadV3":
        c.need("paddings_contiguous", c.get("paddings_contiguous", True), True)
        value = None if c.optional(2) is None else c.like(2, x)
        pairs = pairs[::-1]
    whole = np.zeros((rank, 2), "int64")
    whole[rank - len(pairs) :] = pairs
    pads = c.constant(whole.T.reshape(-1), "int64")
    value = None if value is None else c.builder.reshape(value, [])
    return c.onnx("Pad", x, pads, value, mode={"circular": "wrap"}.get(mode, mode))


@primitive("DepthToSpace", "SpaceToDepth")
def blocks(c: Primitive) -> Value:
    """Channels as blocks of a plane, or back; the block comes before the depth."""
    c.need("format", c.get("format", "NCHW"), "NCHW")
    return c.onnx(c.name, c[0], blocksize=int(c.get("block_size")))


@primitive("Triu", "Tril")
def triangle(c: Primitive) -> Value:
    """Zeros below, or above, a diagonal."""
    k = c.constant(int(c.known(1, "diagonal", 0)), "int64")
    return c.onnx("Trilu", c[0], k, upper=int(c.name == "Triu"))


@primitive("ResizeBilinearV2", "ResizeNearestNeighborV2")
def resize(c: Primitive) -> Value:
    """The plane in other sizes."""
    corners, half = (bool(c.known(i, n)) for i, n in enumerate(_PLACES, 2))
    mode = "align_corners" if corners else "half_pixel" if half else "asymmetric"
    linear = c.name == "ResizeBilinearV2"
    given: dict[str, Any] = {"mode": "linear" if linear else "nearest"}
    if not linear:
        # The place of the nearest: floor(i scale), floor((i + 1/2) scale), or rounded.
        plain = mode == "asymmetric"
        given["nearest_mode"] = "floor" if plain else "round_prefer_ceil"
    sizes = _sizes(c, c.elements(1))
    return c.onnx(
        *("Resize", c[0], None, None, sizes),
        coordinate_transformation_mode=mode,
        **given,
    )


_PLACES = ("align_corners", "half_pixel_centers")


def _sizes(c: Primitive, plane: Sequence[Scalar]) -> Value:
    """The sizes of images, with those of the plane."""
    x = c[0]
    parts = [p if isinstance(p, Value) else int(p) for p in plane]
    vectors = [
        c.builder.reshape(c.cast(p, "int64"), [1]) if isinstance(p, Value) else p
        for p in parts
    ]
    found = joined(c, size_at(c, x, 0), size_at(c, x, 1), *vectors)
    return found if isinstance(found, Value) else c.constant(found, "int64")
