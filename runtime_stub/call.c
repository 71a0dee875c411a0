/* call.c: calls and inference by operator. */
#include "call.h"

#include "check.h"

/* In the file that runs models with open sizes: other modules lack it. */
extern const ops_collapse ops_collapse_graph __attribute__((weak));

uint32_t ops_abi_version(void) {
  return &ops_collapse_graph ? OPS_ABI_VERSION_OPEN : OPS_ABI_VERSION;
}

int32_t ops_infer_operator(const ops_operator *op, const TVMFFIAny *args,
                           int32_t n) {
  ops_request *call = &ops_state.call;
  call->inferring = 1;
  int32_t code = ops_check(call, op, args, n);
  if (!code) code = op->family->collapse->shape(call);
  /* Nothing of the caller's is read from here on: what is written may overlap
   * it. */
  const ops_tensor *from = &call->tensors[call->inputs];
  for (int32_t o = 0; !code && o < call->outputs; ++o, ++from) {
    DLTensor *to = from->answer;
    to->dtype = ops_dtypes[from->dtype];
    to->ndim = from->rank;
    for (int32_t i = from->rank; i--;) from->room[i] = from->shape[i];
  }
  return code;
}

int32_t ops_call_operator(const ops_operator *op, const TVMFFIAny *args,
                          int32_t n) {
  const ops_collapse *collapse = op->family->collapse;
  ops_request *call = &ops_state.call;
  call->inferring = 0;
  int32_t code = ops_check(call, op, args, n);
  if (!code) code = collapse->shape(call);
  return code ? code : collapse->run(call);
}
