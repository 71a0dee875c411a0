/* unique.c: the different slices along an axis, or elements, with their places.
 *
 * The kernel sorts the places of slices, equal ones in order of their places
 * (a merge sort), and says which are equal to the one before.
 */
#include "order.h"
#include "walk.h"

enum { Y, INDICES, INVERSE, COUNTS };

typedef struct {
  const void *x; /* [o, n, inner] */
  int32_t o, n, inner;
  int32_t *places, *other; /* n of each; sorted in places */
  uint8_t *same;           /* n */
} plan_type;

static int32_t shape(ops_request *call) {
  const ops_tensor *x = &call->tensors[0];
  int32_t axis = ops_axis_or_all(call), rank = axis < 0 ? 1 : x->rank;
  if (axis < -1) return OPS_ERROR_ATTRIBUTE;
  int64_t out[OPS_MAX_RANK];
  out[0] = x->count;
  for (int32_t i = 0; axis >= 0 && i < rank; ++i) out[i] = x->shape[i];
  int64_t size = out[axis < 0 ? 0 : axis];
  int32_t code = ops_set_shape(call, ops_output(call, Y), rank, out);
  for (int32_t i = INDICES; !code && i <= COUNTS; ++i)
    code = ops_set_shape(call, ops_output(call, i), 1, &size);
  return code;
}

/* -- groups of equal slices, after the sort -- */

/* first[g], counts[g] and inverse[place]; how many groups there are. */
static int32_t group(ops_request *call, const plan_type *plan) {
  int64_t *first = (int64_t *)ops_output(call, INDICES)->data;
  int64_t *inverse = (int64_t *)ops_output(call, INVERSE)->data;
  int64_t *counts = (int64_t *)ops_output(call, COUNTS)->data;
  int32_t groups = 0;
  for (int32_t i = 0; i < plan->n; ++i) {
    int32_t place = plan->places[i];
    if (!plan->same[i]) first[groups] = place, counts[groups++] = 0;
    ++counts[groups - 1];
    inverse[place] = groups - 1;
  }
  return groups;
}

/* Groups in the order of their first places. The sort's arrays are used up. */
static void reorder(ops_request *call, const plan_type *plan, int32_t groups) {
  int64_t *first = (int64_t *)ops_output(call, INDICES)->data;
  int64_t *inverse = (int64_t *)ops_output(call, INVERSE)->data;
  int64_t *counts = (int64_t *)ops_output(call, COUNTS)->data;
  int32_t *moved = plan->places, *count = plan->other, at = 0;
  for (int32_t g = 0; g < groups; ++g) count[g] = (int32_t)counts[g];
  for (int32_t i = 0; i < plan->n; ++i) {
    int32_t g = (int32_t)inverse[i];
    /* A group's first place comes before its others. */
    if (first[g] == i) moved[g] = at, counts[at++] = count[g];
    inverse[i] = moved[g];
  }
  for (int32_t i = plan->n; i--;) first[inverse[i]] = i;
}

static void finish(ops_request *call, const plan_type *plan, int32_t groups) {
  ops_tensor *y = ops_output(call, Y);
  const int64_t *first = (const int64_t *)ops_output(call, INDICES)->data;
  uint32_t slice = (uint32_t)(plan->inner * y->itemsize);
  uint8_t *to = y->data;
  for (int64_t o = 0; y->count && o < plan->o; ++o)
    for (int32_t g = 0; g < groups; ++g, to += slice)
      __builtin_memcpy(
          to, call->tensors[0].data + (o * plan->n + first[g]) * slice, slice);
  int32_t axis = ops_axis_or_all(call), sizes[OPS_MAX_RANK];
  for (int32_t i = 0; i < y->rank; ++i) sizes[i] = y->shape[i];
  sizes[axis < 0 ? 0 : axis] = groups;
  ops_set_late(call, y, sizes);
  ops_set_late(call, ops_output(call, INDICES), &groups);
  ops_set_late(call, ops_output(call, COUNTS), &groups);
}

static int32_t run(ops_request *call) {
  const ops_tensor *x = &call->tensors[0];
  int32_t axis = ops_axis_or_all(call);
  plan_type plan = {x->data, 1, (int32_t)x->count, 1, 0, 0, 0};
  if (axis >= 0) {
    plan.o = (int32_t)ops_product(x->shape, 0, axis);
    plan.n = x->shape[axis];
    plan.inner = (int32_t)ops_product(x->shape, axis + 1, x->rank);
  }
  int32_t *workspace = ops_workspace(call, (int64_t)plan.n * 9);
  if (!workspace) return OPS_ERROR_MEMORY;
  plan.places = workspace; /* the sort swaps it with `other` */
  plan.other = plan.places + plan.n;
  plan.same = (uint8_t *)(plan.other + plan.n);
  ops_slot slots[] = {{.p = &plan}};
  int32_t code = ops_run_kernel(call, call->op->kernel, slots);
  if (!code) {
    int32_t groups = group(call, &plan);
    if (!ops_int(call, 1, 0)) reorder(call, &plan, groups);
    finish(call, &plan, groups);
  }
  ops_release(workspace);
  return code;
}

const ops_collapse ops_collapse_unique = {shape, run, 0};

/* -- the sort -- */

#define DEFINE(dtype, type)                                               \
  /* Whether slice a comes before slice b: -1, 0 or 1. */                 \
  static inline int32_t compare_##dtype(const plan_type *plan, int32_t a, \
                                        int32_t b) {                      \
    int64_t inner = plan->inner, step = plan->n * inner;                  \
    const type *x = (const type *)plan->x + a * inner;                    \
    const type *y = (const type *)plan->x + b * inner;                    \
    for (int64_t o = 0; o < plan->o; ++o, x += step, y += step)           \
      for (int64_t i = 0; i < inner; ++i)                                 \
        if (order_##dtype(x[i]) != order_##dtype(y[i]))                   \
          return order_##dtype(x[i]) < order_##dtype(y[i]) ? -1 : 1;      \
    return 0;                                                             \
  }                                                                       \
  static void merge_##dtype(const plan_type *plan, const int32_t *from,   \
                            int32_t *to, int32_t left, int32_t right,     \
                            int32_t end) {                                \
    int32_t a = left, b = right;                                          \
    for (int32_t i = left; i < end; ++i)                                  \
      to[i] = b >= end || (a < right &&                                   \
                           compare_##dtype(plan, from[a], from[b]) <= 0)  \
                  ? from[a++]                                             \
                  : from[b++];                                            \
  }                                                                       \
  int32_t kernel_unique_##dtype(const ops_slot *slots) {                  \
    plan_type *plan = slots[0].p;                                         \
    int32_t n = plan->n;                                                  \
    for (int32_t i = 0; i < n; ++i) plan->places[i] = i;                  \
    for (int64_t run = 1; run < n; run *= 2) {                            \
      for (int64_t i = 0; i < n; i += 2 * run) {                          \
        int64_t middle = i + run < n ? i + run : n;                       \
        int64_t end = middle + run < n ? middle + run : n;                \
        merge_##dtype(plan, plan->places, plan->other, (int32_t)i,        \
                      (int32_t)middle, (int32_t)end);                     \
      }                                                                   \
      int32_t *sorted = plan->other;                                      \
      plan->other = plan->places;                                         \
      plan->places = sorted;                                              \
    }                                                                     \
    for (int32_t i = 0; i < n; ++i)                                       \
      plan->same[i] = i && compare_##dtype(plan, plan->places[i - 1],     \
                                           plan->places[i]) == 0;         \
    return 0;                                                             \
  }
DEFINE(float32, float)
DEFINE(int32, int32_t)
DEFINE(int8, int8_t)
DEFINE(uint8, uint8_t)
DEFINE(int64, int64_t)
