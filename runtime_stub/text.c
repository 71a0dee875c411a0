/* text.c: a small formatter. Text that does not fit ends in "...". */
#include "text.h"

#include "call.h"

const char *const ops_dtype_names[OPS_DTYPES] = {
    "float32", "int32", "int8", "uint8", "int64", "bool",
};

static void put(ops_text *out, char c) {
  if (out->length < out->size - 1) out->text[out->length] = c;
  if (out->length < out->size) ++out->length;
}

static void put_string(ops_text *out, const char *s) {
  for (; *s; ++s) put(out, *s);
}

static void put_unsigned(ops_text *out, uint64_t value) {
  char digits[20];
  int32_t count = 0;
  do {
    digits[count++] = (char)('0' + value % 10);
    value /= 10;
  } while (value);
  while (count) put(out, digits[--count]);
}

static void put_int(ops_text *out, int64_t value) {
  if (value < 0) put(out, '-');
  put_unsigned(out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value);
}

/* Digits of mantissa * 10^(exponent - 8), 9 of them: a float32 comes back
 * unchanged. Plain from 1e-5 to 1e9, otherwise with an exponent. */
static void put_digits(ops_text *out, uint32_t mantissa, int32_t exponent) {
  char digits[9];
  int32_t count = 9;
  for (int32_t i = 8; i >= 0; --i, mantissa /= 10)
    digits[i] = (char)('0' + mantissa % 10);
  while (count > 1 && digits[count - 1] == '0') --count;
  int32_t plain = exponent >= -5 && exponent < 9;
  int32_t point = plain ? exponent : 0; /* digits before the point, less 1 */
  if (point < 0) put_string(out, "0.");
  for (int32_t i = point + 1; i < 0; ++i) put(out, '0');
  for (int32_t i = 0; i < count || i <= point; ++i) {
    if (point >= 0 && i == point + 1) put(out, '.');
    put(out, i < count ? digits[i] : '0');
  }
  if (plain) return;
  put(out, 'e');
  put_int(out, exponent);
}

static void put_double(ops_text *out, double value) {
  if (value != value) {
    put_string(out, "nan");
    return;
  }
  if (value < 0) {
    put(out, '-');
    value = -value;
  }
  if (value > 1.7976931348623157e308) {
    put_string(out, "inf");
    return;
  }
  if (value < 9e18 && value == (double)(uint64_t)value) {
    put_unsigned(out, (uint64_t)value);
    return;
  }
  int32_t exponent = 0;
  for (; value >= 10; value /= 10) ++exponent;
  for (; value < 1; value *= 10) --exponent;
  uint32_t mantissa = (uint32_t)(value * 1e8 + 0.5);
  if (mantissa >= 1000000000) {
    mantissa /= 10;
    ++exponent;
  }
  put_digits(out, mantissa, exponent);
}

static void put_shape(ops_text *out, const ops_tensor *tensor) {
  put(out, '[');
  for (int32_t i = 0; i < tensor->rank; ++i) {
    if (i) put(out, ',');
    put_int(out, tensor->shape[i]);
  }
  put(out, ']');
}

void ops_print_list(ops_text *out, const char *format, va_list list) {
  for (; *format; ++format) {
    if (*format != '%') {
      put(out, *format);
      continue;
    }
    const ops_tensor *tensor;
    switch (*++format) {
      case 's': put_string(out, va_arg(list, const char *)); break;
      case 'd': put_int(out, va_arg(list, int32_t)); break;
      case 'l': put_int(out, va_arg(list, int64_t)); break;
      case 'g': put_double(out, va_arg(list, double)); break;
      case 'x':
      case 'v':
        tensor = va_arg(list, const ops_tensor *);
        if (*format == 'x') put_string(out, ops_dtype_names[tensor->dtype]);
        put_shape(out, tensor);
        break;
      default: put(out, *format); break; /* %% */
    }
  }
}

void ops_print(ops_text *out, const char *format, ...) {
  va_list list;
  va_start(list, format);
  ops_print_list(out, format, list);
  va_end(list);
}

const char *ops_text_end(ops_text *out) {
  uint32_t end = out->length;
  if (end >= out->size) {
    end = out->size - 1;
    for (uint32_t i = 1; i <= 3; ++i) out->text[end - i] = '.';
  }
  out->text[end] = 0;
  return out->text;
}
