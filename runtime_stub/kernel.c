/* kernel.c: what a collapse needs around a kernel. */
#include "call.h"
#include "memory.h"

void *ops_workspace(const ops_request *call, int64_t bytes) {
  void *workspace = TVMBackendAllocWorkspace(1, 0, (uint64_t)bytes, 0, 8);
  if (!workspace)
    ops_fail(call, OPS_ERROR_MEMORY,
             "no memory for a workspace of %l bytes; free blocks, or link with "
             "a higher --max-memory",
             bytes);
  return workspace;
}

void ops_release(void *workspace) {
  if (workspace) TVMBackendFreeWorkspace(1, 0, workspace);
}

static double fill_of(const ops_request *call, const ops_tensor *tensor) {
  const ops_param *param = call->family->params;
  while (param->name != tensor->name) ++param;
  return param->fill;
}

/* The nearest integer in [low, high] towards 0; NaN gives 0. */
static int64_t saturate(double value, double low, double high) {
  if (value != value) return 0;
  if (value <= low) return (int64_t)low;
  /* 2^63 is a double, the largest int64 is not. */
  if (value >= high) return high < 0x1p63 ? (int64_t)high : INT64_MAX;
  return (int64_t)value;
}

static void put_fill(uint8_t *memory, int64_t i, uint8_t dtype, double fill) {
  switch (dtype) {
    case OPS_FLOAT32: ((float *)memory)[i] = (float)fill; break;
    case OPS_INT32:
      ((int32_t *)memory)[i] = (int32_t)saturate(fill, INT32_MIN, INT32_MAX);
      break;
    case OPS_INT64:
      ((int64_t *)memory)[i] = saturate(fill, INT64_MIN, 0x1p63);
      break;
    case OPS_INT8:
      memory[i] = (uint8_t)saturate(fill, INT8_MIN, INT8_MAX);
      break;
    default: memory[i] = (uint8_t)saturate(fill, 0, UINT8_MAX); break;
  }
}

void *ops_filled(const ops_request *call, const ops_tensor *tensor,
                 int64_t count) {
  double fill = fill_of(call, tensor);
  void *memory = ops_workspace(call, count * tensor->itemsize);
  if (!memory) return 0;
  for (int64_t i = 0; i < count; ++i)
    put_fill(memory, i, tensor->dtype, fill);
  return memory;
}

/* A list of k values per unit is k groups of `length / k` values. A kernel that
 * takes more of each group gets the preset in front: 1-D strides [s] become
 * [preset, s]. */
static int32_t list_slots(const ops_request *call, int32_t a, ops_slot *slots) {
  const ops_attribute *attribute = &call->family->attributes[a];
  const ops_slot *values = &call->values[call->first[a]];
  int32_t groups = attribute->per_unit ? attribute->per_unit : 1;
  int32_t cells = attribute->slots / groups;
  int32_t given = call->length[a] / groups;
  for (int32_t g = 0; g < groups; ++g) {
    for (int32_t c = 0; c < cells; ++c) {
      int32_t from = c - (cells - given);
      ops_slot *slot = &slots[g * cells + c];
      if (from >= 0)
        *slot = values[g * given + from];
      else if (attribute->kind == OPS_ATTR_FLOAT)
        slot->f = attribute->preset;
      else
        slot->i = (int64_t)attribute->preset;
    }
  }
  return groups * cells;
}

int32_t ops_attribute_slots(const ops_request *call, ops_slot *slots,
                            int32_t at) {
  for (int32_t a = 0; a < call->family->attribute_count; ++a)
    if (call->family->attributes[a].slots)
      at += list_slots(call, a, slots + at);
  return at;
}

int32_t ops_run_kernel(const ops_request *call, ops_kernel kernel,
                       const ops_slot *slots) {
  uint32_t before = ops_workspaces();
  if (!kernel(slots)) return OPS_OK;
  ops_free_workspaces(before);
  return ops_fail(call, OPS_ERROR_MEMORY,
                  "no memory for the kernel's workspace; free blocks, or link "
                  "with a higher --max-memory");
}

int32_t ops_infer_sizes(const ops_request *call, ops_slot *slots,
                        int64_t *sizes) {
  const ops_family *family = call->family;
  static int64_t result[1 + OPS_MAX_TENSORS];
  slots[family->inputs].p = result;
  result[0] = 0;
  int32_t code = ops_run_kernel(call, family->infer, slots);
  if (code) return code;
  if (result[0])
    return ops_fail_got(call, OPS_ERROR_SHAPE, "%s",
                        family->requirements[result[0] - 1]);
  const int64_t *next = result + 1;
  for (int32_t o = 0; o < family->outputs; ++o) {
    const ops_param *param = &family->params[family->inputs + o];
    for (int32_t i = 0; i < param->rank; ++i, ++next) {
      if (*next < 0 || *next > INT32_MAX)
        return ops_fail_got(call, OPS_ERROR_SHAPE,
                            "axis %d of %s would have size %l", i, param->name,
                            *next);
      *sizes++ = *next;
    }
  }
  return OPS_OK;
}
