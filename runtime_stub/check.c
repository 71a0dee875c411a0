/* check.c: binds the arguments of a call to its operator's description. */
#include "check.h"

#include "text.h"

const char *ops_kind_name(int32_t kind) {
  static const char names[][8] = {"nothing", "an int", "a bool", "a float"};
  if ((uint32_t)kind < 4) return names[kind];
  return kind == OPS_KIND_TENSOR ? "a tensor" : "unknown";
}

int32_t ops_search_block(uint32_t start, uint32_t bytes, uint32_t alignment,
                         const char *what) {
  const char *fault = ops_range_fault(start, bytes);
  if (bytes && start & (alignment - 1))
    fault = " is misaligned; align to elements";
  if (!fault) return OPS_OK;
  ops_fail_start(&ops_state.call);
  ops_put(what);
  ops_put(" of ");
  ops_put(ops_state.checked);
  ops_put(fault);
  ops_put(" (");
  ops_put_int(bytes);
  ops_put(" bytes at ");
  ops_put_int(start);
  ops_put(", ");
  ops_put_int(ops_state.left);
  ops_put(" left there)");
  ops_text_end();
  return OPS_ERROR_POINTER;
}

/* Whether the room of the module holds so many arguments. Operators that the
 * toolchain made need no more. */
INLINE int32_t has_room(int32_t n) { return n <= ops_room_size.arguments; }

/* Finds how many units a call has. */
static int32_t solve_units(ops_request *call, int32_t n) {
  const ops_family *family = call->family;
  int32_t each = family->each, rest = n - family->fixed;
  const char *before = each ? "beside units, " : 0;
  call->units = rest > 0 && each ? rest / each : 0;
  if (!has_room(n))
    before = "no room; ";
  else if (rest == call->units * each && call->units <= family->units)
    return OPS_OK;
  return ops_fail_with(call, OPS_ERROR_ARGUMENT,
                       "%s%stakes %l arguments, got %l in all; see "
                       "ops_signature",
                       before, 0, family->fixed, n);
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

/* An output that overlaps another tensor. Tensors without elements share
 * nothing. An elementwise kernel reads an element before it writes it, so that
 * it may run in place. */
static int32_t check_shared(const ops_request *call, const ops_tensor *output,
                            const ops_tensor *other) {
  if (!(output->bytes * other->bytes)) return OPS_OK;
  if (call->family->collapse->in_place && output->data == other->data &&
      other < &call->tensors[call->inputs] && output->count == other->count &&
      output->bytes == other->bytes)
    return OPS_OK;
  return ops_fail_with(call, OPS_ERROR_POINTER,
                       "data of %s overlaps data of %s; use other memory",
                       output->name, other->name, 0, 0);
}

static int32_t check_overlaps(const ops_request *call) {
  const ops_tensor *output = &call->tensors[call->inputs];
  const ops_tensor *end = output + call->outputs;
  for (; output != end; ++output) {
    for (const ops_tensor *other = call->tensors; other != output; ++other) {
      uint32_t after = (uint32_t)(output->data - other->data);
      if (after < (uint32_t)other->bytes || -after < (uint32_t)output->bytes) {
        int32_t code = check_shared(call, output, other);
        if (code) return code;
      }
    }
  }
  return OPS_OK;
}

/* All tensors, one by one. */
static int32_t check_all(ops_request *call, const TVMFFIAny *args, int32_t n) {
  int32_t code;
  call->inputs = call->outputs = 0;
  ops_state.checked = "arguments";
  code = ops_check_block(args, sizeof *args * (uint32_t)n, 8, "array");
  return code ? code : check_tensors(call, args);
}

int32_t ops_check(ops_request *call, const ops_operator *op,
                  const TVMFFIAny *args, int32_t n) {
  int32_t code = OPS_OK;
  call->op = op;
  call->family = op->family;
  call->units = call->attributes = 0;
  if (n != op->family->fixed || !has_room(n)) code = solve_units(call, n);
  if (code) return code;
  if (!ops_take_plain || !ops_take_plain(call, args, n))
    code = check_all(call, args, n);
  if (!code && op->family->attribute_count)
    code = ops_check_attributes(call, args + call->inputs + call->outputs);
  return code || call->inferring ? code : check_overlaps(call);
}
