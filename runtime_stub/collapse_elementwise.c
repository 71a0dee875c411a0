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

/* At any address: wasm has no alignment traps. */
typedef uint64_t
    __attribute__((vector_size(16), aligned(1), may_alias)) vector;

typedef struct {
  const uint8_t *at;   /* its next element */
  const uint8_t *held; /* what the buffer was gathered from */
  int32_t held_rows;
  int32_t itemsize;
  int32_t step[OPS_MAX_RANK]; /* bytes along each axis */
  uint64_t fill;              /* stands in for an absent input */
  /* The last vector may reach past the strip. */
  uint8_t buffer[STRIP * 8 + sizeof(vector)];
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
  int32_t index[OPS_MAX_RANK]; /* of the next strip */
  const input *gathering;
  input inputs[MAX_INPUTS];
  input *end;
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
  state.index[state.rank] = 0;
  state.spread[state.rank++] = spread;
}

static int32_t shape(ops_request *call) {
  int64_t shape[OPS_MAX_RANK];
  int32_t rank = 0;
  state.rank = 0;
  for (int32_t t = 0; t < call->inputs; ++t)
    if (rank < call->tensors[t].rank) rank = call->tensors[t].rank;
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

/* For at most a strip this is faster than a call of memory.copy. */
static void copy(uint8_t *to, const uint8_t *from, int32_t bytes) {
  const int32_t step = sizeof(vector);
  for (; bytes >= step; bytes -= step, to += step, from += step)
    *(vector *)to = *(const vector *)from;
  while (bytes--) *to++ = *from++;
}

/* Fills `bytes` with one element, and up to a vector more. */
static void fill(uint8_t *to, uint64_t element, int32_t bytes) {
  vector value = {element, element}, *at = (vector *)to;
  for (; bytes > 0; bytes -= (int32_t)sizeof value) *at++ = value;
}

/* Copies `count` steps along an axis for the input that is gathered. At most
 * four parameters: wasmtime passes others through memory. */
static void gather(uint8_t *to, const uint8_t *from, int32_t axis,
                   int32_t count) {
  const input *in = state.gathering;
  int32_t bytes = in->itemsize, inner = axis - 1;
  for (int32_t i = 0; i < axis; ++i) bytes *= state.size[i];
  int32_t all = bytes * count;
  if (!axis && in->step[0]) {
    copy(to, from, all);
  } else if (!axis) {
    fill(to, ops_repeat(from, in->itemsize), all);
  } else if (!in->step[axis]) { /* once, and then what is there already */
    gather(to, from, inner, state.size[inner]);
    for (; bytes < all; bytes *= 2)
      copy(to + bytes, to, bytes < all - bytes ? bytes : all - bytes);
  } else {
    for (; count--; to += bytes, from += in->step[axis])
      gather(to, from, inner, state.size[inner]);
  }
}

/* Where each input starts, and its steps. */
static void set_inputs(const ops_request *call) {
  const ops_tensor *tensor = call->tensors;
  uint32_t own = 1;
  for (input *in = state.inputs; in != state.end; ++in, ++tensor, own *= 2) {
    int32_t step = in->itemsize = tensor->itemsize;
    in->held = 0;
    in->at = tensor->data;
    if (tensor->absent) {
      in->fill = ops_fill(call, tensor);
      in->at = (const uint8_t *)&in->fill;
    }
    for (int32_t i = 0; i < state.rank; ++i) {
      int32_t spread = state.spread[i] & own;
      in->step[i] = spread ? 0 : step;
      if (!spread) step *= state.size[i];
    }
  }
}

/* The slots of the inputs for the next `rows` steps. */
static void set_slots(int32_t rows) {
  ops_slot *slot = state.slots;
  uint32_t gathered = state.gathered;
  for (input *in = state.inputs; in != state.end; ++in, gathered /= 2) {
    const uint8_t *at = in->at;
    if (gathered & 1) {
      state.gathering = in;
      if (in->held != at || in->held_rows < rows)
        gather(in->buffer, at, state.axis, rows);
      in->held = at;
      in->held_rows = rows;
      at = in->buffer;
    }
    slot++->p = (void *)at;
  }
}

/* Goes `rows` steps on. */
static void advance(int32_t rows) {
  for (int32_t i = state.axis; i < state.rank; ++i, rows = 1) {
    int32_t index = state.index[i] + rows, more = index != state.size[i];
    state.index[i] = more ? index : 0;
    if (!more) rows -= index;
    for (input *in = state.inputs; in != state.end; ++in)
      in->at += in->step[i] * rows;
    if (more) return;
  }
}

static int32_t run(ops_request *call) {
  const ops_tensor *output = &call->tensors[call->inputs];
  int32_t code = OPS_OK;
  ops_slot *slot = &state.slots[call->inputs];
  uint8_t *out = output->data, *end = out + output->bytes;
  if (out == end) return OPS_OK;
  ops_attribute_slots(call, state.slots, call->inputs + 2);
  if (state.rank == 1 && !state.spread[0]) { /* as they are, in one call */
    for (int32_t t = 0; t <= call->inputs; ++t)
      state.slots[t].p = call->tensors[t].data;
    slot[1].i = state.size[0];
    return ops_run_kernel(call, call->op->kernel, state.slots);
  }
  state.end = state.inputs + call->inputs;
  set_strips();
  set_inputs(call);
  while (!code && out != end) {
    int32_t rows = state.size[state.axis] - state.index[state.axis];
    if (rows > state.most) rows = state.most;
    int32_t n = rows * state.row;
    set_slots(rows);
    slot[0].p = out;
    slot[1].i = n;
    code = ops_run_kernel(call, call->op->kernel, state.slots);
    out += n * output->itemsize;
    advance(rows);
  }
  return code;
}

const ops_collapse ops_collapse_elementwise = {shape, run};
