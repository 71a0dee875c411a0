/* check.c: binds the arguments of a call to its operator's description. */
#include "check.h"

#include "memory.h"

const char *ops_kind_name(int32_t kind) {
  switch (kind) {
    case OPS_KIND_NONE: return "nothing";
    case OPS_KIND_INT: return "an int";
    case OPS_KIND_BOOL: return "a bool";
    case OPS_KIND_FLOAT: return "a float";
    case OPS_KIND_TENSOR: return "a tensor";
    default: return "an argument of another kind";
  }
}

static const char *const faults[] = {
    [OPS_RANGE_GOOD] = 0,
    [OPS_RANGE_PAST_MEMORY] = "%s of %s at %l, %l bytes, ends outside memory",
    [OPS_RANGE_NO_BLOCK] = "%s of %s at %l, %l bytes, is in no live block; use "
                           "one from ops_alloc that is not yet freed",
    [OPS_RANGE_PAST_BLOCK] = "%s of %s at %l, %l bytes, is larger than its "
                             "block, which has %l from there",
};

int32_t ops_check_range(const ops_request *call, const char *what,
                        const char *name, uint32_t start, uint64_t bytes,
                        uint32_t alignment) {
  uint64_t extra = alignment; /* what the text has to say besides */
  const char *text = "%s of %s at %l, %l bytes, is misaligned; align it to %l";
  if (!start)
    text = "%s of %s is null";
  else if (start % alignment == 0)
    text = faults[ops_block_of(start, bytes, &extra)];
  if (!text) return OPS_OK;
  return ops_fail(call, OPS_ERROR_POINTER, text, what, name, (int64_t)start,
                  (int64_t)bytes, (int64_t)extra);
}

/* How many arguments there are whatever the units, and for each unit. */
static void argument_counts(const ops_family *family, int32_t *fixed,
                            int32_t *each) {
  *fixed = *each = 0;
  for (int32_t i = 0; i < family->inputs + family->outputs; ++i)
    ++*(family->params[i].flags & OPS_PARAM_VARIADIC ? each : fixed);
  for (int32_t i = 0; i < family->attribute_count; ++i) {
    if (family->attributes[i].per_unit)
      *each += family->attributes[i].per_unit;
    else
      ++*fixed;
  }
}

static int32_t solve_units(ops_request *call, int32_t n) {
  const ops_family *family = call->family;
  int32_t fixed, each;
  argument_counts(family, &fixed, &each);
  const char *text =
      each ? "takes %d arguments and %d for each of at most %d units, got %d; "
             "see ops_signature"
           : "takes %d arguments, got %d; see ops_signature";
  call->units = n > fixed && each ? (n - fixed) / each : 0;
  if (n == fixed + call->units * each && call->units <= family->units)
    return OPS_OK;
  return ops_fail(call, OPS_ERROR_ARGUMENT, text, fixed, each ? each : n,
                  (int32_t)family->units, n);
}

static int32_t check_tensors(ops_request *call, const TVMFFIAny **args,
                             DLTensor **passed) {
  const ops_family *family = call->family;
  int32_t count = 0;
  for (int32_t p = 0; p < family->inputs + family->outputs; ++p) {
    const ops_param *param = &family->params[p];
    int32_t repeat = param->flags & OPS_PARAM_VARIADIC ? call->units : 1;
    int32_t output = p >= family->inputs;
    for (; repeat; --repeat, ++*args) {
      if (count == OPS_MAX_TENSORS)
        return ops_fail(call, OPS_ERROR_ARGUMENT,
                        "takes at most %d tensors in one call",
                        OPS_MAX_TENSORS);
      ops_tensor *tensor = &call->tensors[count++];
      tensor->name = param->name;
      tensor->dtype = call->op->dtypes[p];
      tensor->itemsize = ops_dtype_codes[tensor->dtype].bits / 8;
      int32_t code = ops_check_tensor(call, tensor, param, *args, output);
      if (code) return code;
      if (output) passed[call->outputs] = (*args)->v_tensor;
      ++*(output ? &call->outputs : &call->inputs);
    }
  }
  return OPS_OK;
}

/* Element by element the kernel reads before it writes: in place is right.
 * Weak, so that checking a call does not link that collapse. */
extern const ops_collapse ops_collapse_elementwise __attribute__((weak));

static int32_t overlap(const ops_request *call, const ops_tensor *output,
                       const ops_tensor *other, int32_t is_input) {
  if (output->data >= other->data + other->bytes ||
      other->data >= output->data + output->bytes)
    return 0;
  return !(is_input && call->family->collapse == &ops_collapse_elementwise &&
           output->data == other->data && output->bytes == other->bytes);
}

static int32_t check_overlaps(const ops_request *call) {
  for (int32_t o = 0; o < call->outputs; ++o) {
    const ops_tensor *output = &call->tensors[call->inputs + o];
    for (int32_t i = 0; i < call->inputs + o; ++i) {
      const ops_tensor *other = &call->tensors[i];
      if (overlap(call, output, other, i < call->inputs))
        return ops_fail(call, OPS_ERROR_POINTER,
                        "data of %s overlaps data of %s; give it memory of its "
                        "own",
                        output->name, other->name);
    }
  }
  return OPS_OK;
}

int32_t ops_check(ops_request *call, const ops_operator *op,
                  const TVMFFIAny *args, int32_t n,
                  DLTensor *passed[OPS_MAX_TENSORS]) {
  int32_t code;
  call->op = op;
  call->family = op->family;
  call->inputs = call->outputs = 0;
  if ((code = solve_units(call, n))) return code;
  if (n && (code = ops_check_range(call, "array", "arguments",
                                   (uint32_t)(uintptr_t)args,
                                   (uint64_t)n * sizeof *args, 8)))
    return code;
  if ((code = check_tensors(call, &args, passed))) return code;
  int32_t values = 0;
  for (int32_t a = 0; a < call->family->attribute_count; ++a) {
    call->first[a] = (uint8_t)values;
    if ((code = ops_check_attribute(call, a, args))) return code;
    args += call->length[a];
    values += call->length[a];
  }
  return call->inferring ? OPS_OK : check_overlaps(call);
}
