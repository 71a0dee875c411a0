/* collapse_view.c: operators whose output is a strided view of their input.
 *
 * Kernel: out[i * om + j] = x[i * sm + j * sn] for i < m and j < n, strides in
 * elements and of any sign. Adjacent axes merge where their strides allow it,
 * so that a contiguous copy is a single call with m = 1. n is the last axis. m
 * is the axis that is contiguous in x if n is not, which is a transpose, and
 * otherwise the last but one. The other axes are looped over here.
 */
#include "call.h"

/* The kernel's slots: the plane's first element of x, where it goes, a bound
 * for all offsets, the sizes and the strides. */
enum { X, OUT, BOUND, M, N, SM, SN, OM, SLOTS };
/* A view has an axis for each axis of x or unit; tile has two for each. */
enum { MAX_AXES = 2 * OPS_MAX_RANK };
/* Beyond any size; its product with a size is far from overflow. */
static const int64_t huge = (int64_t)1 << 31;

typedef struct {
  int64_t start; /* element of x */
  int32_t rank;
  int64_t size[MAX_AXES];
  int64_t stride[MAX_AXES];
  int64_t to[MAX_AXES]; /* the output's strides, where they are needed */
} view;

typedef int32_t (*view_rule)(const ops_request *call, const ops_tensor *x,
                             int32_t output, view *v);

static int64_t clamp(int64_t value, int64_t low, int64_t high) {
  return value < low ? low : value > high ? high : value;
}

/* The compact strides of v's sizes. The strides of an empty tensor do not
 * matter, and might overflow. */
static void set_strides(const ops_tensor *x, view *v) {
  int64_t stride = x->count > 0;
  for (int32_t i = v->rank - 1; i >= 0; --i) {
    v->stride[i] = stride;
    if (stride) stride *= v->size[i];
  }
}

/* All of x. */
static void whole(const ops_tensor *x, view *v) {
  v->start = 0;
  v->rank = x->rank;
  for (int32_t i = 0; i < x->rank; ++i) v->size[i] = x->shape[i];
  set_strides(x, v);
}

/* Adds an axis inside the others; merges it with the last where it can. */
static void push(view *v, int64_t size, int64_t stride) {
  int32_t last = v->rank - 1;
  if (size == 1) return;
  if (last >= 0 && v->stride[last] == size * stride) {
    v->size[last] *= size;
    v->stride[last] = stride;
    return;
  }
  v->size[v->rank] = size;
  v->stride[v->rank++] = stride;
}

/* Attributes: perm, an entry for each axis, or none to reverse the axes. */
static int32_t transpose(const ops_request *call, const ops_tensor *x,
                         int32_t output, view *v) {
  (void)output;
  view from;
  whole(x, &from);
  v->start = 0;
  v->rank = x->rank;
  if (call->units && call->units != x->rank) {
    return ops_fail_got(call, OPS_ERROR_ATTRIBUTE,
                        "perm has %d entries but %s has %d axes", call->units,
                        x->name, x->rank);
  }
  uint32_t seen = 0;
  for (int32_t i = 0; i < x->rank; ++i) {
    int32_t axis = x->rank - 1 - i;
    if (call->units) {
      axis = ops_axis(call, "perm", ops_int(call, 0, i), x->rank);
    }
    if (axis < 0) return OPS_ERROR_ATTRIBUTE;
    if (seen >> axis & 1) {
      return ops_fail_got(call, OPS_ERROR_ATTRIBUTE,
                          "perm[%d] is %l, an axis that perm has already; "
                          "give each axis once",
                          i, ops_int(call, 0, i));
    }
    seen |= 1u << axis;
    v->size[i] = from.size[axis];
    v->stride[i] = from.stride[axis];
  }
  return OPS_OK;
}

/* Narrows one axis as ONNX's Slice does: negative positions count from the end,
 * then all are clamped to the axis. */
static void slice_axis(view *v, int32_t axis, int64_t start, int64_t end,
                       int64_t step) {
  int64_t size = v->size[axis];
  int64_t back = step < 0; /* the last position is size - 1, the end -1 */
  step = clamp(step, -huge, huge);
  start = clamp(start < 0 ? start + size : start, 0, size - back);
  end = clamp(end < 0 ? end + size : end, -back, size - back);
  int64_t length = back ? start - end : end - start;
  int64_t pace = back ? -step : step;
  v->size[axis] = size && length > 0 ? (length - 1) / pace + 1 : 0;
  v->start += start * v->stride[axis];
  v->stride[axis] *= step;
}

/* What axes holds where it is left out: entry i is for axis i. */
enum { OWN_AXIS = INT32_MAX };

/* Attributes: starts, ends, axes, steps. */
static int32_t slice(const ops_request *call, const ops_tensor *x,
                     int32_t output, view *v) {
  (void)output;
  whole(x, v);
  uint32_t seen = 0;
  for (int32_t i = 0; i < call->units; ++i) {
    int64_t given = ops_int(call, 2, i);
    if (given == OWN_AXIS) given = i;
    int32_t axis = ops_axis(call, "axes", given, x->rank);
    if (axis < 0) return OPS_ERROR_ATTRIBUTE;
    if (seen >> axis & 1) {
      return ops_fail_got(call, OPS_ERROR_ATTRIBUTE,
                          "axes[%d] is %l, an axis that axes has already; "
                          "give each axis once",
                          i, given);
    }
    seen |= 1u << axis;
    int64_t step = ops_int(call, 3, i);
    if (step == 0) {
      return ops_fail_got(call, OPS_ERROR_ATTRIBUTE,
                          "steps[%d] is 0; use 1 or more, or -1 or less", i);
    }
    slice_axis(v, axis, ops_int(call, 0, i), ops_int(call, 1, i), step);
  }
  return OPS_OK;
}

/* Attributes: shape; broadcasts both ways. */
static int32_t expand(const ops_request *call, const ops_tensor *x,
                      int32_t output, view *v) {
  (void)output;
  view from;
  whole(x, &from);
  int32_t rank = call->units > x->rank ? call->units : x->rank;
  v->start = 0;
  v->rank = rank;
  for (int32_t i = 0; i < rank; ++i) {
    int32_t axis = i - (rank - x->rank), entry = i - (rank - call->units);
    int64_t size = axis < 0 ? 1 : from.size[axis];
    int64_t wanted = entry < 0 ? 1 : ops_int(call, 0, entry);
    v->size[i] = size == 1 ? wanted : size;
    v->stride[i] = size == 1 ? 0 : from.stride[axis];
    if (size != 1 && wanted != 1 && wanted != size) {
      return ops_fail_got(call, OPS_ERROR_SHAPE,
                          "shape[%d] is %l but axis %d of %s has size %l; "
                          "use 1 or %l",
                          entry, wanted, axis, x->name, size, size);
    }
  }
  return OPS_OK;
}

/* Attributes: repeats. The view is one period; `copies` has the repetition. */
static int32_t tile(const ops_request *call, const ops_tensor *x,
                    int32_t output, view *v) {
  (void)output;
  whole(x, v);
  if (call->units == x->rank) return OPS_OK;
  return ops_fail_got(call, OPS_ERROR_ATTRIBUTE,
                      "repeats has %d entries but %s has %d axes", call->units,
                      x->name, x->rank);
}

/* Size of one part: split[part], or where split is left out equal parts with a
 * smaller last one. */
static int64_t part_size(const ops_request *call, int32_t part, int64_t size) {
  int64_t given = ops_int(call, 1, part), parts = call->outputs;
  if (given != -1) return given;
  int64_t chunk = (size + parts - 1) / parts;
  return part < parts - 1 ? chunk : size - chunk * part;
}

/* Fails unless all sizes are given, or none and the equal parts fit. */
static int32_t check_parts(const ops_request *call, const ops_tensor *x,
                           int32_t axis) {
  int32_t preset = 0, parts = call->outputs;
  for (int32_t i = 0; i < parts; ++i) preset += ops_int(call, 1, i) == -1;
  if (preset && preset != parts) {
    return ops_fail_got(call, OPS_ERROR_ATTRIBUTE,
                        "split has %d of %d entries at -1; give all sizes or "
                        "none",
                        preset, parts);
  }
  if (part_size(call, parts - 1, x->shape[axis]) >= 0) return OPS_OK;
  return ops_fail_got(call, OPS_ERROR_ATTRIBUTE,
                      "axis %d of %s has size %d, too small for %d equal "
                      "parts; give split or fewer outputs",
                      axis, x->name, x->shape[axis], parts);
}

/* Attributes: axis, split. */
static int32_t split(const ops_request *call, const ops_tensor *x,
                     int32_t output, view *v) {
  int32_t axis = ops_axis(call, "axis", ops_int(call, 0, 0), x->rank);
  if (axis < 0) return OPS_ERROR_ATTRIBUTE;
  int32_t code = check_parts(call, x, axis);
  if (code) return code;
  whole(x, v);
  int64_t size = x->shape[axis], total = 0;
  for (int32_t i = 0; i < call->outputs; ++i) {
    int64_t part = part_size(call, i, size);
    if (i == output) {
      v->start = total * v->stride[axis];
      v->size[axis] = part;
    }
    total += part;
  }
  if (total == size) return OPS_OK;
  return ops_fail_got(call, OPS_ERROR_ATTRIBUTE,
                      "split adds up to %l but axis %d of %s has size %l",
                      total, axis, x->name, size);
}

/* One entry of reshape's shape; -1 stays, -2 is an error. */
static int64_t reshape_entry(const ops_request *call, const ops_tensor *x,
                             int32_t i) {
  int64_t size = ops_int(call, 1, i);
  if (size != 0 || ops_int(call, 0, 0)) return size;
  if (i < x->rank) return x->shape[i];
  ops_fail_got(call, OPS_ERROR_ATTRIBUTE,
               "shape[%d] is 0, which copies a size of %s, but that has %d "
               "axes; allowzero=1 makes it a size of 0",
               i, x->name, x->rank);
  return -2;
}

/* Reads reshape's shape. `known` receives the elements without the size that is
 * -1, at most `huge`; `open` the axis of that size, or -1. */
static int32_t reshape_sizes(const ops_request *call, const ops_tensor *x,
                             view *v, int64_t *known, int32_t *open) {
  *known = 1;
  *open = -1;
  for (int32_t i = 0; i < v->rank; ++i) {
    int64_t size = v->size[i] = reshape_entry(call, x, i);
    if (size < -1) return OPS_ERROR_ATTRIBUTE;
    if (size >= 0) {
      *known *= size;
      if (*known > huge) *known = huge;
    } else if (*open < 0) {
      *open = i;
    } else {
      return ops_fail_got(call, OPS_ERROR_ATTRIBUTE,
                          "shape[%d] and shape[%d] are both -1; give one of "
                          "them",
                          *open, i);
    }
  }
  if (*open < 0 || *known) return OPS_OK;
  return ops_fail_got(call, OPS_ERROR_ATTRIBUTE,
                      "shape[%d] is -1 beside a size of 0, which leaves it "
                      "open; give it",
                      *open);
}

/* Attributes: allowzero, shape. */
static int32_t reshape(const ops_request *call, const ops_tensor *x,
                       int32_t output, view *v) {
  (void)output;
  int64_t known;
  int32_t open;
  v->start = 0;
  v->rank = call->units;
  int32_t code = reshape_sizes(call, x, v, &known, &open);
  if (code) return code;
  if (open < 0 ? known != x->count : x->count % known != 0) {
    return ops_fail_got(call, OPS_ERROR_ATTRIBUTE,
                        open < 0 ? "shape has %l elements but %s has %l; make "
                                   "them equal"
                                 : "the sizes beside -1 in shape make %l, "
                                   "which must divide the elements of %s, %l",
                        known, x->name, x->count);
  }
  if (open >= 0) v->size[open] = x->count / known;
  set_strides(x, v);
  return OPS_OK;
}

static const view_rule rules[] = {
    [OPS_VIEW_TRANSPOSE] = transpose, [OPS_VIEW_SLICE] = slice,
    [OPS_VIEW_EXPAND] = expand,       [OPS_VIEW_TILE] = tile,
    [OPS_VIEW_SPLIT] = split,         [OPS_VIEW_RESHAPE] = reshape,
};

/* How many times an axis of the view follows itself. */
static int64_t copies(const ops_request *call, int32_t axis) {
  return call->family->rule == OPS_VIEW_TILE ? ops_int(call, 0, axis) : 1;
}

static int32_t shape(ops_request *call) {
  for (int32_t output = 0; output < call->outputs; ++output) {
    view v;
    int32_t code =
        rules[call->family->rule](call, &call->tensors[0], output, &v);
    if (code) return code;
    for (int32_t i = 0; i < v.rank; ++i) v.size[i] *= copies(call, i);
    code = ops_set_shape(call, &call->tensors[call->inputs + output], v.rank,
                         v.size);
    if (code) return code;
  }
  return OPS_OK;
}

/* The second axis of the plane: where the last axis has gaps in x, the axis
 * without gaps; otherwise the last but one. */
static int32_t second_axis(const view *v) {
  int32_t last = v->rank - 1;
  for (int32_t i = last - 1; i >= 0 && v->stride[last] > 1; --i) {
    if (v->stride[i] == 1) return i;
  }
  return last - 1;
}

/* Moves an axis of the view to slots; the view keeps a single step of it. */
static void take(view *v, int32_t axis, ops_slot *size, ops_slot *stride) {
  size->i = axis < 0 ? 1 : v->size[axis];
  stride->i = axis < 0 ? 0 : v->stride[axis];
  if (axis >= 0) v->size[axis] = 1;
}

/* Runs the kernel over two axes, and loops over the others. */
static int32_t loop(const ops_request *call, view *v, ops_slot *slots,
                    int32_t itemsize) {
  int64_t index[MAX_AXES] = {0}, to = 1;
  for (int32_t i = v->rank - 1; i >= 0; to *= v->size[i--]) v->to[i] = to;
  int32_t second = second_axis(v);
  slots[OM].i = second < 0 ? 0 : v->to[second];
  take(v, v->rank - 1, &slots[N], &slots[SN]);
  take(v, second, &slots[M], &slots[SM]);
  uint8_t *x = slots[X].p, *out = slots[OUT].p;
  for (;;) {
    slots[X].p = x;
    slots[OUT].p = out;
    int32_t code = ops_run_kernel(call, call->op->kernel, slots);
    if (code) return code;
    int32_t axis = v->rank - 1;
    for (; axis >= 0; --axis) {
      x += v->stride[axis] * itemsize;
      out += v->to[axis] * itemsize;
      if (++index[axis] < v->size[axis]) break;
      x -= v->size[axis] * v->stride[axis] * itemsize;
      out -= v->size[axis] * v->to[axis] * itemsize;
      index[axis] = 0;
    }
    if (axis < 0) return OPS_OK;
  }
}

static int32_t run(ops_request *call) {
  const ops_tensor *x = &call->tensors[0];
  for (int32_t output = 0; output < call->outputs; ++output) {
    const ops_tensor *out = &call->tensors[call->inputs + output];
    if (out->count == 0) continue;
    view v, merged;
    rules[call->family->rule](call, x, output, &v);
    merged.rank = 0;
    for (int32_t i = 0; i < v.rank; ++i) {
      push(&merged, copies(call, i), 0);
      push(&merged, v.size[i], v.stride[i]);
    }
    ops_slot slots[SLOTS];
    slots[X].p = x->data + v.start * x->itemsize;
    slots[OUT].p = out->data;
    slots[BOUND].i = x->count > out->count ? x->count : out->count;
    int32_t code = loop(call, &merged, slots, x->itemsize);
    if (code) return code;
  }
  return OPS_OK;
}

const ops_collapse ops_collapse_view = {shape, run, 0};
