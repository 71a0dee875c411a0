"""ONNX operators that read or write at indices, in Relax.

No index leads out of a tensor, whatever it is: constant ones are checked, others are
limited to their axis.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from toolchain.frontends.converters import (
    const,
    constant_of,
    converter,
    dtype_of,
    relax_ops,
)
from toolchain.frontends.importer import Array, Call
from toolchain.spec import SpecError


def _limited(c: Call, indices: Any, extents: Any, constant: Array | None) -> Any:
    """Indices from 0 on that lie in their axes: negative ones count from the end."""
    op = relax_ops()
    extents = np.asarray(extents)
    if not extents.all() and 0 not in c.importer.shape(indices):
        raise SpecError("reads from an axis of size 0; correct the model")
    if constant is not None:
        if ((constant < -extents) | (constant >= extents)).any():
            raise SpecError(
                f"its indices {constant.min()}..{constant.max()} lie outside of size "
                f"{extents.tolist()}; correct them"
            )
        fixed = np.where(constant < 0, constant + extents, constant)
        return const(fixed, constant.dtype)
    dtype = dtype_of(indices)
    size = const(extents, dtype)
    if not dtype.startswith("u"):
        low = c.emit(op.less(indices, const(0, dtype)))
        indices = c.emit(op.where(low, c.emit(op.add(indices, size)), indices))
        indices = c.emit(op.maximum(indices, const(0, dtype)))
    return c.emit(op.minimum(indices, const(extents - 1, dtype)))


@converter("Gather")
def gather(c: Call) -> Any:
    """Slices at indices along an axis."""
    shape = c.shape(0)
    axis = c.get("axis", 0) % len(shape)
    indices = _limited(c, c[1], shape[axis], constant_of(c.value(1)))
    return relax_ops().take(c[0], indices, axis)


@converter("GatherElements")
def gather_elements(c: Call) -> Any:
    """Elements at indices along an axis."""
    shape = c.shape(0)
    axis = c.get("axis", 0) % len(shape)
    indices = _limited(c, c[1], shape[axis], constant_of(c.value(1)))
    return relax_ops().gather_elements(c[0], indices, axis)


@converter("GatherND")
def gather_nd(c: Call) -> Any:
    """Slices at tuples of indices."""
    batch = c.get("batch_dims", 0)
    extents = c.shape(0)[batch : batch + c.shape(1)[-1]]
    indices = _limited(c, c[1], extents, constant_of(c.value(1)))
    return relax_ops().gather_nd(c[0], indices, batch)


def _reduction(c: Call) -> str:
    name = str(c.get("reduction", "none"))
    return "update" if name == "none" else name


@converter("ScatterElements", "Scatter")
def scatter_elements(c: Call) -> Any:
    """Updates at indices along an axis, as one scatter of elements."""
    op, shape, at = relax_ops(), c.shape(0), c.shape(1)
    if 0 in at:
        return c[0]
    axis = c.get("axis", 0) % len(shape)
    indices = _limited(c, c[1], shape[axis], constant_of(c.value(1)))
    # TVM's scatter_elements takes indices only where their other sizes are the data's.
    count = int(np.prod(at))
    grid = np.moveaxis(np.indices(at), 0, -1).reshape(count, len(at))
    columns = [const(grid[:, [i]], dtype_of(indices)) for i in range(len(at))]
    columns[axis] = c.emit(op.reshape(indices, (count, 1)))
    places = c.emit(op.concat(columns, 1)) if len(at) > 1 else columns[0]
    updates = c.emit(op.reshape(c[2], (count,)))
    return op.scatter_nd(c[0], places, updates, _reduction(c))


@converter("ScatterND")
def scatter_nd(c: Call) -> Any:
    """Updates at tuples of indices."""
    if 0 in c.shape(1)[:-1]:
        return c[0]
    indices = _limited(c, c[1], c.shape(0)[: c.shape(1)[-1]], constant_of(c.value(1)))
    return relax_ops().scatter_nd(c[0], indices, c[2], _reduction(c))


@converter("OneHot")
def one_hot(c: Call) -> Any:
    """values[1] where the place along the axis is the index, else values[0]."""
    op, depth = relax_ops(), c.constant(1, "depth")
    assert depth is not None
    count, rank = int(depth.item()), len(c.shape(0)) + 1
    axis = c.get("axis", -1) % rank
    indices = c.emit(op.astype(c[0], "int64")) if dtype_of(c[0]) != "int64" else c[0]
    low = c.emit(op.less(indices, const(0, "int64")))
    wrapped = c.emit(op.add(indices, const(count, "int64")))
    indices = c.emit(op.where(low, wrapped, indices))
    places = np.arange(count).reshape([-1 if i == axis else 1 for i in range(rank)])
    wide = c.emit(op.expand_dims(indices, axis))
    hit = c.emit(op.equal(wide, const(places, "int64")))
    parts = [c.emit(op.take(c[2], const(i, "int64"), 0)) for i in (1, 0)]
    return op.where(hit, *parts)


@converter("Range")
def numbers(c: Call) -> Any:
    """TVM's, of constants."""
    names = ("start", "limit", "delta")
    given = [c.constant(i, name) for i, name in enumerate(names)]
    if given[2] is not None and not given[2].any():
        raise SpecError("its delta is 0, so that it never ends; give another one")
    return c.importer.by_tvm(c)


@converter("Pad")
def pad(c: Call) -> Any:
    """TVM's; wrap repeats what is left where negative pads take elements away first."""
    pads, axes, rank = c.constant(1, "pads"), c.constant(3, "axes"), len(c.shape(0))
    if c.get("mode", "constant") != "wrap" or pads is None:
        return c.importer.by_tvm(c)
    given = [int(a) % rank for a in (range(rank) if axes is None else axes)]
    count, op = len(given), relax_ops()
    if len(pads) == 2 * count and (pads < 0).any():
        sizes = [c.shape(0)[a] for a in given]
        begin = [max(-int(n), 0) for n in pads[:count]]
        end = [
            size + min(int(n), 0) for size, n in zip(sizes, pads[count:], strict=True)
        ]
        c.inputs[0] = c.emit(op.strided_slice(c[0], given, begin, end))
        c.inputs[1] = np.maximum(pads, 0)
    return c.importer.by_tvm(c)


@converter("Split")
def split(c: Call) -> Any:
    """Parts along an axis; TVM takes none without elements, so they are constants."""
    given = c.constant(1, "split") if c.opset >= 13 else c.get("split")
    if given is None or np.all(given):
        return c.importer.by_tvm(c)
    shape, axis = list(c.shape(0)), c.get("axis", 0)
    ends = [int(end) for end in np.cumsum([n for n in given if n])][:-1]
    whole = c.emit(relax_ops().split(c[0], ends, axis)) if ends else [c[0]]
    left = iter(whole)
    shape[axis] = 0
    none = np.zeros(shape, dtype_of(c[0]))
    return [next(left) if n else none for n in given]
