/* collapse_graph.c: models whose tensors have any size: see graph.h.
 *
 * The steps of the model use ops_state.call, too: what the caller gave is kept
 * in the model's frame before the first one.
 */
#include "call.h"
#include "graph.h"
#include "text.h"

/* -- inputs -- */

static int32_t fail_rank(const ops_request *call, const ops_tensor *tensor,
                         int32_t rank) {
  return ops_fail(call, OPS_ERROR_SHAPE,
                  "%s %x has rank %d but must have rank %d", tensor->name,
                  tensor, (int32_t)tensor->rank, rank);
}

/* One size of an input: a number, or a named size that is new or was bound by
 * an axis before it. */
static int32_t check_size(const ops_request *call, int32_t t, int32_t axis,
                          int64_t wanted) {
  const ops_model *model = call->family->model;
  const ops_tensor *tensor = &call->tensors[t];
  int32_t size = tensor->shape[axis];
  if (wanted >= 0) {
    if (size == wanted) return OPS_OK;
    return ops_fail(call, OPS_ERROR_SHAPE, "axis %d of %s %x must have size %l",
                    axis, tensor->name, tensor, wanted);
  }
  int32_t number = (int32_t)(-1 - wanted) & 0xffff;
  int32_t before = (int32_t)((-1 - wanted) >> 16) - 1;
  const ops_graph_size *named = &model->sizes[number];
  if (before < 0) {
    if (size >= named->minimum && size <= named->maximum) return OPS_OK;
    return ops_fail(call, OPS_ERROR_SHAPE,
                    "axis %d of %s %x is %s, which is from %d to %d", axis,
                    tensor->name, tensor, named->name, named->minimum,
                    named->maximum);
  }
  const ops_tensor *other = &call->tensors[before / OPS_MAX_RANK];
  int32_t bound = other->shape[before % OPS_MAX_RANK];
  if (size == bound) return OPS_OK;
  return ops_fail(call, OPS_ERROR_SHAPE,
                  "axis %d of %s %x is %s, which is %d by axis %d of %s %x",
                  axis, tensor->name, tensor, named->name, bound,
                  before % OPS_MAX_RANK, other->name, other);
}

static int32_t check_inputs(const ops_request *call) {
  const int64_t *wanted = call->family->model->dims;
  for (int32_t t = 0; t < call->inputs; ++t) {
    int32_t rank = call->family->params[t].rank;
    if (call->tensors[t].rank != rank)
      return fail_rank(call, &call->tensors[t], rank);
    for (int32_t i = 0; i < rank; ++i, ++wanted) {
      int32_t code = check_size(call, t, i, *wanted);
      if (code) return code;
    }
  }
  return OPS_OK;
}

/* -- the frame -- */

/* Whether the weights, where they are the last input, lie where they lay. */
static int32_t set_weights(ops_frame *frame, const ops_request *call) {
  const uint8_t *before = frame->weights;
  if (!call->family->model->weights)
    frame->weights = call->tensors[call->inputs - 1].data;
  return frame->weights == before;
}

/* Inputs as the graph sees them; whether a plan for the last ones holds. */
static int32_t set_inputs(ops_frame *frame, const ops_request *call) {
  int32_t same = set_weights(frame, call);
  for (int32_t t = 0; t < frame->graph->input_count; ++t) {
    same &= ops_same_shape(&frame->values[t], &call->tensors[t]);
    frame->values[t] = call->tensors[t];
  }
  return same;
}

static void set_results(ops_frame *frame, const ops_request *call) {
  const ops_tensor *tensor = &call->tensors[call->inputs];
  ops_graph_result *result = frame->results;
  for (int32_t k = 0; k < frame->graph->output_count; ++k, ++result) {
    result->given = *tensor++;
    result->owned = 0;
    result->tensor = 0;
    if (!result->given.absent) continue;
    result->tensor = result->given.answer;
    result->given.data = 0;
  }
}

static void write_results(const ops_frame *frame) {
  const ops_graph_result *result = frame->results;
  for (int32_t k = 0; k < frame->graph->output_count; ++k, ++result) {
    DLTensor *to = result->tensor;
    if (!result->owned) continue;
    to->data = result->given.data;
    to->byte_offset = 0;
    to->strides = 0;
    to->dtype = ops_dtypes[result->given.dtype];
    to->device.device_type = 1;
    to->device.device_id = 0;
    to->ndim = result->given.rank;
    for (int32_t i = to->ndim; i--;)
      result->given.room[i] = result->given.shape[i];
  }
}

/* Puts "<model>: step <n>: " before the text of an error of a step. */
static int32_t name_step(const ops_operator *op, uint32_t step, int32_t code) {
  char text[sizeof ops_state.error];
  __builtin_memcpy(text, ops_state.error, sizeof text);
  ops_text_start(ops_state.error, sizeof ops_state.error);
  ops_put(op->name);
  ops_put(": step ");
  ops_put_int(step);
  ops_put(": ");
  ops_put(text);
  ops_text_end();
  return code;
}

/* -- the collapse -- */

/* While inferring: what the outputs' shapes are, in ops_state.call again. */
static int32_t infer(ops_request *call) {
  const ops_operator *op = call->op;
  ops_frame *frame = op->family->model->frame;
  int32_t inputs = call->inputs, outputs = call->outputs;
  set_inputs(frame, call);
  set_results(frame, call);
  int32_t code = OPS_UNKNOWN_SIZES;
  if (!frame->graph->reads_elements) code = ops_graph_infer(frame);
  call->op = op; /* a step may have set another one */
  if (code == OPS_UNKNOWN_SIZES)
    return ops_fail_with(call, OPS_ERROR_SHAPE,
                         "%s%ssizes of outputs follow from elements of inputs; "
                         "pass outputs with "
                         "data = NULL to ops_call, which allocates them",
                         0, 0, 0, 0);
  if (code) return name_step(op, frame->step, code);
  call->family = op->family;
  call->inputs = inputs;
  call->outputs = outputs;
  call->attributes = 0;
  for (int32_t k = 0; k < outputs; ++k) {
    ops_tensor *to = &call->tensors[inputs + k];
    *to = frame->values[frame->graph->outputs[k].value];
    to->answer = frame->results[k].tensor;
    to->room = frame->results[k].given.room;
  }
  return OPS_OK;
}

static int32_t shape(ops_request *call) {
  int32_t code = check_inputs(call);
  return code || !call->inferring ? code : infer(call);
}

static int32_t run(ops_request *call) {
  const ops_operator *op = call->op;
  ops_frame *frame = op->family->model->frame;
  frame->planned &= set_inputs(frame, call);
  set_results(frame, call);
  const ops_model *model = op->family->model;
  if (model->widen) model->widen(model);
  int32_t code = ops_graph_run(frame);
  if (code) return name_step(op, frame->step, code);
  write_results(frame);
  return OPS_OK;
}

const ops_collapse ops_collapse_graph = {shape, run, 0};
