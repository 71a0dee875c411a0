/* collapse_elementwise.c: kernels over n elements; inputs broadcast as numpy's.
 *
 * Axes that follow each other and are broadcast for the same inputs become one.
 * What is left is covered by strips: a strip is a run of whole rows along axis
 * `axis` of the rest, contiguous in the output. An input that is contiguous
 * there too is read in place; any other is gathered into a buffer, and only
 * when it differs from the strip before. So a scalar operand is spread once,
 * and a bias over short rows once for many rows. Axis 0 is the innermost one.
 */
#include "call.h"

#define MAX_INPUTS 4
/* Elements of a strip with gathered inputs: 4 KB of float32, well inside L1. */
#define STRIP 1024
/* From this length on, a run that needs no gathering is worth a kernel call. */
#define LONG_RUN 256

/* Eight bytes at any address: wasm has no alignment traps. */
typedef uint64_t __attribute__((aligned(1), may_alias)) word;

typedef struct {
  const uint8_t *held; /* what the buffer was gathered from */
  int32_t held_rows;
  uint64_t fill;                 /* stands in for an absent input */
  uint8_t buffer[STRIP * 8 + 8]; /* the last word may reach past the strip */
} input;

/* `shape` finds the axes, and `run` uses them. */
static struct {
  int32_t rank;
  int32_t size[OPS_MAX_RANK];    /* of the merged axes */
  uint32_t spread[OPS_MAX_RANK]; /* bit t: input t is broadcast there */
  /* A strip: up to `most` steps along `axis`, each of `row` elements. */
  int32_t axis;
  int32_t row;
  int32_t most;
  uint32_t gathered; /* bit t: input t is not contiguous in a strip */
  input inputs[MAX_INPUTS];
  ops_slot slots[MAX_INPUTS + 2 + OPS_MAX_VALUES];
} state;

static void push(int32_t size, uint32_t spread) {
  int32_t last = state.rank - 1;
  if (last >= 0 && state.spread[last] == spread) {
    /* Where this overflows the output is too large, and refused. */
    state.size[last] = (int32_t)((uint32_t)state.size[last] * (uint32_t)size);
    return;
  }
  state.size[state.rank] = size;
  state.spread[state.rank++] = spread;
}

static int32_t shape(ops_request *call) {
  int64_t shape[OPS_MAX_RANK];
  int32_t rank = 0;
  for (int32_t t = 0; t < call->inputs; ++t)
    if (rank < call->tensors[t].rank) rank = call->tensors[t].rank;
  state.rank = 0;
  for (int32_t i = rank; i-- > 0;) {
    const ops_tensor *tensor = call->tensors;
    int32_t size = 1;
    uint32_t spread = 0;
    for (int32_t t = 0; t < call->inputs; ++t, ++tensor) {
      int32_t axis = i - rank + tensor->rank;
      int32_t own = axis < 0 ? 1 : tensor->shape[axis];
      if (own == 1) spread |= 1u << t;
      if (own == 1 || own == size) continue;
      if (size != 1) {
        ops_fail_with(call, OPS_ERROR_SHAPE,
                      "%s%ssizes %l and %l do not broadcast: make them equal "
                      "or one of them 1",
                      0, 0, size, own);
        return ops_append_got(call, OPS_ERROR_SHAPE);
      }
      size = own;
    }
    if (size != 1) push(size, spread);
    shape[i] = size;
  }
  if (!state.rank) push(1, 0); /* scalars */
  return ops_set_shape(call, &call->tensors[call->inputs], rank, shape);
}

static void set_strips(void) {
  state.axis = 0;
  state.row = 1;
  state.most = state.size[0];
  state.gathered = state.spread[0];
  if (!state.gathered && (state.most >= LONG_RUN || state.rank == 1)) return;
  while (state.axis < state.rank - 1 && state.row * state.most <= STRIP / 2) {
    state.row *= state.most;
    state.most = state.size[++state.axis];
    state.gathered |= state.spread[state.axis];
  }
  state.most = STRIP / state.row;
}

/* Copies `count` steps along an axis for an input of which `own` is the bit;
 * returns where the next ones are. */
static const uint8_t *gather(uint8_t *to, const uint8_t *from, uint32_t own,
                             int32_t itemsize, int32_t axis, int32_t count) {
  int32_t bytes = itemsize, spread = state.spread[axis] & own;
  for (int32_t i = 0; i < axis; ++i) bytes *= state.size[i];
  if (!axis && !spread) {
    __builtin_memcpy(to, from, (uint32_t)(bytes * count));
    return from + bytes * count;
  }
  if (!axis) {
    uint64_t fill = ops_repeat(from, itemsize);
    for (int32_t i = 0; i < bytes * count; i += 8) *(word *)(to + i) = fill;
    return from + bytes;
  }
  for (const uint8_t *before = to; count--; to += bytes) {
    if (spread && to != before) /* again what is there already */
      __builtin_memcpy(to, before, (uint32_t)bytes);
    else
      from = gather(to, from, own, itemsize, axis - 1, state.size[axis - 1]);
  }
  return from;
}

/* The elements of input t in the `rows` steps from `at` on. */
static const uint8_t *operand(const ops_request *call, int32_t t, int32_t at,
                              int32_t rows) {
  const ops_tensor *tensor = &call->tensors[t];
  input *in = &state.inputs[t];
  uint32_t own = 1u << t;
  const uint8_t *data = tensor->data;
  int32_t step = tensor->itemsize;
  if (tensor->absent) {
    in->fill = ops_fill(call, tensor);
    data = (const uint8_t *)&in->fill;
  }
  for (int32_t i = 0; at && i < state.rank; ++i) {
    int32_t index = 0;
    if (i >= state.axis) {
      index = at % state.size[i];
      at /= state.size[i];
    }
    if (state.spread[i] & own) continue;
    data += index * step;
    step *= state.size[i];
  }
  if (!(state.gathered & own)) return data;
  if (in->held != data || in->held_rows < rows)
    gather(in->buffer, data, own, tensor->itemsize, state.axis, rows);
  in->held = data;
  in->held_rows = rows;
  return in->buffer;
}

static int32_t run(ops_request *call) {
  const ops_tensor *output = &call->tensors[call->inputs];
  int32_t code = OPS_OK, rows;
  ops_slot *slot = &state.slots[call->inputs];
  uint8_t *out = output->data, *end = out + output->bytes;
  if (out == end) return OPS_OK;
  set_strips();
  ops_attribute_slots(call, state.slots, call->inputs + 2);
  for (int32_t t = 0; t < call->inputs; ++t) state.inputs[t].held = 0;
  for (int32_t at = 0; !code && out != end; at += rows) {
    int32_t size = state.size[state.axis];
    rows = size - at % size;
    if (rows > state.most) rows = state.most;
    for (int32_t t = 0; t < call->inputs; ++t)
      state.slots[t].p = (void *)operand(call, t, at, rows);
    slot[0].p = out;
    slot[1].i = rows * state.row;
    out += rows * state.row * output->itemsize;
    code = ops_run_kernel(call, call->op->kernel, state.slots);
  }
  return code;
}

const ops_collapse ops_collapse_elementwise = {shape, run};
