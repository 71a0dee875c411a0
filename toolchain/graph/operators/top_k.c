/* top_k.c: the k largest or smallest elements of each row, in order.
 *
 * An element and its place become one unsigned number, so that one comparison
 * orders elements and, among equal ones, puts the first before the others. A
 * heap keeps the k largest of these numbers: n log k.
 */
#include "order.h"
#include "walk.h"

static int32_t axis_of(const ops_request *call) {
  return ops_axis(call, "axis", ops_int(call, 1, 0), call->tensors[0].rank);
}

static int32_t shape(ops_request *call) {
  const ops_tensor *x = &call->tensors[0];
  int64_t out[OPS_MAX_RANK], k = ops_int(call, 0, 0);
  int32_t axis = axis_of(call);
  if (axis < 0) return OPS_ERROR_ATTRIBUTE;
  for (int32_t i = 0; i < x->rank; ++i) out[i] = x->shape[i];
  if (k > out[axis])
    return ops_fail_got(call, OPS_ERROR_ATTRIBUTE,
                        "k is %l, more than axis %d has; use 0..%l", k, axis,
                        out[axis]);
  out[axis] = k;
  int32_t code = ops_set_shape(call, ops_output(call, 0), x->rank, out);
  return code ? code : ops_set_shape(call, ops_output(call, 1), x->rank, out);
}

typedef struct {
  const void *x;
  void *values, *heap;
  int64_t *indices;
  int32_t o, n, inner; /* x [o, n, inner] */
  int32_t k;
  int32_t smallest;
} plan_type;

static int32_t run(ops_request *call) {
  const ops_tensor *x = &call->tensors[0];
  int32_t axis = axis_of(call);
  plan_type plan = {.x = x->data,
                    .values = ops_output(call, 0)->data,
                    .indices = (int64_t *)ops_output(call, 1)->data,
                    .o = (int32_t)ops_product(x->shape, 0, axis),
                    .n = x->shape[axis],
                    .inner = (int32_t)ops_product(x->shape, axis + 1, x->rank),
                    .k = (int32_t)ops_int(call, 0, 0),
                    .smallest = !ops_int(call, 2, 0)};
  if (!ops_output(call, 0)->count) return OPS_OK;
  plan.heap = ops_workspace(call, (int64_t)plan.k * 16);
  if (!plan.heap) return OPS_ERROR_MEMORY;
  ops_slot slots[] = {{.p = &plan}};
  int32_t code = ops_run_kernel(call, call->op->kernel, slots);
  ops_release(plan.heap);
  return code;
}

const ops_collapse ops_collapse_top_k = {shape, run, 0};

#define DEFINE(dtype, type, number, unsigned_type)                            \
  static void row_##dtype(const plan_type *plan, const type *x, type *values, \
                          int64_t *indices) {                                 \
    number *heap = plan->heap;                                                \
    unsigned_type turn = plan->smallest ? (unsigned_type) - 1 : 0;            \
    int32_t k = plan->k;                                                      \
    for (int32_t i = 0; i < plan->n; ++i) {                                   \
      unsigned_type order = order_##dtype(x[(int64_t)i * plan->inner]);       \
      number value = (number)(order ^ turn) << 32 | (uint32_t)~i;             \
      if (i < k) {                                                            \
        heap[i] = value;                                                      \
        if (i == k - 1) heapify_##number(heap, k);                            \
      } else if (value > heap[0]) {                                           \
        sink_##number(heap, 0, k, value);                                     \
      }                                                                       \
    }                                                                         \
    sort_##number(heap, k);                                                   \
    for (int32_t i = 0; i < k; ++i) {                                         \
      int64_t place = (int32_t)~(uint32_t)heap[i];                            \
      indices[(int64_t)i * plan->inner] = place;                              \
      values[(int64_t)i * plan->inner] = x[place * plan->inner];              \
    }                                                                         \
  }                                                                           \
  int32_t kernel_top_k_##dtype(const ops_slot *slots) {                       \
    const plan_type *plan = slots[0].p;                                       \
    for (int64_t o = 0; o < plan->o; ++o)                                     \
      for (int64_t i = 0; i < plan->inner; ++i) {                             \
        int64_t at = o * plan->inner * plan->k + i;                           \
        row_##dtype(plan,                                                     \
                    (const type *)plan->x + o * plan->inner * plan->n + i,    \
                    (type *)plan->values + at, plan->indices + at);           \
      }                                                                       \
    return 0;                                                                 \
  }
DEFINE(float32, float, uint64_t, uint32_t)
DEFINE(int32, int32_t, uint64_t, uint32_t)
DEFINE(int8, int8_t, uint64_t, uint32_t)
DEFINE(uint8, uint8_t, uint64_t, uint32_t)
DEFINE(int64, int64_t, wide, uint64_t)
