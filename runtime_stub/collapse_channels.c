/* collapse_channels.c: elementwise operators with parameters for each channel.
 *
 * Kernel slots: x [o,c,k], further inputs [c], out [o,c,k], o, c, k,
 * attributes.
 * Rules: OPS_CHANNELS_SECOND: the channels are axis 1 (batch_normalization).
 * OPS_CHANNELS_AXIS: attribute 0 names their axis; parameters of one element
 * each are for all of x (quantize_linear).
 */
#include "call.h"

/* Whether each parameter has a single element. */
static int32_t per_tensor(const ops_request *call) {
  for (int32_t i = 1; i < call->inputs; ++i) {
    const ops_tensor *parameter = &call->tensors[i];
    if (parameter->absent) continue;
    if (parameter->rank > 1 || parameter->count != 1) return 0;
  }
  return 1;
}

/* The axis of the channels, or -1 after ops_fail. */
static int32_t channel_axis(const ops_request *call) {
  const ops_tensor *x = &call->tensors[0];
  if (call->family->rule == OPS_CHANNELS_AXIS) {
    return ops_axis(call, "axis", ops_int(call, 0, 0), x->rank);
  }
  if (x->rank >= 2) return 1;
  ops_fail_got(call, OPS_ERROR_SHAPE,
               "%s has %d axes but its channels are axis 1; give it 2 or more",
               x->name, x->rank);
  return -1;
}

static int32_t check(const ops_request *call, const ops_tensor *x,
                     int32_t axis) {
  const char *scalar = call->family->rule == OPS_CHANNELS_AXIS
                           ? ", or be a scalar like the others"
                           : "";
  for (int32_t i = 1; i < call->inputs; ++i) {
    const ops_tensor *parameter = &call->tensors[i];
    if (parameter->absent) continue;
    if (parameter->rank == 1 && parameter->count == x->shape[axis]) continue;
    return ops_fail_got(
        call, OPS_ERROR_SHAPE,
        "%s %x must have shape [%d], the size of axis %d of %s%s",
        parameter->name, parameter, x->shape[axis], axis, x->name, scalar);
  }
  return OPS_OK;
}

static int32_t shape(ops_request *call) {
  const ops_tensor *x = &call->tensors[0];
  if (call->family->rule != OPS_CHANNELS_AXIS || !per_tensor(call)) {
    int32_t axis = channel_axis(call);
    if (axis < 0) {
      return call->family->rule == OPS_CHANNELS_AXIS ? OPS_ERROR_ATTRIBUTE
                                                     : OPS_ERROR_SHAPE;
    }
    int32_t code = check(call, x, axis);
    if (code) return code;
  }
  int64_t out[OPS_MAX_RANK];
  for (int32_t i = 0; i < x->rank; ++i) out[i] = x->shape[i];
  return ops_set_shape(call, &call->tensors[call->inputs], x->rank, out);
}

static void sizes(const ops_request *call, ops_slot *slots) {
  const ops_tensor *x = &call->tensors[0];
  slots[0].i = slots[1].i = 1;
  slots[2].i = x->count;
  if (call->family->rule == OPS_CHANNELS_AXIS && per_tensor(call)) return;
  int32_t axis = channel_axis(call);
  slots[0].i = ops_product(x->shape, 0, axis);
  slots[1].i = x->shape[axis];
  slots[2].i = ops_product(x->shape, axis + 1, x->rank);
}

static int32_t run(ops_request *call) {
  const ops_tensor *out = &call->tensors[call->inputs];
  if (out->count == 0) return OPS_OK;
  ops_slot slots[OPS_MAX_SLOTS];
  int32_t at = call->inputs + 1, code = OPS_OK, inputs = 0;
  sizes(call, &slots[at]);
  ops_attribute_slots(call, slots, at + 3);
  slots[call->inputs].p = out->data;
  for (; inputs < call->inputs && !code; ++inputs) {
    const ops_tensor *input = &call->tensors[inputs];
    slots[inputs].p = input->absent ? ops_filled(call, input, slots[at + 1].i)
                                    : input->data;
    if (input->absent && !slots[inputs].p) code = OPS_ERROR_MEMORY;
  }
  if (!code) code = ops_run_kernel(call, call->op->kernel, slots);
  while (inputs-- > 0) {
    if (call->tensors[inputs].absent && slots[inputs].p) {
      ops_release(slots[inputs].p);
    }
  }
  return code;
}

const ops_collapse ops_collapse_channels = {shape, run, 0};
