/* gather_elements.c: out[i, j, k] = data[i, indices[i, j, k], k], for axis 1.
 *
 * Kernel: slots plan; the rest is in it.
 */
#include "walk.h"

typedef struct {
  const void *data, *indices;
  void *out;
  ops_walk rows;  /* of indices, in data: all axes but the last */
  int64_t stride; /* of `axis` in data */
  int64_t step;   /* in data, from an element of a row to the next */
  int32_t count;  /* rows */
  int32_t length; /* of a row */
  int32_t size;   /* of `axis` in data */
} gather_plan;

static int32_t shape(ops_request *call) {
  const ops_tensor *data = &call->tensors[0], *indices = &call->tensors[1];
  int32_t axis = ops_axis(call, "axis", ops_int(call, 0, 0), data->rank);
  if (axis < 0) return OPS_ERROR_ATTRIBUTE;
  int32_t code = ops_check_beside(call, data, indices, axis);
  return code ? code : ops_shape_like(call, ops_output(call, 0), indices);
}

static int32_t run(ops_request *call) {
  const ops_tensor *data = &call->tensors[0], *indices = &call->tensors[1];
  int32_t rank = data->rank;
  int32_t axis = ops_axis(call, "axis", ops_int(call, 0, 0), rank);
  int32_t code = ops_check_elements(call, indices, axis, data->shape[axis]);
  if (code || !indices->count) return code;
  int64_t strides[OPS_MAX_RANK];
  ops_strides(data, strides);
  gather_plan plan = {.data = data->data,
                      .indices = indices->data,
                      .out = ops_output(call, 0)->data,
                      .stride = strides[axis],
                      .step = axis == rank - 1 ? 0 : 1,
                      .length = indices->shape[rank - 1],
                      .size = data->shape[axis]};
  plan.count = (int32_t)(indices->count / plan.length);
  ops_walk_start(&plan.rows, indices, data, rank - 1);
  if (axis < rank - 1) plan.rows.stride[axis] = 0;
  ops_slot slots[] = {{.p = &plan}};
  return ops_run_kernel(call, call->op->kernel, slots);
}

const ops_collapse ops_collapse_gather_elements = {shape, run, 0};

#define DEFINE(name, type, index)                                        \
  int32_t kernel_gather_elements_##name(const ops_slot *slots) {         \
    gather_plan *plan = slots[0].p;                                      \
    const index *indices = plan->indices;                                \
    int64_t stride = plan->stride, step = plan->step, size = plan->size; \
    type *out = plan->out;                                               \
    for (int32_t r = 0; r < plan->count; ++r) {                          \
      const type *data = (const type *)plan->data + plan->rows.offset;   \
      for (int32_t j = 0; j < plan->length; ++j, data += step) {         \
        int64_t i = *indices++;                                          \
        *out++ = data[(i < 0 ? i + size : i) * stride];                  \
      }                                                                  \
      ops_walk_next(&plan->rows);                                        \
    }                                                                    \
    return 0;                                                            \
  }

DEFINE(int32_int32, uint32_t, int32_t)
DEFINE(int32_int64, uint32_t, int64_t)
DEFINE(uint8_int32, uint8_t, int32_t)
DEFINE(uint8_int64, uint8_t, int64_t)
DEFINE(int64_int32, uint64_t, int32_t)
DEFINE(int64_int64, uint64_t, int64_t)
