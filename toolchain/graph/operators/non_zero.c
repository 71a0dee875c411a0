/* non_zero.c: places of the elements that are not 0, a row for each axis. */
#include "walk.h"

/* A scalar has one place, as a vector of one element has. */
static int32_t axes(const ops_tensor *x) { return x->rank ? x->rank : 1; }

static int32_t shape(ops_request *call) {
  const ops_tensor *x = &call->tensors[0];
  int64_t out[] = {axes(x), x->count};
  return ops_set_shape(call, ops_output(call, 0), 2, out);
}

typedef struct {
  const void *x;
  int32_t *places; /* NULL: they are only counted */
  int32_t size, count;
} plan_type;

/* out[a, i] = the index along axis a of place i. Uses the places up. */
static void write(const ops_tensor *x, int64_t *out, int32_t *places,
                  int32_t count) {
  for (int32_t a = axes(x); a-- > 1;) {
    uint32_t size = (uint32_t)x->shape[a];
    int64_t *row = out + (int64_t)a * count;
    for (int32_t i = 0; i < count; ++i) {
      uint32_t place = (uint32_t)places[i], above = place / size;
      row[i] = place - above * size;
      places[i] = (int32_t)above;
    }
  }
  for (int32_t i = 0; i < count; ++i) out[i] = places[i];
}

static int32_t run(ops_request *call) {
  const ops_tensor *x = &call->tensors[0];
  ops_tensor *out = ops_output(call, 0);
  plan_type plan = {x->data, 0, (int32_t)x->count, 0};
  ops_slot slots[] = {{.p = &plan}};
  int32_t code = ops_run_kernel(call, call->op->kernel, slots);
  if (code) return code;
  plan.places = ops_workspace(call, (int64_t)plan.count * 4);
  if (!plan.places) return OPS_ERROR_MEMORY;
  code = ops_run_kernel(call, call->op->kernel, slots);
  write(x, (int64_t *)out->data, plan.places, plan.count);
  ops_release(plan.places);
  int32_t sizes[] = {axes(x), plan.count};
  ops_set_late(call, out, sizes);
  return code;
}

const ops_collapse ops_collapse_non_zero = {shape, run, 0};

#define DEFINE(dtype, type)                                    \
  int32_t kernel_non_zero_##dtype(const ops_slot *slots) {     \
    plan_type *plan = slots[0].p;                              \
    const type *x = plan->x;                                   \
    int32_t *places = plan->places, count = 0, n = plan->size; \
    if (places) {                                              \
      for (int32_t i = 0; i < n; ++i)                          \
        if (x[i] != 0) *places++ = i;                          \
      return 0;                                                \
    }                                                          \
    for (int32_t i = 0; i < n; ++i) count += x[i] != 0;        \
    plan->count = count;                                       \
    return 0;                                                  \
  }
DEFINE(float32, float)
DEFINE(int32, int32_t)
DEFINE(uint8, uint8_t)
DEFINE(int64, int64_t)
