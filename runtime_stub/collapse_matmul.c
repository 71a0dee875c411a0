/* collapse_matmul.c: numpy's matmul over a kernel for two matrices.
 *
 * out[..., m, n] = sum_k a[..., m, k] * b[..., k, n]
 *
 * Kernel slots: a [M,K], b [K,N], further inputs, out [M,N], M, K, N,
 * attributes. OPS_MATMUL_ZERO_POINTS has zero points as inputs 2 and 3: [M] and
 * [N]; its kernel reads uint8 and gets, after N, what it combines a's and
 * b's elements with by exclusive or to make uint8 of them: 128 for int8, 0 for
 * uint8. OPS_MATMUL_PACKED
 * has b as panels [P,K,8], P = ceil(N / 8), a bias [N] as input 2, N as
 * attribute 0 and sizes M, K, P, 8, N.
 */
#include "call.h"

enum { ROWS_AND_COLUMNS = 2, MAX_BATCH = OPS_MAX_RANK - ROWS_AND_COLUMNS };
enum { PANEL = 8 };

/* Sizes of one product, and the batch axes to loop over. */
typedef struct {
  int64_t m, k, n;
  int32_t rank;
  int64_t size[MAX_BATCH];
  int64_t a_stride[MAX_BATCH]; /* elements; 0 where a is broadcast */
  int64_t b_stride[MAX_BATCH];
} product;

/* Size of an axis counted from the last one; 1 if x has fewer axes. */
static int64_t size_at(const ops_tensor *x, int32_t from_last) {
  return x->rank > from_last ? x->shape[x->rank - 1 - from_last] : 1;
}

static void sizes(const ops_request *call, product *p) {
  const ops_tensor *a = &call->tensors[0], *b = &call->tensors[1];
  p->m = size_at(a, 1);
  p->k = size_at(a, 0);
  p->n = b->rank > 1 ? size_at(b, 0) : 1;
}

static int32_t is_packed(const ops_request *call) {
  return call->family->rule == OPS_MATMUL_PACKED;
}

/* For panels: rows of a are all one batch. */
static int32_t shape_packed(ops_request *call) {
  const ops_tensor *a = &call->tensors[0], *b = &call->tensors[1];
  const ops_tensor *bias = &call->tensors[2];
  int64_t n = ops_int(call, 0, 0), panels = (n + PANEL - 1) / PANEL;
  if (a->rank == 0) {
    return ops_fail(call, OPS_ERROR_SHAPE,
                    "%s is a scalar; give it one axis or more", a->name);
  }
  int64_t k = size_at(a, 0);
  if (b->rank != 3 || b->shape[0] != panels || b->shape[1] != k ||
      b->shape[2] != PANEL) {
    return ops_fail_got(call, OPS_ERROR_SHAPE,
                        "%s must have shape [%l,%l,8], for %l columns: pass "
                        "what matmul_pack gave",
                        b->name, panels, k, n);
  }
  if (!bias->absent && (bias->rank != 1 || bias->count != n)) {
    return ops_fail_got(call, OPS_ERROR_SHAPE,
                        "%s must have shape [%l], one for each column",
                        bias->name, n);
  }
  int64_t out[OPS_MAX_RANK];
  for (int32_t i = 0; i < a->rank; ++i) out[i] = a->shape[i];
  out[a->rank - 1] = n;
  return ops_set_shape(call, &call->tensors[call->inputs], a->rank, out);
}

static int32_t run_packed(ops_request *call, ops_slot *slots) {
  const ops_tensor *a = &call->tensors[0], *bias = &call->tensors[2];
  int64_t n = ops_int(call, 0, 0);
  slots[0].p = a->data;
  slots[1].p = call->tensors[1].data;
  slots[2].p = bias->absent ? ops_filled(call, bias, n) : bias->data;
  if (!slots[2].p) return OPS_ERROR_MEMORY;
  slots[3].p = call->tensors[3].data;
  slots[4].i = call->tensors[3].count / n;
  slots[5].i = size_at(a, 0);
  slots[6].i = call->tensors[1].shape[0];
  slots[7].i = PANEL;
  slots[8].i = n;
  ops_attribute_slots(call, slots, 9);
  int32_t code = ops_run_kernel(call, call->op->kernel, slots);
  if (bias->absent) ops_release(slots[2].p);
  return code;
}

static int32_t check_zero_point(const ops_request *call, int32_t input,
                                int64_t size, const char *axis) {
  const ops_tensor *point = &call->tensors[input];
  if (point->absent || point->rank == 0) return OPS_OK;
  if (point->rank == 1 && (point->count == 1 || point->count == size)) {
    return OPS_OK;
  }
  return ops_fail(call, OPS_ERROR_SHAPE,
                  "%s %x must be a scalar or have shape [%l], one for each %s",
                  point->name, point, size, axis);
}

static int32_t check(const ops_request *call, const product *p) {
  const ops_tensor *a = &call->tensors[0], *b = &call->tensors[1];
  for (const ops_tensor *x = a; x <= b; ++x) {
    if (x->rank == 0) {
      return ops_fail(call, OPS_ERROR_SHAPE,
                      "%s is a scalar; give it one axis or more", x->name);
    }
  }
  int32_t inner = b->rank > 1;
  if (size_at(b, inner) != p->k) {
    return ops_fail_got(
        call, OPS_ERROR_SHAPE,
        "%s has %l columns but %s has %l rows; %s.shape[-1] must equal "
        "%s.shape[%d]",
        a->name, p->k, b->name, size_at(b, inner), a->name, b->name,
        -1 - inner);
  }
  if (call->family->rule != OPS_MATMUL_ZERO_POINTS) return OPS_OK;
  int32_t code = check_zero_point(call, 2, p->m, "row");
  return code ? code : check_zero_point(call, 3, p->n, "column");
}

static int32_t shape(ops_request *call) {
  if (is_packed(call)) return shape_packed(call);
  const ops_tensor *a = &call->tensors[0], *b = &call->tensors[1];
  product p;
  sizes(call, &p);
  int32_t code = check(call, &p);
  if (code) return code;
  int64_t out[OPS_MAX_RANK];
  int32_t rank = 0;
  int32_t most = a->rank > b->rank ? a->rank : b->rank;
  for (int32_t axis = most - 1; axis >= ROWS_AND_COLUMNS; --axis) {
    int64_t left = size_at(a, axis), right = size_at(b, axis);
    if (left != right && left != 1 && right != 1) {
      return ops_fail_got(call, OPS_ERROR_SHAPE,
                          "batch axis %d has size %l in %s but %l in %s; "
                          "make them equal or one of them 1",
                          -1 - axis, left, a->name, right, b->name);
    }
    out[rank++] = left == 1 ? right : left;
  }
  if (a->rank > 1) out[rank++] = p.m;
  if (b->rank > 1) out[rank++] = p.n;
  return ops_set_shape(call, &call->tensors[call->inputs], rank, out);
}

static void batch_axes(const ops_request *call, product *p) {
  const ops_tensor *a = &call->tensors[0], *b = &call->tensors[1];
  int32_t most = a->rank > b->rank ? a->rank : b->rank;
  int64_t a_step = p->m * p->k, b_step = p->k * p->n;
  p->rank = most > ROWS_AND_COLUMNS ? most - ROWS_AND_COLUMNS : 0;
  for (int32_t i = p->rank - 1, axis = ROWS_AND_COLUMNS; i >= 0; --i, ++axis) {
    int64_t left = size_at(a, axis), right = size_at(b, axis);
    p->size[i] = left == 1 ? right : left;
    p->a_stride[i] = left == 1 ? 0 : a_step;
    p->b_stride[i] = right == 1 ? 0 : b_step;
    a_step *= left;
    b_step *= right;
  }
}

/* Makes the last batch axes more rows of a, as far as b is broadcast along
 * them: a is compact there. Rows with zero points of their own stay apart. */
static void fold(const ops_request *call, product *p) {
  if (call->family->rule == OPS_MATMUL_ZERO_POINTS &&
      call->tensors[2].count > 1) {
    return;
  }
  while (p->rank && p->b_stride[p->rank - 1] == 0) {
    p->m *= p->size[--p->rank];
  }
}

/* Where a batch starts, in elements. */
static int64_t offset(const product *p, const int64_t *stride, int64_t batch) {
  int64_t sum = 0;
  for (int32_t i = p->rank - 1; i >= 0; --i) {
    sum += batch % p->size[i] * stride[i];
    batch /= p->size[i];
  }
  return sum;
}

static int32_t loop(const ops_request *call, const product *p,
                    ops_slot *slots) {
  const ops_tensor *a = &call->tensors[0], *b = &call->tensors[1];
  const ops_tensor *out = &call->tensors[call->inputs];
  int64_t size = p->m * p->n, batches = out->count / size;
  int32_t at = call->inputs + 1;
  slots[at++].i = p->m;
  slots[at++].i = p->k;
  slots[at++].i = p->n;
  if (call->family->rule == OPS_MATMUL_ZERO_POINTS) {
    slots[at++].i = a->dtype == OPS_INT8 ? 128 : 0;
    slots[at++].i = b->dtype == OPS_INT8 ? 128 : 0;
  }
  ops_attribute_slots(call, slots, at);
  for (int64_t i = 0; i < batches; ++i) {
    slots[0].p = a->data + offset(p, p->a_stride, i) * a->itemsize;
    slots[1].p = b->data + offset(p, p->b_stride, i) * b->itemsize;
    slots[call->inputs].p = out->data + i * size * out->itemsize;
    int32_t code = ops_run_kernel(call, call->op->kernel, slots);
    if (code) return code;
  }
  return OPS_OK;
}

/* A zero point as `count` values: its own memory, or a workspace to release. */
static void *expand(const ops_request *call, const ops_tensor *point,
                    int64_t count) {
  if (point->absent) return ops_filled(call, point, count);
  if (point->count == count) return point->data;
  void *copies = ops_workspace(call, count * point->itemsize);
  int32_t size = (int32_t)count;
  int64_t same = 0;
  if (copies) {
    ops_copy_view(copies, point->data, 1, &size, &same, point->itemsize);
  }
  return copies;
}

static int32_t run_zero_points(const ops_request *call, const product *p,
                               ops_slot *slots) {
  const ops_tensor *point = &call->tensors[2];
  int32_t code = OPS_ERROR_MEMORY;
  slots[2].p = expand(call, &point[0], p->m);
  slots[3].p = slots[2].p ? expand(call, &point[1], p->n) : 0;
  if (slots[3].p) code = loop(call, p, slots);
  for (int32_t i = 0; i < 2; ++i) {
    if (slots[2 + i].p && slots[2 + i].p != point[i].data) {
      ops_release(slots[2 + i].p);
    }
  }
  return code;
}

static int32_t run(ops_request *call) {
  if (call->tensors[call->inputs].count == 0) return OPS_OK;
  ops_slot slots[OPS_MAX_SLOTS];
  if (is_packed(call)) return run_packed(call, slots);
  product p;
  sizes(call, &p);
  batch_axes(call, &p);
  fold(call, &p);
  for (int32_t i = 2; i < call->inputs; ++i) {
    slots[i].p = call->tensors[i].data;
  }
  return call->family->rule == OPS_MATMUL_ZERO_POINTS
             ? run_zero_points(call, &p, slots)
             : loop(call, &p, slots);
}

const ops_collapse ops_collapse_matmul = {shape, run, 0};
