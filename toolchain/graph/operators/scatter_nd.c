/* scatter_nd.c: updates of parts of data, each named by a tuple of indices. */
#include "scatter.h"
#include "tuples.h"

static int32_t shape(ops_request *call) {
  const ops_tensor *data = &call->tensors[0], *indices = &call->tensors[1];
  const ops_tensor *updates = &call->tensors[2];
  int64_t wanted[2 * OPS_MAX_RANK];
  int32_t rank = ops_tuples_shape(call, data, indices, 0, wanted);
  if (rank < 0) return OPS_ERROR_SHAPE;
  int32_t same = rank == updates->rank;
  for (int32_t i = 0; same && i < rank; ++i)
    same = updates->shape[i] == wanted[i];
  if (!same)
    return ops_fail_got(call, OPS_ERROR_SHAPE,
                        "updates must have indices' axes but the last, then "
                        "those of data that indices leave");
  return ops_shape_like(call, ops_output(call, 0), data);
}

static int32_t run(ops_request *call) {
  const ops_tensor *data = &call->tensors[0], *indices = &call->tensors[1];
  ops_tuples tuples = ops_tuples_of(data, indices, 0);
  int32_t *offsets = ops_workspace(call, (int64_t)tuples.count * 4);
  if (!offsets) return OPS_ERROR_MEMORY;
  int32_t code = ops_tuples_offsets(call, data, indices, 0, tuples, offsets);
  if (!code)
    code = ops_scatter(call, offsets, tuples.count, tuples.inner,
                       ops_int(call, 0, 0));
  ops_release(offsets);
  return code;
}

const ops_collapse ops_collapse_scatter_nd = {shape, run, 0};

SCATTER_KERNELS(scatter_nd, int32)
SCATTER_KERNELS(scatter_nd, int64)
