/* collapse_elementwise.c: kernels over n elements; inputs broadcast as numpy's.
 *
 * Axes that follow each other and are broadcast for the same inputs become one.
 * What is left is covered by strips: a strip is a run of whole rows along axis
 * `axis` of the rest, contiguous in the output. An input that is contiguous
 * there too is read in place; any other is gathered into a buffer, and only
 * when it differs from the strip before. So a scalar operand is spread once,
 * and a bias over short rows once for many rows; one over long rows is read in
 * place for each. Axis 0 is the innermost one.
 */
#include "call.h"
#include "memory.h"

/* Elements of a strip with gathered inputs: 6 KB of float32, of which three are
 * in L1. 8 KB take 10 % longer where all comes from memory, 4 KB where from L2.
 */
#define STRIP 1600

/* At any address: wasm has no alignment traps. */
typedef uint64_t __attribute__((vector_size(16), aligned(1), may_alias)) vector;
/* Bytes that are filled together, and past the end of a strip. */
#define SPILL (4 * (int32_t)sizeof(vector))

typedef struct {
  uint8_t *start;
  uint8_t *at;    /* of the next strips; otherwise `start` */
  uint8_t *held;  /* what the buffer was gathered from */
  int32_t stride; /* bytes from strip to strip */
  int32_t itemsize;
  int32_t step[OPS_MAX_RANK]; /* bytes along each axis */
  uint64_t fill;              /* stands in for an absent input */
} operand;

/* `shape` finds the axes, and `run` uses them. */
static struct {
  int32_t rank;                  /* 0: all tensors have one shape */
  int32_t size[OPS_MAX_RANK];    /* of the merged axes */
  uint32_t spread[OPS_MAX_RANK]; /* bit t: input t is broadcast there */
  const operand *gathering;
  ops_slot slots[OPS_MAX_SLOTS];
  operand operands[OPS_MAX_INPUTS + 1]; /* inputs, then the output */
} state;

/* Aligned: a vector that lies in two lines takes twice as long. */
static _Alignas(
    OPS_ALIGNMENT) uint8_t buffers[OPS_MAX_INPUTS][STRIP * 8 + SPILL];

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
  state.rank = 0;
  if (ops_is_flat && !call->inferring && ops_is_flat(call)) return OPS_OK;
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

/* For at most a strip this is faster than a call of memory.copy. */
static void copy(uint8_t *to, const uint8_t *from, int32_t bytes) {
  const int32_t one = sizeof(vector), two = 2 * one;
  for (; bytes >= two; bytes -= two, to += two, from += two) {
    vector a = ((const vector *)from)[0], b = ((const vector *)from)[1];
    ((vector *)to)[0] = a, ((vector *)to)[1] = b;
  }
  if (bytes >= one) {
    *(vector *)to = *(const vector *)from;
    bytes -= one, to += one, from += one;
  }
  while (bytes--) *to++ = *from++;
}

/* Fills `bytes` with one element, and up to SPILL more. */
static void fill(uint8_t *to, uint64_t element, int32_t bytes) {
  vector value = {element, element}, *at = (vector *)to;
  for (; bytes > 0; bytes -= SPILL, at += 4)
    at[0] = at[1] = at[2] = at[3] = value;
}

/* Copies `count` steps along an axis for the input that is gathered. At most
 * four parameters: wasmtime passes others through memory. */
static void gather(uint8_t *to, const uint8_t *from, int32_t axis,
                   int32_t count) {
  const operand *in = state.gathering;
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
    do {
      gather(to, from, inner, state.size[inner]);
      to += bytes, from += in->step[axis];
    } while (--count);
  }
}

/* Where each operand starts, and its steps. */
static void set_operands(const ops_request *call) {
  const ops_tensor *tensor = call->tensors;
  operand *in = state.operands;
  for (int32_t t = 0; t <= call->inputs; ++t, ++in, ++tensor) {
    int32_t step = in->itemsize = tensor->itemsize;
    in->held = 0;
    in->start = tensor->data;
    if (tensor->absent) {
      in->fill = ops_fill(call, tensor);
      in->start = (uint8_t *)&in->fill;
    }
    in->at = in->start;
    for (int32_t i = 0; i < state.rank; ++i) {
      int32_t spread = state.spread[i] >> t & 1;
      in->step[i] = spread ? 0 : step;
      if (!spread) step *= state.size[i];
    }
  }
}

/* Calls the kernel for so many strips; each operand goes on by its stride. What
 * finds strips takes 20 ns longer for each.
 */
static int32_t run_kernel(const ops_request *call, int32_t strips) {
  ops_kernel kernel = call->op->kernel; /* looked up in the loop: 5 ns each */
  do {
    if (kernel(state.slots)) return ops_fail_workspace(call);
    for (int32_t t = 0; t <= call->inputs; ++t)
      state.slots[t].p = (uint8_t *)state.slots[t].p + state.operands[t].stride;
  } while (--strips);
  return OPS_OK;
}

/* A strip is up to `most` steps along `axis`, each of `row` elements. Strips
 * for which nothing is gathered anew are run together.
 */
static int32_t run_strips(const ops_request *call) {
  int32_t axis = 0, row = 1, most = state.size[0], rank = state.rank;
  int32_t left = 0, code;
  uint32_t gathered = state.spread[0], done = 0;
  while (axis < rank - 1 && row * most <= STRIP / 4) {
    row *= most;
    most = state.size[++axis];
    gathered |= state.spread[axis];
  }
  if (gathered) {
    most = STRIP / row & -4; /* kernels like multiples of 16 elements */
  } else if (rank > 1) {     /* long rows, one by one as they are */
    row = most;
    most = axis = 1;
  }
  const operand *end = state.operands + call->inputs + 1;
  do {
    uint32_t rest = done;
    for (int32_t i = axis; i < rank; ++i) {
      uint32_t size = (uint32_t)state.size[i];
      int32_t index = (int32_t)(rest % size);
      rest /= size;
      if (i == axis) left = (int32_t)size - index;
      for (operand *in = state.operands; in != end; ++in)
        in->at += index * in->step[i];
    }
    if (rest) return OPS_OK;
    int32_t rows = left < most ? left : most;
    ops_slot *slot = state.slots;
    for (operand *in = state.operands; in != end; ++in, ++slot) {
      slot->p = in->at;
      in->stride = rows * in->step[axis];
      if (gathered >> (slot - state.slots) & 1) {
        uint8_t *buffer = buffers[slot - state.slots];
        slot->p = buffer;
        if (in->held != in->at) { /* of the first strip, which has most rows */
          in->held = in->at;
          state.gathering = in;
          gather(buffer, in->at, axis, rows);
        }
      }
      in->at = in->start;
    }
    slot->i = rows * row;
    int32_t strips = gathered & ~state.spread[axis] ? 1 : left / rows;
    code = run_kernel(call, strips);
    done += (uint32_t)(strips * rows);
  } while (!code);
  return code;
}

static int32_t run(ops_request *call) {
  const ops_tensor *tensor = call->tensors;
  ops_slot *slot = state.slots;
  int64_t count = tensor[call->inputs].count;
  if (!count) return OPS_OK;
  ops_attribute_slots(call, slot, call->inputs + 2);
  slot[call->inputs + 1].i = count;
  if (state.rank) {
    set_operands(call);
    return run_strips(call);
  }
  /* As they are, in one call. */
  for (int32_t t = 0; t <= call->inputs; ++t) slot[t].p = tensor[t].data;
  return run_kernel(call, 1);
}

const ops_collapse ops_collapse_elementwise = {shape, run, 1};
