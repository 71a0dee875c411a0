/* error.c: the text of the last error. */
#include "call.h"
#include "text.h"

/* 512 bytes hold every text but the longest lists of arguments. */
static char last_error[512];

const char *ops_last_error(void) { return last_error; }

static ops_text start(const ops_request *call, const char *format,
                      va_list list) {
  ops_text out = {last_error, sizeof last_error, 0};
  if (call) ops_print(&out, "%s: ", call->op->name);
  ops_print_list(&out, format, list);
  return out;
}

int32_t ops_fail(const ops_request *call, int32_t code, const char *format,
                 ...) {
  va_list list;
  va_start(list, format);
  ops_text out = start(call, format, list);
  va_end(list);
  ops_text_end(&out);
  return code;
}

static void print_value(ops_text *out, const ops_attribute *attribute,
                        ops_slot value) {
  if (attribute->kind == OPS_ATTR_FLOAT)
    ops_print(out, "%g", value.f);
  else
    ops_print(out, "%l", value.i);
}

static void print_attribute(ops_text *out, const ops_request *call, int32_t a) {
  const ops_attribute *attribute = &call->family->attributes[a];
  const ops_slot *values = &call->values[call->first[a]];
  ops_print(out, attribute->per_unit ? ", %s=[" : ", %s=", attribute->name);
  for (int32_t i = 0; i < call->length[a]; ++i) {
    if (i) ops_print(out, ",");
    print_value(out, attribute, values[i]);
  }
  if (attribute->per_unit) ops_print(out, "]");
}

int32_t ops_fail_got(const ops_request *call, int32_t code,
                     const char *format, ...) {
  va_list list;
  va_start(list, format);
  ops_text out = start(call, format, list);
  va_end(list);
  for (int32_t i = 0; i < call->inputs; ++i) {
    const ops_tensor *tensor = &call->tensors[i];
    ops_print(&out, tensor->absent ? "%s%s none" : "%s%s %x",
              i ? ", " : " (got ", tensor->name, tensor);
  }
  for (int32_t a = 0; a < call->family->attribute_count; ++a)
    print_attribute(&out, call, a);
  ops_print(&out, ")");
  ops_text_end(&out);
  return code;
}
