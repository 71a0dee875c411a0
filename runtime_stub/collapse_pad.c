/* collapse_pad.c: padding and cropping, one axis after the other.
 *
 * Kernel: out[o, j, k] = x[o, j - begin, k], or by the mode outside x; slots:
 * x [o,n,k], out [o,n',k], o, n, k, mode, value, begin, end.
 * Attributes: mode, value, pads (all begins, then all ends).
 */
#include "call.h"

enum { MODE_CONSTANT = 0, MODE_REFLECT, MODE_EDGE, MODE_WRAP };
enum { SLOT_X, SLOT_OUT, SLOT_O, SLOT_N, SLOT_K, SLOT_MODE, SLOT_VALUE };
enum { SLOT_BEGIN = SLOT_VALUE + 1, SLOT_END, SLOTS };

static int64_t begin(const ops_request *call, int32_t axis) {
  return ops_int(call, 2, axis);
}

static int64_t end(const ops_request *call, int32_t axis) {
  return ops_int(call, 2, call->units + axis);
}

static int32_t is_padded(const ops_request *call, int32_t axis) {
  return begin(call, axis) != 0 || end(call, axis) != 0;
}

static int32_t check(const ops_request *call, int32_t axis) {
  const ops_tensor *x = &call->tensors[0];
  int64_t mode = ops_int(call, 0, 0);
  int32_t size = x->shape[axis];
  /* What negative pads leave is what the modes repeat. */
  int64_t left = size;
  for (int32_t side = 0; side < 2; ++side) {
    int64_t pad = ops_int(call, 2, side * call->units + axis);
    if (pad < 0) left += pad;
  }
  for (int32_t side = 0; side < 2; ++side) {
    int32_t entry = side * call->units + axis;
    int64_t pad = ops_int(call, 2, entry);
    if (pad < -(int64_t)size) {
      return ops_fail_got(call, OPS_ERROR_ATTRIBUTE,
                          "pads[%d] is %l but axis %d of %s has size %d; it "
                          "can take away no more",
                          entry, pad, axis, x->name, size);
    }
    if (pad <= 0 || mode == MODE_CONSTANT) continue;
    if (mode == MODE_REFLECT ? pad < left : left > 0) continue;
    return ops_fail_got(call, OPS_ERROR_ATTRIBUTE,
                        "pads[%d] is %l but axis %d of %s has size %d; %s",
                        entry, pad, axis, x->name, size,
                        mode == MODE_REFLECT
                            ? "reflect needs a larger axis"
                            : "edge and wrap need one element or more");
  }
  if (begin(call, axis) + end(call, axis) >= -(int64_t)size) return OPS_OK;
  return ops_fail_got(call, OPS_ERROR_ATTRIBUTE,
                      "pads[%d] and pads[%d] take away more than the %d "
                      "elements of axis %d of %s",
                      axis, call->units + axis, size, axis, x->name);
}

/* Attributes of the pass over one axis. */
static void pass_slots(const ops_request *call, ops_slot *slots, int32_t axis) {
  ops_attribute_slots(call, slots, SLOT_MODE);
  slots[SLOT_BEGIN].i = begin(call, axis);
  slots[SLOT_END].i = end(call, axis);
}

static int32_t shape(ops_request *call) {
  const ops_tensor *x = &call->tensors[0];
  if (call->units != x->rank) {
    return ops_fail_got(call, OPS_ERROR_ATTRIBUTE,
                        "pads has %d entries but %s has %d axes; give two for "
                        "each axis",
                        2 * call->units, x->name, x->rank);
  }
  int64_t out[OPS_MAX_RANK];
  for (int32_t axis = 0; axis < x->rank; ++axis) {
    int32_t code = check(call, axis);
    if (code) return code;
    ops_slot slots[OPS_MAX_SLOTS];
    int64_t sizes[4];
    slots[SLOT_O].i = slots[SLOT_K].i = 1;
    slots[SLOT_N].i = x->shape[axis];
    pass_slots(call, slots, axis);
    code = ops_infer_sizes(call, slots, sizes);
    if (code) return code;
    out[axis] = sizes[2];
  }
  return ops_set_shape(call, &call->tensors[call->inputs], x->rank, out);
}

static int32_t is_empty(const int32_t *size, int32_t rank) {
  for (int32_t i = 0; i < rank; ++i) {
    if (size[i] == 0) return 1;
  }
  return 0;
}

/* Pads one axis of `size`, from `data` to the output or to a workspace, which
 * becomes `data`. */
static int32_t pass(const ops_request *call, int32_t axis, int32_t *size,
                    uint8_t **data, int32_t last) {
  const ops_tensor *x = &call->tensors[0];
  const ops_tensor *out = &call->tensors[call->inputs];
  ops_slot slots[OPS_MAX_SLOTS];
  slots[SLOT_N].i = size[axis];
  size[axis] = out->shape[axis];
  if (is_empty(size, x->rank)) return OPS_OK;
  uint8_t *to = out->data;
  if (!last) {
    to = ops_workspace(call, ops_product(size, 0, x->rank) * x->itemsize);
    if (!to) return OPS_ERROR_MEMORY;
  }
  slots[SLOT_X].p = *data;
  slots[SLOT_OUT].p = to;
  slots[SLOT_O].i = ops_product(size, 0, axis);
  slots[SLOT_K].i = ops_product(size, axis + 1, x->rank);
  pass_slots(call, slots, axis);
  int32_t code = ops_run_kernel(call, call->op->kernel, slots);
  if (*data != x->data) ops_release(*data);
  *data = to;
  return code;
}

static void copy(const ops_tensor *x, const ops_tensor *out) {
  int32_t count = (int32_t)x->count;
  int64_t stride = 1;
  ops_copy_view(out->data, x->data, 1, &count, &stride, x->itemsize);
}

/* Axes that do not grow come first: then no pass in between has more elements
 * than the input or the output, even if an axis of size 0 hides large ones. */
static int32_t run(ops_request *call) {
  const ops_tensor *x = &call->tensors[0];
  const ops_tensor *out = &call->tensors[call->inputs];
  int32_t size[OPS_MAX_RANK], passes = 0, code = OPS_OK;
  uint8_t *data = x->data;
  if (out->count == 0) return OPS_OK;
  for (int32_t axis = 0; axis < x->rank; ++axis) {
    size[axis] = x->shape[axis];
    passes += is_padded(call, axis);
  }
  if (passes == 0) copy(x, out);
  for (int32_t grows = 0; grows < 2; ++grows) {
    for (int32_t axis = 0; axis < x->rank && !code; ++axis) {
      int32_t now = (out->shape[axis] > x->shape[axis]) == grows;
      if (!now || !is_padded(call, axis)) continue;
      code = pass(call, axis, size, &data, --passes == 0);
    }
  }
  if (data != x->data && data != out->data) ops_release(data);
  return code;
}

const ops_collapse ops_collapse_pad = {shape, run, 0};
