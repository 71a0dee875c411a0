/* max_pool_with_indices.c: the largest of each window, and where it is. */
#include "windows3.h"

enum { STORAGE_ORDER = WINDOWS_OWN };

static int32_t shape(ops_request *call) {
  window_axes windows;
  int32_t code = ops_window_axes(call, &windows);
  for (int32_t o = 0; !code && o < 2; ++o)
    code = ops_window_shape(call, &windows, ops_output(call, o));
  return code;
}

typedef struct {
  window_axes windows;
  const void *x;
  void *out;
  int64_t *indices;
  int64_t planes, size; /* elements of a plane */
  int32_t sizes[SPATIAL];
} plan_type;

/* Places in order of the columns: axis 0 runs fastest. */
static void turn(const plan_type *plan, int64_t count) {
  const window_axis *axes = plan->windows.axes;
  int64_t depth = axes[0].size, height = axes[1].size, width = axes[2].size;
  for (int64_t i = 0; i < count; ++i) {
    int64_t place = plan->indices[i];
    if (place < 0) continue;
    int64_t plane = place / plan->size, rest = place - plane * plan->size;
    int64_t x = rest % width, y = rest / width % height,
            z = rest / width / height;
    plan->indices[i] = plane * plan->size + (x * height + y) * depth + z;
  }
}

static int32_t run(ops_request *call) {
  const ops_tensor *x = &call->tensors[0], *out = ops_output(call, 0);
  plan_type plan = {.x = x->data,
                    .out = out->data,
                    .indices = (int64_t *)ops_output(call, 1)->data,
                    .planes = ops_product(x->shape, 0, 2),
                    .size = ops_product(x->shape, 2, x->rank)};
  if (!out->count) return OPS_OK;
  int32_t code = ops_window_axes(call, &plan.windows);
  if (code) return code;
  ops_window_sizes(out, plan.sizes);
  ops_slot slots[] = {{.p = &plan}};
  code = ops_run_kernel(call, call->op->kernel, slots);
  if (!code && ops_int(call, STORAGE_ORDER, 0)) turn(&plan, out->count);
  return code;
}

const ops_collapse ops_collapse_max_pool_with_indices = {shape, run, 0};

#define DEFINE(dtype, type, least)                                        \
  int32_t kernel_max_pool_with_indices_##dtype(const ops_slot *slots) {   \
    plan_type *plan = slots[0].p;                                         \
    const window_axis *axes = plan->windows.axes;                         \
    const type *from = plan->x;                                           \
    type *out = plan->out;                                                \
    int64_t *indices = plan->indices;                                     \
    window_taps taps[SPATIAL];                                            \
    for (int64_t plane = 0; plane < plan->planes; ++plane) {              \
      int64_t base = plane * plan->size;                                  \
      EACH_WINDOW(axes, plan->sizes, taps) {                              \
        type best = least;                                                \
        int64_t at = -1;                                                  \
        EACH_TAP(axes, taps, place) {                                     \
          type value = from[base + place];                                \
          if (value > best || at < 0 || (value != value && best == best)) \
            best = value, at = base + place;                              \
        }                                                                 \
        *out++ = best;                                                    \
        *indices++ = at;                                                  \
      }                                                                   \
    }                                                                     \
    return 0;                                                             \
  }
DEFINE(float32, float, -__builtin_inff())
DEFINE(int8, int8_t, INT8_MIN)
DEFINE(uint8, uint8_t, 0)
