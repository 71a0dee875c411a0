/* error.c: the text of the last error. */
#include "check.h"
#include "text.h"

const char *ops_last_error(void) { return ops_state.error; }

void ops_fail_start(const ops_request *call) {
  ops_text_start(ops_state.error, sizeof ops_state.error);
  if (!call) return;
  ops_put(call->op->name);
  ops_put(": ");
}

static void fail(const ops_request *call, const char *format, va_list list) {
  ops_fail_start(call);
  ops_print(format, list);
  ops_text_end();
}

int32_t ops_fail(const ops_request *call, int32_t code, const char *format,
                 ...) {
  va_list list;
  va_start(list, format);
  fail(call, format, list);
  va_end(list);
  return code;
}

int32_t ops_fail_with(const ops_request *call, int32_t code, const char *format,
                      const char *name, const void *item, int64_t a,
                      int64_t b) {
  return ops_fail(call, code, format, name, item, a, b);
}

int32_t ops_fail_memory(const ops_request *call, const char *who,
                        const char *what, int64_t bytes) {
  return ops_fail_with(call, OPS_ERROR_MEMORY,
                       "%sno memory for%s %l bytes; free blocks or raise "
                       "--max-memory",
                       who, what, bytes, 0);
}

int32_t ops_append_got(const ops_request *call, int32_t code) {
  const ops_tensor *tensor = call->tensors;
  for (int32_t i = 0; i < call->inputs; ++i, ++tensor) {
    ops_put(i ? ", " : " (got ");
    ops_put(tensor->name);
    ops_put(" ");
    if (tensor->absent)
      ops_put("none");
    else
      ops_put_tensor(tensor);
  }
  if (call->attributes) ops_put_values(call);
  if (call->inputs) ops_put(")");
  ops_text_end();
  return code;
}

int32_t ops_fail_got(const ops_request *call, int32_t code, const char *format,
                     ...) {
  va_list list;
  va_start(list, format);
  fail(call, format, list);
  va_end(list);
  return ops_append_got(call, code);
}
