/* call.c: calls and inference by operator. */
#include "call.h"

#include "check.h"
#include "text.h"

/* 5 KB: not on the stack, which has 64 KB. The module has one thread. */
static struct {
  ops_request request;
  DLTensor *passed[OPS_MAX_TENSORS];  /* the caller's outputs */
  int64_t *shapes[OPS_MAX_TENSORS];
} state;

uint32_t ops_abi_version(void) { return OPS_ABI_VERSION; }

static int32_t prepare(const ops_operator *op, const TVMFFIAny *args, int32_t n,
                       uint8_t inferring) {
  ops_request *call = &state.request;
  call->inferring = inferring;
  int32_t code = ops_check(call, op, args, n, state.passed);
  return code ? code : call->family->collapse->shape(call);
}

int32_t ops_infer_operator(const ops_operator *op, const TVMFFIAny *args,
                           int32_t n) {
  const ops_request *call = &state.request;
  int32_t code = prepare(op, args, n, 1);
  if (code) return code;
  /* All pointers first: what is written may overlap what is read. */
  for (int32_t o = 0; o < call->outputs; ++o)
    state.shapes[o] = state.passed[o]->shape;
  for (int32_t o = 0; o < call->outputs; ++o) {
    const ops_tensor *tensor = &call->tensors[call->inputs + o];
    ops_dtype_code dtype = ops_dtype_codes[tensor->dtype];
    state.passed[o]->ndim = tensor->rank;
    state.passed[o]->dtype = (DLDataType){dtype.code, dtype.bits, 1};
    for (int32_t i = 0; i < tensor->rank; ++i)
      state.shapes[o][i] = tensor->shape[i];
  }
  return OPS_OK;
}

static int32_t check_outputs(const ops_request *call) {
  static ops_tensor got;
  for (int32_t o = 0; o < call->outputs; ++o) {
    const ops_tensor *tensor = &call->tensors[call->inputs + o];
    const DLTensor *passed = state.passed[o];
    got.rank = (uint8_t)passed->ndim;
    for (int32_t i = 0; i < got.rank; ++i)
      got.shape[i] = (int32_t)passed->shape[i];
    if (!ops_same_shape(tensor, &got))
      return ops_fail(call, OPS_ERROR_SHAPE,
                      "%s has shape %v but must be %v; see ops_infer",
                      tensor->name, &got, tensor);
  }
  return OPS_OK;
}

int32_t ops_call_operator(const ops_operator *op, const TVMFFIAny *args,
                          int32_t n) {
  int32_t code = prepare(op, args, n, 0);
  if (!code) code = check_outputs(&state.request);
  return code ? code : op->family->collapse->run(&state.request);
}
