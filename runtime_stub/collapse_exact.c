/* collapse_exact.c: kernels whose canonical rank is the user's.
 *
 * The sizes (symbols) of a kernel come from its inputs' axes, as params[].dims
 * names them, and the outputs' from the TE definition (family->infer). `rule`
 * is a set of bits that say how tensors of other ranks are taken:
 *   OPS_EXACT_LIFT      input 0 may lack one axis: then axis 2, of size 1, is
 *                       put into every tensor of the full rank, and into lists
 *                       of attributes (see ops_attribute_slots)
 *   OPS_EXACT_PAD_LEFT  tensors of a smaller rank get axes of size 1 in front
 *   OPS_EXACT_FLAT      all inputs have the same shape, and become one axis
 */
#include "call.h"

_Static_assert((OPS_EXACT_LIFT | OPS_EXACT_PAD_LEFT) ==
                       OPS_EXACT_LIFT_PAD_LEFT &&
                   OPS_EXACT_FLAT == OPS_EXACT_LIFT_PAD_LEFT + 1,
               "the numbers of its rules are sets of bits");
#define LIFTED_AXIS 2
#define UNBOUND (-1)

static const ops_param *param_of(const ops_request *call, int32_t tensor) {
  return &call->family->params[tensor];
}

/* Whether the axis is put into (taken out of) tensors of that parameter. */
static int32_t is_lifted(const ops_request *call, int32_t tensor) {
  const ops_exact_plan *plan = &call->plan.exact;
  return plan->lifted &&
         param_of(call, tensor)->rank == param_of(call, 0)->rank;
}

/* -- inputs -- */

static int32_t fail_rank(const ops_request *call, int32_t t, int32_t wanted) {
  const ops_tensor *tensor = &call->tensors[t];
  int32_t rule = call->family->rule;
  const char *format = "%s has rank %d but must have rank %d";
  if (rule & OPS_EXACT_PAD_LEFT)
    format = "%s has rank %d but must have at most rank %d";
  else if (rule & OPS_EXACT_LIFT && !t)
    format = "%s has rank %d but must have rank %d, or one less";
  return ops_fail_got(call, OPS_ERROR_SHAPE, format, tensor->name,
                      (int32_t)tensor->rank, wanted);
}

/* Canonical sizes of an input. */
static int32_t canonical(const ops_request *call, int32_t t, int64_t *sizes) {
  const ops_tensor *tensor = &call->tensors[t];
  int32_t rank = param_of(call, t)->rank, lifted = is_lifted(call, t);
  if (call->family->rule & OPS_EXACT_FLAT) {
    sizes[0] = tensor->count;
    return OPS_OK;
  }
  int32_t lead = rank - lifted - tensor->rank;
  if (lead < 0 || (lead && !(call->family->rule & OPS_EXACT_PAD_LEFT)))
    return fail_rank(call, t, rank - lifted);
  for (int32_t i = 0; i < lead; ++i) sizes[i] = 1;
  for (int32_t i = 0, at = lead; i < tensor->rank; ++i) {
    if (lifted && i == LIFTED_AXIS) sizes[at++] = 1;
    sizes[at++] = tensor->shape[i];
  }
  if (lifted && tensor->rank == LIFTED_AXIS) sizes[LIFTED_AXIS] = 1;
  return OPS_OK;
}

/* The caller's axis for a canonical one. */
static int32_t user_axis(const ops_request *call, int32_t t, int32_t axis) {
  int32_t lifted = is_lifted(call, t);
  axis -= param_of(call, t)->rank - lifted - call->tensors[t].rank;
  return axis - (lifted && axis > LIFTED_AXIS);
}

static int32_t bind_input(ops_request *call, int32_t t) {
  ops_exact_plan *plan = &call->plan.exact;
  const ops_param *param = param_of(call, t);
  int64_t sizes[OPS_MAX_AXES];
  int32_t code = canonical(call, t, sizes);
  for (int32_t i = 0; !code && i < param->rank; ++i) {
    int32_t symbol = param->dims[i];
    if (plan->symbols[symbol] == UNBOUND) {
      plan->symbols[symbol] = sizes[i];
      plan->owner[symbol] = (uint8_t)t;
      plan->axis[symbol] = (uint8_t)i;
    } else if (plan->symbols[symbol] != sizes[i]) {
      int32_t owner = plan->owner[symbol];
      return ops_fail_got(
          call, OPS_ERROR_SHAPE,
          "axis %d of %s has size %l but axis %d of %s has size %l; make them "
          "equal",
          user_axis(call, t, i), call->tensors[t].name, sizes[i],
          user_axis(call, owner, plan->axis[symbol]), call->tensors[owner].name,
          plan->symbols[symbol]);
    }
  }
  return code;
}

static int32_t check_flat(const ops_request *call) {
  const ops_tensor *first = &call->tensors[0];
  for (int32_t t = 1; t < call->inputs; ++t) {
    const ops_tensor *tensor = &call->tensors[t];
    if (!tensor->absent && !ops_same_shape(tensor, first))
      return ops_fail(call, OPS_ERROR_SHAPE,
                      "%s %x and %s %x must have the same shape", first->name,
                      first, tensor->name, tensor);
  }
  return OPS_OK;
}

/* Lists of attributes have an entry for each spatial axis, or none. */
static int32_t check_units(const ops_request *call) {
  int32_t spatial = call->tensors[0].rank - LIFTED_AXIS;
  if (!(call->family->rule & OPS_EXACT_LIFT) || !call->units ||
      call->units == spatial)
    return OPS_OK;
  return ops_fail_got(call, OPS_ERROR_ARGUMENT,
                      "has lists for %d axes but %s has %d spatial axes; "
                      "pass lists for all spatial axes, or empty lists",
                      call->units, call->tensors[0].name, spatial);
}

static int32_t bind_inputs(ops_request *call) {
  ops_exact_plan *plan = &call->plan.exact;
  int32_t rule = call->family->rule;
  plan->lifted = rule & OPS_EXACT_LIFT &&
                 call->tensors[0].rank == param_of(call, 0)->rank - 1;
  for (int32_t i = 0; i < OPS_MAX_SYMBOLS; ++i) plan->symbols[i] = UNBOUND;
  int32_t code = rule & OPS_EXACT_FLAT ? check_flat(call) : OPS_OK;
  for (int32_t t = 0; !code && t < call->inputs; ++t)
    if (!call->tensors[t].absent) code = bind_input(call, t);
  return code ? code : check_units(call);
}

/* -- outputs -- */

static void put_sizes(ops_request *call) {
  ops_exact_plan *plan = &call->plan.exact;
  int32_t at = call->inputs + call->outputs;
  for (int32_t i = 0; i < call->family->symbols; ++i)
    plan->slots[at++].i = plan->symbols[i];
  ops_attribute_slots(call, plan->slots, at);
}

/* Sizes that only absent inputs have: 1, or as an output has them. */
static void bind_absent(ops_request *call, const int64_t *sizes) {
  ops_exact_plan *plan = &call->plan.exact;
  for (int32_t t = call->inputs; t < call->inputs + call->outputs; ++t) {
    const ops_param *param = param_of(call, t);
    for (int32_t i = 0; i < param->rank; ++i, ++sizes) {
      int32_t symbol = param->dims[i];
      if (symbol < call->family->symbols && plan->owner[symbol] == UINT8_MAX)
        plan->symbols[symbol] = *sizes;
    }
  }
}

static int32_t set_output(ops_request *call, int32_t t, const int64_t *sizes) {
  int32_t rank = param_of(call, t)->rank, lifted = is_lifted(call, t), at = 0;
  int64_t shape[OPS_MAX_RANK];
  for (int32_t i = 0; i < rank; ++i)
    if (!lifted || i != LIFTED_AXIS) shape[at++] = sizes[i];
  return ops_set_shape(call, &call->tensors[t], at, shape);
}

static int32_t shape(ops_request *call) {
  ops_exact_plan *plan = &call->plan.exact;
  int32_t code = bind_inputs(call);
  if (code) return code;
  for (int32_t i = 0; i < call->family->symbols; ++i) {
    if (plan->symbols[i] != UNBOUND) continue;
    plan->symbols[i] = 1;
    plan->owner[i] = UINT8_MAX;
  }
  put_sizes(call);
  code = ops_infer_sizes(call, plan->slots, plan->sizes);
  if (code) return code;
  bind_absent(call, plan->sizes + 1);
  const int64_t *next = plan->sizes + 1;
  for (int32_t o = 0; !code && o < call->outputs; ++o) {
    int32_t t = call->inputs + o;
    code = set_output(call, t, next);
    next += param_of(call, t)->rank;
  }
  return code;
}

/* -- runs -- */

static void *stand_in(const ops_request *call, int32_t t) {
  const ops_exact_plan *plan = &call->plan.exact;
  const ops_param *param = param_of(call, t);
  int64_t count = 1;
  for (int32_t i = 0; i < param->rank; ++i)
    count *= plan->symbols[param->dims[i]];
  return ops_filled(call, &call->tensors[t], count);
}

static int32_t run(ops_request *call) {
  ops_exact_plan *plan = &call->plan.exact;
  int32_t code = OPS_OK, elements = 0, tensors = call->inputs + call->outputs;
  ops_slot *slots = plan->slots;
  for (int32_t t = call->inputs; t < tensors; ++t)
    elements |= call->tensors[t].count != 0;
  if (!elements) return OPS_OK;
  for (int32_t t = 0; t < tensors; ++t) {
    slots[t].p = call->tensors[t].data;
    if (!call->tensors[t].absent || code) continue;
    slots[t].p = stand_in(call, t);
    if (!slots[t].p) code = OPS_ERROR_MEMORY;
  }
  put_sizes(call);
  if (!code) code = ops_run_kernel(call, call->op->kernel, slots);
  for (int32_t t = 0; t < call->inputs; ++t)
    if (call->tensors[t].absent) ops_release(slots[t].p);
  return code;
}

const ops_collapse ops_collapse_exact = {shape, run, 0};
