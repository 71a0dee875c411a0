/* collapse_elementwise.c: kernels over n elements; inputs broadcast as numpy's.
 *
 * Axes that all tensors run through alike become one. What is left is covered
 * by strips: a strip is a run of whole rows along axis `axis` of the rest,
 * contiguous in the output. An input that is contiguous there too is read in
 * place; any other is gathered into a buffer, and only when it differs from the
 * strip before. So a scalar operand is spread once, and a bias over short rows
 * once for many rows.
 *
 * rule 1: attribute 0 is a list `shape` that joins the broadcasting.
 */
#include "call.h"

#define MAX_INPUTS 4
/* Elements of a strip with gathered inputs: 4 KB of float32, well inside L1. */
#define STRIP 1024
/* From this length on, a run that needs no gathering is worth a kernel call. */
#define LONG_RUN 256
enum { RULE_EXPAND = 1 };

/* The tensors in merged axes; strides in elements, 0 along broadcast axes. */
typedef struct {
  int32_t rank;
  int32_t inputs;
  int32_t size[OPS_MAX_RANK];
  int64_t stride[MAX_INPUTS][OPS_MAX_RANK];
  const uint8_t *data[MAX_INPUTS];
  int32_t itemsize[MAX_INPUTS];
} loops;

/* How the strips lie: rows along `axis` of `row` elements each. */
typedef struct {
  int32_t axis;
  int32_t rows; /* of a full strip */
  int64_t row;
  uint8_t direct[MAX_INPUTS];
} strips;

static struct {
  _Alignas(16) uint8_t buffer[MAX_INPUTS][STRIP * 8];
  _Alignas(8) uint8_t fill[MAX_INPUTS][8]; /* stand in for absent inputs */
  const uint8_t *held[MAX_INPUTS];         /* what a buffer was gathered from */
  int32_t held_rows[MAX_INPUTS];
} state;

/* -- shapes -- */

static int32_t fail_broadcast(const ops_request *call, const ops_tensor *a,
                              const ops_tensor *b) {
  if (a)
    return ops_fail(call, OPS_ERROR_SHAPE,
                    "%s %x and %s %x do not broadcast: sizes must be equal or "
                    "1",
                    a->name, a, b->name, b);
  ops_tensor list = {.rank = call->length[0]};
  for (int32_t i = 0; i < list.rank; ++i)
    list.shape[i] = (int32_t)ops_int(call, 0, i);
  return ops_fail(call, OPS_ERROR_SHAPE,
                  "%s %x does not broadcast to %s %v: sizes must be equal or 1",
                  b->name, b, call->family->attributes[0].name, &list);
}

static int32_t broadcast(ops_request *call) {
  int64_t shape[OPS_MAX_RANK];
  const ops_tensor *source[OPS_MAX_RANK] = {0}; /* of each size; 0: the list */
  int32_t rank = call->family->rule == RULE_EXPAND ? call->length[0] : 0;
  for (int32_t i = 0; i < rank; ++i) shape[i] = ops_int(call, 0, i);
  for (int32_t t = 0; t < call->inputs; ++t) {
    const ops_tensor *tensor = &call->tensors[t];
    for (; rank < tensor->rank; ++rank) { /* a new axis in front */
      for (int32_t i = rank; i > 0; --i) {
        shape[i] = shape[i - 1];
        source[i] = source[i - 1];
      }
      shape[0] = 1;
    }
    for (int32_t i = 0; i < tensor->rank; ++i) {
      int32_t axis = rank - tensor->rank + i;
      if (tensor->shape[i] == 1 || tensor->shape[i] == shape[axis]) continue;
      if (shape[axis] != 1) return fail_broadcast(call, source[axis], tensor);
      shape[axis] = tensor->shape[i];
      source[axis] = tensor;
    }
  }
  return ops_set_shape(call, &call->tensors[call->inputs], rank, shape);
}

/* -- loops -- */

/* Strides of a tensor along the output's axes. */
static void broadcast_strides(const ops_tensor *tensor, int32_t rank,
                              int64_t *stride) {
  int64_t step = 1;
  int32_t lead = rank - tensor->rank;
  for (int32_t i = rank - 1; i >= 0; --i) {
    int32_t size = i >= lead ? tensor->shape[i - lead] : 1;
    stride[i] = size == 1 ? 0 : step;
    step *= size;
  }
}

/* Whether every input runs from the last merged axis into this one. */
static int32_t continues(const loops *l, int64_t stride[][OPS_MAX_RANK],
                         int32_t axis, int32_t size) {
  for (int32_t t = 0; t < l->inputs; ++t)
    if (l->stride[t][l->rank - 1] != stride[t][axis] * size) return 0;
  return 1;
}

static void merge_axes(loops *l, const ops_tensor *output,
                       int64_t stride[][OPS_MAX_RANK]) {
  l->rank = 0;
  for (int32_t i = 0; i < output->rank; ++i) {
    int32_t size = output->shape[i];
    if (size == 1) continue;
    if (l->rank && continues(l, stride, i, size)) {
      l->size[l->rank - 1] *= size;
    } else {
      l->size[l->rank++] = size;
    }
    for (int32_t t = 0; t < l->inputs; ++t)
      l->stride[t][l->rank - 1] = stride[t][i];
  }
  if (l->rank) return;
  l->size[l->rank++] = 1;
  for (int32_t t = 0; t < l->inputs; ++t) l->stride[t][0] = 1;
}

static int32_t make_loops(const ops_request *call, loops *l) {
  int64_t stride[MAX_INPUTS][OPS_MAX_RANK];
  const ops_tensor *output = &call->tensors[call->inputs];
  l->inputs = call->inputs;
  for (int32_t t = 0; t < l->inputs; ++t) {
    const ops_tensor *tensor = &call->tensors[t];
    l->data[t] = tensor->data;
    l->itemsize[t] = tensor->itemsize;
    broadcast_strides(tensor, output->rank, stride[t]);
    if (!tensor->absent) continue;
    uint8_t *fill = ops_filled(call, tensor, 1);
    if (!fill) return OPS_ERROR_MEMORY;
    for (int32_t i = 0; i < tensor->itemsize; ++i) state.fill[t][i] = fill[i];
    ops_release(fill);
    l->data[t] = state.fill[t];
  }
  merge_axes(l, output, stride);
  return OPS_OK;
}

/* -- strips -- */

/* Whether an input lies in memory like the output along the axes from `axis`.
 */
static int32_t is_direct(const loops *l, int32_t t, int32_t axis) {
  int64_t step = 1;
  for (int32_t i = l->rank - 1; i >= axis; step *= l->size[i--])
    if (l->stride[t][i] != step) return 0;
  return 1;
}

static int32_t all_direct(const loops *l, int32_t axis) {
  for (int32_t t = 0; t < l->inputs; ++t)
    if (!is_direct(l, t, axis)) return 0;
  return 1;
}

static strips make_strips(const loops *l) {
  strips s = {.axis = l->rank - 1, .row = 1};
  if (all_direct(l, s.axis)) {
    int64_t run = l->size[s.axis];
    if (run >= LONG_RUN || s.axis == 0) {
      s.rows = l->size[s.axis];
      for (int32_t t = 0; t < l->inputs; ++t) s.direct[t] = 1;
      return s;
    }
  }
  while (s.axis > 0 && s.row * l->size[s.axis] <= STRIP / 2)
    s.row *= l->size[s.axis--];
  /* Strips of equal length rather than full ones and a short one. */
  int32_t most = (int32_t)(STRIP / s.row), size = l->size[s.axis];
  int32_t count = size / most + (size % most != 0);
  s.rows = size / count + (size % count != 0);
  for (int32_t t = 0; t < l->inputs; ++t)
    s.direct[t] = (uint8_t)is_direct(l, t, s.axis);
  return s;
}

/* The input's elements of a strip: in place, or gathered. */
static const uint8_t *operand(const loops *l, const strips *s, int32_t t,
                              const uint8_t *data, int32_t rows) {
  if (s->direct[t]) return data;
  if (state.held[t] == data && state.held_rows[t] >= rows)
    return state.buffer[t];
  int32_t shape[OPS_MAX_RANK];
  for (int32_t i = s->axis; i < l->rank; ++i) shape[i] = l->size[i];
  shape[s->axis] = rows;
  ops_copy_view(state.buffer[t], data, l->rank - s->axis, shape + s->axis,
                l->stride[t] + s->axis, l->itemsize[t]);
  state.held[t] = data;
  state.held_rows[t] = rows;
  return state.buffer[t];
}

/* The strips of one pass along s->axis. */
static int32_t run_axis(const ops_request *call, const loops *l,
                        const strips *s, const uint8_t **data, uint8_t *out,
                        ops_slot *slots) {
  const ops_tensor *output = &call->tensors[call->inputs];
  int32_t size = l->size[s->axis], rows;
  for (int32_t at = 0; at < size; at += rows) {
    rows = size - at < s->rows ? size - at : s->rows;
    for (int32_t t = 0; t < l->inputs; ++t) {
      int64_t offset = at * l->stride[t][s->axis] * l->itemsize[t];
      slots[t].p = (void *)operand(l, s, t, data[t] + offset, rows);
    }
    slots[l->inputs].p = out + at * s->row * output->itemsize;
    slots[l->inputs + 1].i = rows * s->row;
    int32_t code = ops_run_kernel(call, call->op->kernel, slots);
    if (code) return code;
  }
  return OPS_OK;
}

static int32_t run_strips(const ops_request *call, const loops *l,
                          const strips *s, ops_slot *slots) {
  int32_t index[OPS_MAX_RANK] = {0};
  const uint8_t *data[MAX_INPUTS];
  uint8_t *out = call->tensors[l->inputs].data;
  int64_t pass = l->size[s->axis] * s->row * call->tensors[l->inputs].itemsize;
  for (int32_t t = 0; t < l->inputs; ++t) data[t] = l->data[t];
  for (;; out += pass) {
    int32_t code = run_axis(call, l, s, data, out, slots);
    if (code) return code;
    int32_t i = s->axis - 1;
    for (; i >= 0; --i) {
      int32_t back = ++index[i] == l->size[i] ? l->size[i] : 0;
      for (int32_t t = 0; t < l->inputs; ++t)
        data[t] += (1 - back) * l->stride[t][i] * l->itemsize[t];
      if (!back) break;
      index[i] = 0;
    }
    if (i < 0) return OPS_OK;
  }
}

static int32_t run(ops_request *call) {
  static ops_slot slots[MAX_INPUTS + 2 + OPS_MAX_VALUES];
  loops l;
  if (!call->tensors[call->inputs].count) return OPS_OK;
  int32_t code = make_loops(call, &l);
  if (code) return code;
  for (int32_t t = 0; t < MAX_INPUTS; ++t) state.held[t] = 0;
  ops_attribute_slots(call, slots, l.inputs + 2);
  strips s = make_strips(&l);
  return run_strips(call, &l, &s, slots);
}

const ops_collapse ops_collapse_elementwise = {broadcast, run};
