/* call.c: calls and inference by operator. */
#include "call.h"

#include "check.h"

/* 6 KB: not on the stack, which has 64 KB. The module has one thread. */
static ops_request request;

uint32_t ops_abi_version(void) { return OPS_ABI_VERSION; }

int32_t ops_infer_operator(const ops_operator *op, const TVMFFIAny *args,
                           int32_t n) {
  request.inferring = 1;
  int32_t code = ops_check(&request, op, args, n);
  if (!code) code = op->family->collapse->shape(&request);
  /* Nothing of the caller's is read from here on: what is written may overlap
   * it. */
  const ops_tensor *from = &request.tensors[request.inputs];
  for (int32_t o = 0; !code && o < request.outputs; ++o, ++from) {
    DLTensor *to = request.answers[o].tensor;
    int64_t *shape = request.answers[o].shape;
    to->dtype = ops_dtypes[from->dtype];
    to->ndim = from->rank;
    for (int32_t i = from->rank; i--;) shape[i] = from->shape[i];
  }
  return code;
}

int32_t ops_call_operator(const ops_operator *op, const TVMFFIAny *args,
                          int32_t n) {
  const ops_collapse *collapse = op->family->collapse;
  request.inferring = 0;
  int32_t code = ops_check(&request, op, args, n);
  if (!code) code = collapse->shape(&request);
  return code ? code : collapse->run(&request);
}
