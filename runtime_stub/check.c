/* check.c: binds the arguments of a call to its operator's description. */
#include "check.h"

#include "text.h"

const char *ops_kind_name(int32_t kind) {
  static const char names[][8] = {"nothing", "an int", "a bool", "a float"};
  if ((uint32_t)kind < 4) return names[kind];
  return kind == OPS_KIND_TENSOR ? "a tensor" : "another kind";
}

ops_named ops_checked;

int32_t ops_search_block(uint32_t start, uint32_t bytes, uint32_t alignment,
                         const char *what) {
  const char *fault = ops_range_fault(start, bytes);
  if (bytes && start & (alignment - 1))
    fault = " is misaligned; align it to its elements";
  if (!fault) return OPS_OK;
  ops_fail_start(ops_checked.call);
  ops_put(what);
  ops_put(" of ");
  ops_put(ops_checked.name);
  ops_put(fault);
  ops_put(" (");
  ops_put_int(bytes);
  ops_put(" bytes at ");
  ops_put_int(start);
  ops_put(", ");
  ops_put_int(ops_range_room);
  ops_put(" left there)");
  ops_text_end();
  return OPS_ERROR_POINTER;
}

/* Finds how many units a call has. */
static int32_t solve_units(ops_request *call, int32_t n) {
  const ops_family *family = call->family;
  int32_t each = family->each, rest = n - family->fixed;
  call->units = rest > 0 && each ? rest / each : 0;
  if (rest == call->units * each && call->units <= family->units)
    return OPS_OK;
  return ops_fail_with(call, OPS_ERROR_ARGUMENT,
                       "%s%stakes %l arguments, got %l in all; see "
                       "ops_signature",
                       each ? "beside whole units, " : 0, 0, family->fixed, n);
}

static int32_t check_tensors(ops_request *call, const TVMFFIAny *args) {
  const ops_family *family = call->family;
  const ops_param *param = family->params, *outputs = param + family->inputs;
  const ops_param *end = outputs + family->outputs;
  const uint8_t *dtype = call->op->dtypes;
  ops_tensor *tensor = call->tensors;
  for (; param != end; ++param, ++dtype) {
    int32_t repeat = param->flags & OPS_PARAM_VARIADIC ? call->units : 1;
    int32_t *count = param < outputs ? &call->inputs : &call->outputs;
    for (; repeat; --repeat, ++tensor, ++args) {
      tensor->name = param->name;
      tensor->dtype = *dtype;
      tensor->itemsize = ops_dtypes[*dtype].bits / 8;
      int32_t code = ops_check_tensor(call, tensor, param, args);
      if (code) return code;
      ++*count;
    }
  }
  return OPS_OK;
}

/* Element by element the kernel reads before it writes: in place is right.
 * Weak, so that checking a call does not link those collapses. */
extern const ops_collapse ops_collapse_elementwise __attribute__((weak));
extern const ops_collapse ops_collapse_unary __attribute__((weak));

static int32_t overlap(const ops_request *call, const ops_tensor *output,
                       const ops_tensor *other) {
  uint32_t after = (uint32_t)(output->data - other->data);
  if (!after && other < &call->tensors[call->inputs] &&
      (call->family->collapse == &ops_collapse_elementwise ||
       call->family->collapse == &ops_collapse_unary) &&
      output->count == other->count && output->bytes == other->bytes)
    return 0;
  return after < (uint32_t)other->bytes || -after < (uint32_t)output->bytes;
}

static int32_t check_overlaps(const ops_request *call) {
  const ops_tensor *output = &call->tensors[call->inputs];
  for (int32_t o = call->outputs; o--; ++output) {
    for (const ops_tensor *other = call->tensors; other < output; ++other) {
      if (overlap(call, output, other))
        return ops_fail_with(call, OPS_ERROR_POINTER,
                             "data of %s overlaps data of %s; give it memory "
                             "of its own",
                             output->name, other->name, 0, 0);
    }
  }
  return OPS_OK;
}

int32_t ops_check(ops_request *call, const ops_operator *op,
                  const TVMFFIAny *args, int32_t n) {
  int32_t code;
  call->op = op;
  call->family = op->family;
  call->inputs = call->outputs = call->attributes = 0;
  if ((code = solve_units(call, n))) return code;
  ops_checked.call = call;
  ops_checked.name = "arguments";
  code = ops_check_block(args, sizeof *args * (uint32_t)n, 8, "array");
  if (code) return code;
  if ((code = check_tensors(call, args))) return code;
  if (call->family->attribute_count &&
      (code = ops_check_attributes(call, args + call->inputs + call->outputs)))
    return code;
  return call->inferring ? OPS_OK : check_overlaps(call);
}
