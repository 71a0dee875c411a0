/* text.c: a small formatter. */
#include "text.h"

void ops_text_start(char *buffer, uint32_t size) {
  ops_state.text.next = buffer;
  ops_state.text.last = buffer + size - 1;
}

static void put(int32_t c) {
  if (ops_state.text.next < ops_state.text.last)
    *ops_state.text.next++ = (char)c;
}

void ops_put(const char *text) {
  while (text && *text) put(*text++);
}

void ops_text_end(void) {
  if (ops_state.text.next == ops_state.text.last) {
    ops_state.text.next -= 3;
    ops_put("...");
  }
  *ops_state.text.next = 0;
}

void ops_put_decimal(uint64_t value, int32_t decimals) {
  if (value >= 10 || decimals > 0) ops_put_decimal(value / 10, decimals - 1);
  if (decimals == 1) put('.');
  put('0' + (int32_t)(value % 10));
}

void ops_put_int(int64_t value) {
  if (value < 0) put('-');
  ops_put_decimal(value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 0);
}

void ops_put_dtype(const DLDataType *dtype) {
  /* By DLPack's code. */
  static const char names[][8] = {"int",    "uint",    "float", "opaque",
                                  "bfloat", "complex", "bool",  "unknown"};
  int32_t code = dtype->code < 7 ? dtype->code : 7;
  ops_put(names[code]);
  if (code != 6) ops_put_int(dtype->bits);
  if (dtype->lanes == 1) return;
  put('x');
  ops_put_int(dtype->lanes);
}

void ops_put_shape(const ops_tensor *tensor) {
  put('[');
  for (int32_t i = 0; i < tensor->rank; ++i) {
    if (i) put(',');
    ops_put_int(tensor->shape[i]);
  }
  put(']');
}

void ops_put_tensor(const ops_tensor *tensor) {
  ops_put_dtype(&ops_dtypes[tensor->dtype]);
  ops_put_shape(tensor);
}

void ops_print(const char *format, va_list list) {
  for (; *format; ++format) {
    if (*format != '%') {
      put(*format);
      continue;
    }
    int32_t kind = *++format;
    if (kind == 'd') {
      ops_put_int(va_arg(list, int32_t));
    } else if (kind == 'l') {
      ops_put_int(va_arg(list, int64_t));
    } else {
      const void *item = va_arg(list, const void *);
      if (kind == 's') ops_put(item);
      if (kind == 't') ops_put_dtype(item);
      if (kind == 'x') ops_put_tensor(item);
      if (kind == 'v') ops_put_shape(item);
    }
  }
}
