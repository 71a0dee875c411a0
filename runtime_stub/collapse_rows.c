/* collapse_rows.c: kernels over rows, which some axes of input 0 become.
 *
 * Canonical sizes: [o, n] for the rows form (op->kernel), [o, n, k] for the
 * second form (op->columns, may be NULL), whose elements of a row lie k apart;
 * k fills a vector of 16 bytes or more.
 * Rows whose axes lie last are used in place, and so are rows whose axes are
 * neighbours, by the second form; other axes are first moved to the end.
 *
 * Rules: OPS_ROWS_...
 *   AXIS         attribute 0 is `axis`: rows to rows
 *   REDUCE_AXIS  attributes `axis`, `keepdims`: a row to an element
 *   REDUCE_AXES  `keepdims`, `noop_with_empty_axes`, list `axes`
 *   TRAILING     `axis`: rows are the axes from there on
 *   SPATIAL      rows are the axes from 2 on; they stay, with size 1
 */
#include "call.h"

#define VECTOR 16

/* Merged axes: neighbours of the same kind become one axis, and axes of size 1
 * are left out. */
typedef struct {
  int32_t rank;
  int32_t size[OPS_MAX_RANK];
  uint8_t in_row[OPS_MAX_RANK];
} groups;

/* -- which axes -- */

static int32_t one_axis(ops_request *call, int32_t trailing) {
  ops_rows_plan *plan = &call->plan.rows;
  const ops_tensor *x = &call->tensors[0];
  const char *name = call->family->attributes[0].name;
  int32_t axis = ops_axis(call, name, ops_int(call, 0, 0), x->rank);
  if (axis < 0) return OPS_ERROR_ATTRIBUTE;
  plan->axes = (trailing ? -1u : 1u) << axis;
  return OPS_OK;
}

static int32_t many_axes(ops_request *call) {
  ops_rows_plan *plan = &call->plan.rows;
  const ops_tensor *x = &call->tensors[0];
  const char *name = call->family->attributes[2].name;
  int32_t count = call->length[2];
  plan->axes = 0;
  if (!count && ops_int(call, 1, 0))
    plan->each = 1;
  else if (!count)
    plan->axes = -1u;
  for (int32_t i = 0; i < count; ++i) {
    int64_t given = ops_int(call, 2, i);
    int32_t axis = ops_axis(call, name, given, x->rank);
    if (axis < 0) return OPS_ERROR_ATTRIBUTE;
    if (plan->axes >> axis & 1)
      return ops_fail(call, OPS_ERROR_ATTRIBUTE,
                      "%s names axis %l twice; name each once", name, given);
    plan->axes |= 1u << axis;
  }
  return OPS_OK;
}

static int32_t spatial_axes(ops_request *call) {
  ops_rows_plan *plan = &call->plan.rows;
  const ops_tensor *x = &call->tensors[0];
  if (x->rank < 3)
    return ops_fail(call, OPS_ERROR_SHAPE,
                    "%s %x has rank %d; use at least 3, the axes from 2 on are "
                    "reduced",
                    x->name, x, (int32_t)x->rank);
  plan->axes = -4u;
  return OPS_OK;
}

static int32_t find_axes(ops_request *call) {
  ops_rows_plan *plan = &call->plan.rows;
  const ops_tensor *x = &call->tensors[0];
  int32_t rule = call->family->rule, code;
  plan->each = 0;
  if (rule == OPS_ROWS_REDUCE_AXES)
    code = many_axes(call);
  else if (rule == OPS_ROWS_SPATIAL)
    code = spatial_axes(call);
  else
    code = one_axis(call, rule == OPS_ROWS_TRAILING);
  if (code) return code;
  int32_t kept[OPS_MAX_RANK], rows[OPS_MAX_RANK], keeps = 0, in_rows = 0;
  for (int32_t i = 0; i < x->rank; ++i) {
    if (plan->axes >> i & 1)
      rows[in_rows++] = x->shape[i];
    else
      kept[keeps++] = x->shape[i];
  }
  plan->o = ops_product(kept, 0, keeps);
  plan->n = ops_product(rows, 0, in_rows);
  if (rule == OPS_ROWS_REDUCE_AXIS && !plan->n)
    return ops_fail(call, OPS_ERROR_SHAPE,
                    "%s %x has size 0 along axis %l; it has no first element",
                    x->name, x, ops_int(call, 0, 0));
  return OPS_OK;
}

/* -- shapes -- */

/* Inputs 1.. of TRAILING have the shape of a row. */
static int32_t check_row_inputs(const ops_request *call) {
  const ops_rows_plan *plan = &call->plan.rows;
  const ops_tensor *x = &call->tensors[0];
  for (int32_t t = 1; t < call->inputs; ++t) {
    const ops_tensor *tensor = &call->tensors[t];
    ops_tensor row = {.rank = 0};
    for (int32_t i = 0; i < x->rank; ++i)
      if (plan->axes >> i & 1) row.shape[row.rank++] = x->shape[i];
    if (!tensor->absent && !ops_same_shape(tensor, &row))
      return ops_fail_got(call, OPS_ERROR_SHAPE,
                          "%s has shape %v but must be %v, as the last axes of "
                          "%s",
                          tensor->name, tensor, &row, x->name);
  }
  return OPS_OK;
}

/* Slots of sizes and attributes after the pointers. */
static void put_sizes(ops_request *call, int32_t columns) {
  ops_rows_plan *plan = &call->plan.rows;
  int32_t at = call->inputs + call->outputs;
  plan->slots[at++].i = plan->o;
  plan->slots[at++].i = plan->n;
  if (columns) plan->slots[at++].i = plan->k;
  ops_attribute_slots(call, plan->slots, at);
}

static int32_t find_sizes(ops_request *call) {
  ops_rows_plan *plan = &call->plan.rows;
  for (int32_t i = 0; i < call->outputs; ++i) {
    plan->sizes[2 * i + 1] = plan->o;
    plan->sizes[2 * i + 2] = plan->n;
  }
  if (call->family->rule != OPS_ROWS_AXIS || !call->family->infer)
    return OPS_OK;
  put_sizes(call, 0);
  return ops_infer_sizes(call, plan->slots, plan->sizes);
}

static int32_t keeps_axes(const ops_request *call) {
  switch (call->family->rule) {
    case OPS_ROWS_REDUCE_AXIS: return ops_int(call, 1, 0) != 0;
    case OPS_ROWS_REDUCE_AXES: return ops_int(call, 0, 0) != 0;
    default: return 1;
  }
}

static int32_t shape(ops_request *call) {
  ops_rows_plan *plan = &call->plan.rows;
  const ops_tensor *x = &call->tensors[0];
  int32_t rule = call->family->rule, code = find_axes(call);
  if (!code && rule == OPS_ROWS_TRAILING) code = check_row_inputs(call);
  if (!code) code = find_sizes(call);
  for (int32_t t = 0; !code && t < call->outputs; ++t) {
    int64_t sizes[OPS_MAX_RANK];
    int32_t rank = 0;
    for (int32_t i = 0; i < x->rank; ++i) {
      if (!(plan->axes >> i & 1) || rule == OPS_ROWS_TRAILING)
        sizes[rank++] = x->shape[i];
      else if (rule == OPS_ROWS_AXIS)
        sizes[rank++] = plan->sizes[2 * t + 2];
      else if (keeps_axes(call))
        sizes[rank++] = 1;
    }
    code = ops_set_shape(call, &call->tensors[call->inputs + t], rank, sizes);
  }
  return code;
}

/* -- runs -- */

static groups group_axes(const ops_request *call) {
  const ops_rows_plan *plan = &call->plan.rows;
  const ops_tensor *x = &call->tensors[0];
  groups g = {.rank = 0};
  for (int32_t i = 0; i < x->rank; ++i) {
    uint8_t in_row = plan->axes >> i & 1;
    if (x->shape[i] == 1) continue;
    if (g.rank && g.in_row[g.rank - 1] == in_row) {
      g.size[g.rank - 1] *= x->shape[i];
      continue;
    }
    g.in_row[g.rank] = in_row;
    g.size[g.rank++] = x->shape[i];
  }
  return g;
}

/* Copies x so that the axes of the rows come last. */
static int32_t move_rows_last(const ops_request *call, const groups *g,
                              uint8_t *to) {
  int32_t shape[OPS_MAX_RANK], at = 0;
  int64_t strides[OPS_MAX_RANK], step[OPS_MAX_RANK + 1];
  step[g->rank] = 1;
  for (int32_t i = g->rank - 1; i >= 0; --i) step[i] = step[i + 1] * g->size[i];
  for (int32_t in_row = 0; in_row < 2; ++in_row) {
    for (int32_t i = 0; i < g->rank; ++i) {
      if (g->in_row[i] != in_row) continue;
      shape[at] = g->size[i];
      strides[at++] = step[i + 1];
    }
  }
  const ops_tensor *x = &call->tensors[0];
  ops_copy_view(to, x->data, at, shape, strides, x->itemsize);
  return OPS_OK;
}

/* Rows of an output, [before, after, n], to its own order [before, n, after].
 */
static void move_rows_back(const ops_tensor *output, const groups *g, int64_t n,
                           const uint8_t *from) {
  int32_t row = 0;
  while (!g->in_row[row]) ++row;
  int32_t before = (int32_t)ops_product(g->size, 0, row);
  int32_t after = (int32_t)ops_product(g->size, row + 1, g->rank);
  int32_t shape[3] = {before, (int32_t)n, after};
  int64_t strides[3] = {after * n, 1, n};
  ops_copy_view(output->data, from, 3, shape, strides, output->itemsize);
}

static int32_t run_moved(ops_request *call, const groups *g) {
  ops_rows_plan *plan = &call->plan.rows;
  int32_t code = OPS_OK, back = call->family->rule == OPS_ROWS_AXIS;
  int32_t made = 0;
  void *workspaces[1 + OPS_MAX_OUTPUTS] = {0};
  ops_slot *slots = plan->slots;
  for (; made <= (back ? call->outputs : 0); ++made) {
    const ops_tensor *tensor = made ? &call->tensors[call->inputs + made - 1]
                                    : &call->tensors[0];
    workspaces[made] = ops_workspace(call, tensor->bytes);
    if (!workspaces[made]) code = OPS_ERROR_MEMORY;
    slots[made ? call->inputs + made - 1 : 0].p = workspaces[made];
  }
  if (!code) code = move_rows_last(call, g, workspaces[0]);
  if (!code) code = ops_run_kernel(call, call->op->kernel, slots);
  for (int32_t t = 0; t < made; ++t) {
    if (!code && t)
      move_rows_back(&call->tensors[call->inputs + t - 1], g,
                     plan->sizes[2 * t], workspaces[t]);
    ops_release(workspaces[t]);
  }
  return code;
}

/* Picks a form of the kernel by where the rows lie. */
static int32_t run_rows(ops_request *call) {
  ops_rows_plan *plan = &call->plan.rows;
  groups g = group_axes(call);
  int32_t row_groups = 0, row = 0;
  for (int32_t i = 0; i < g.rank; ++i) {
    row_groups += g.in_row[i];
    if (g.in_row[i]) row = i;
  }
  int32_t last = !row_groups || (row_groups == 1 && row == g.rank - 1);
  put_sizes(call, 0);
  if (last || !call->tensors[0].count)
    return ops_run_kernel(call, call->op->kernel, plan->slots);
  plan->k = ops_product(g.size, row + 1, g.rank);
  if (row_groups > 1 || !call->op->columns ||
      plan->k * call->tensors[0].itemsize < VECTOR)
    return run_moved(call, &g);
  plan->o = ops_product(g.size, 0, row);
  put_sizes(call, 1);
  return ops_run_kernel(call, call->op->columns, plan->slots);
}

/* No axes at all: every element is a row of its own. */
static int32_t run_each(ops_request *call) {
  ops_rows_plan *plan = &call->plan.rows;
  plan->o = call->tensors[0].count;
  plan->n = 1;
  put_sizes(call, 0);
  return ops_run_kernel(call, call->op->kernel, plan->slots);
}

static int32_t run(ops_request *call) {
  ops_rows_plan *plan = &call->plan.rows;
  const ops_tensor *tensors = call->tensors;
  int32_t code = OPS_OK, elements = 0;
  for (int32_t t = 0; t < call->outputs; ++t)
    elements |= tensors[call->inputs + t].count != 0;
  if (!elements) return OPS_OK;
  for (int32_t t = 0; t < call->inputs + call->outputs; ++t) {
    plan->slots[t].p = tensors[t].data;
    if (!tensors[t].absent || code) continue;
    plan->slots[t].p = ops_filled(call, &tensors[t], plan->n);
    if (!plan->slots[t].p) code = OPS_ERROR_MEMORY;
  }
  if (!code) code = plan->each ? run_each(call) : run_rows(call);
  for (int32_t t = 1; t < call->inputs; ++t)
    if (tensors[t].absent) ops_release(plan->slots[t].p);
  return code;
}

const ops_collapse ops_collapse_rows = {shape, run, 0};
