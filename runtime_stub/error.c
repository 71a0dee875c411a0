/* error.c: the text of the last error. */
#include "text.h"

/* 512 bytes hold every text but the longest lists of arguments. */
static char last_error[512];

const char *ops_last_error(void) { return last_error; }

static void start(const ops_request *call, const char *format, va_list list) {
  ops_text_start(last_error, sizeof last_error);
  if (call) ops_print("%s: ", call->op->name);
  ops_print_list(format, list);
}

int32_t ops_fail(const ops_request *call, int32_t code, const char *format,
                 ...) {
  va_list list;
  va_start(list, format);
  start(call, format, list);
  va_end(list);
  ops_text_end();
  return code;
}

static void print_attribute(const ops_request *call, int32_t a) {
  const ops_attribute *attribute = &call->family->attributes[a];
  const ops_slot *values = &call->values[call->first[a]];
  ops_print(attribute->per_unit ? ", %s=[" : ", %s=", attribute->name);
  for (int32_t i = 0; i < call->length[a]; ++i) {
    if (i) ops_print(",");
    if (attribute->kind == OPS_ATTR_FLOAT)
      ops_print("%g", values[i].f);
    else
      ops_print("%l", values[i].i);
  }
  if (attribute->per_unit) ops_print("]");
}

int32_t ops_fail_got(const ops_request *call, int32_t code, const char *format,
                     ...) {
  va_list list;
  va_start(list, format);
  start(call, format, list);
  va_end(list);
  for (int32_t i = 0; i < call->inputs; ++i) {
    const ops_tensor *tensor = &call->tensors[i];
    ops_print(tensor->absent ? "%s%s none" : "%s%s %x", i ? ", " : " (got ",
              tensor->name, tensor);
  }
  for (int32_t a = 0; a < call->family->attribute_count; ++a)
    print_attribute(call, a);
  ops_print(")");
  ops_text_end();
  return code;
}
