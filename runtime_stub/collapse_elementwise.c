/* collapse_elementwise.c: kernels over n elements; inputs broadcast as numpy's.
 *
 * Axes that follow each other and are broadcast for the same inputs become one.
 * What is left is covered by strips: a strip is a run of whole rows along axis
 * `axis` of the rest, contiguous in the output. An input that is contiguous
 * there too is read in place; any other is gathered into a buffer, and only
 * when it differs from the strip before. So a scalar operand is splat
 * once, and a bias is gathered once for many short rows; a bias over long rows
 * is read in place for each row. Axis 0 is the innermost one.
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

/* Not through `call`: `gather` has no parameter left for it, and an address
 * that is known takes less code. */
static ops_elementwise_plan *const plan = &ops_state.call.plan.elementwise;

/* Aligned: a vector that lies in two lines takes twice as long. */
static _Alignas(
    OPS_ALIGNMENT) uint8_t buffers[OPS_MAX_INPUTS][STRIP * 8 + SPILL];

static void push(int32_t size, uint32_t broadcast) {
  int32_t last = plan->rank - 1;
  if (last >= 0 && plan->broadcast[last] == broadcast) {
    /* Where this overflows the output is too large, and refused. */
    plan->size[last] = (int32_t)((uint32_t)plan->size[last] * (uint32_t)size);
    return;
  }
  plan->size[plan->rank] = size;
  plan->broadcast[plan->rank++] = broadcast;
}

static int32_t shape(ops_request *call) {
  int64_t shape[OPS_MAX_RANK];
  int32_t rank = 0;
  plan->rank = 0;
  if (ops_is_flat && !call->inferring && ops_is_flat(call)) return OPS_OK;
  for (int32_t t = 0; t < call->inputs; ++t)
    if (rank < call->tensors[t].rank) rank = call->tensors[t].rank;
  for (int32_t i = rank; i-- > 0;) {
    const ops_tensor *tensor = call->tensors;
    int32_t size = 1;
    uint32_t broadcast = 0;
    for (int32_t t = 0; t < call->inputs; ++t, ++tensor) {
      int32_t axis = i - rank + tensor->rank;
      int32_t own = axis < 0 ? 1 : tensor->shape[axis];
      if (own == 1) broadcast |= 1u << t;
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
    if (size != 1) push(size, broadcast);
    shape[i] = size;
  }
  if (!plan->rank) push(1, 0); /* scalars */
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
  const ops_operand *in = plan->gathering;
  int32_t bytes = in->itemsize, inner = axis - 1;
  for (int32_t i = 0; i < axis; ++i) bytes *= plan->size[i];
  int32_t all = bytes * count;
  if (!axis && in->step[0]) {
    copy(to, from, all);
  } else if (!axis) {
    fill(to, ops_repeat(from, in->itemsize), all);
  } else if (!in->step[axis]) { /* gathers a step, then doubles it */
    gather(to, from, inner, plan->size[inner]);
    for (; bytes < all; bytes *= 2)
      copy(to + bytes, to, bytes < all - bytes ? bytes : all - bytes);
  } else {
    do {
      gather(to, from, inner, plan->size[inner]);
      to += bytes, from += in->step[axis];
    } while (--count);
  }
}

/* Where each operand starts, and its steps. */
static void set_operands(const ops_request *call) {
  const ops_tensor *tensor = call->tensors;
  ops_operand *in = plan->operands;
  for (int32_t t = 0; t <= call->inputs; ++t, ++in, ++tensor) {
    int32_t step = in->itemsize = tensor->itemsize;
    in->source = 0;
    in->start = tensor->data;
    if (tensor->absent) {
      in->fill = ops_fill(call, tensor);
      in->start = (uint8_t *)&in->fill;
    }
    in->at = in->start;
    for (int32_t i = 0; i < plan->rank; ++i) {
      int32_t broadcast = plan->broadcast[i] >> t & 1;
      in->step[i] = broadcast ? 0 : step;
      if (!broadcast) step *= plan->size[i];
    }
  }
}

/* Calls the kernel for so many strips; each operand goes on by its stride. To
 * find a strip takes 20 ns.
 */
static int32_t run_kernel(const ops_request *call, int32_t strips) {
  ops_kernel kernel = call->op->kernel; /* looked up in the loop: 5 ns each */
  do {
    if (kernel(plan->slots)) return ops_fail_workspace(call);
    for (int32_t t = 0; t <= call->inputs; ++t)
      plan->slots[t].p = (uint8_t *)plan->slots[t].p + plan->operands[t].stride;
  } while (--strips);
  return OPS_OK;
}

/* A strip is up to `most` steps along `axis`, each of `row` elements. Strips
 * for which nothing is gathered anew are run together.
 */
static int32_t run_strips(const ops_request *call) {
  int32_t axis = 0, row = 1, most = plan->size[0], rank = plan->rank;
  int32_t left = 0, code;
  uint32_t gathered = plan->broadcast[0], done = 0;
  while (axis < rank - 1 && row * most <= STRIP / 4) {
    row *= most;
    most = plan->size[++axis];
    gathered |= plan->broadcast[axis];
  }
  if (gathered) {
    most = STRIP / row & -4; /* kernels like multiples of 16 elements */
  } else if (rank > 1) {     /* long rows, one by one as they are */
    row = most, most = axis = 1;
  }
  const ops_operand *end = plan->operands + call->inputs + 1;
  do {
    uint32_t rest = done;
    for (int32_t i = axis; i < rank; ++i) {
      uint32_t size = (uint32_t)plan->size[i];
      int32_t index = (int32_t)(rest % size);
      rest /= size;
      if (i == axis) left = (int32_t)size - index;
      for (ops_operand *in = plan->operands; in != end; ++in)
        in->at += index * in->step[i];
    }
    if (rest) return OPS_OK;
    int32_t rows = left < most ? left : most;
    ops_slot *slot = plan->slots;
    for (ops_operand *in = plan->operands; in != end; ++in, ++slot) {
      slot->p = in->at;
      in->stride = rows * in->step[axis];
      if (gathered >> (slot - plan->slots) & 1) {
        uint8_t *buffer = buffers[slot - plan->slots];
        slot->p = buffer;
        if (in->source !=
            in->at) { /* of the first strip, which has most rows */
          in->source = in->at;
          plan->gathering = in;
          gather(buffer, in->at, axis, rows);
        }
      }
      in->at = in->start;
    }
    slot->i = rows * row;
    int32_t strips = gathered & ~plan->broadcast[axis] ? 1 : left / rows;
    code = run_kernel(call, strips);
    done += (uint32_t)(strips * rows);
  } while (!code);
  return code;
}

static int32_t run(ops_request *call) {
  const ops_tensor *tensor = call->tensors;
  ops_slot *slot = plan->slots;
  int64_t count = tensor[call->inputs].count;
  if (!count) return OPS_OK;
  ops_attribute_slots(call, slot, call->inputs + 2);
  slot[call->inputs + 1].i = count;
  if (plan->rank) {
    set_operands(call);
    return run_strips(call);
  }
  /* As they are, in one call. */
  for (int32_t t = 0; t <= call->inputs; ++t) slot[t].p = tensor[t].data;
  return run_kernel(call, 1);
}

const ops_collapse ops_collapse_elementwise = {shape, run, 1};
