/* text.c: a small formatter. Text that does not fit ends in "...". */
#include "text.h"

const char *const ops_dtype_names[OPS_DTYPES] = {
    "float32", "int32", "int8", "uint8", "int64", "bool",
};

static struct {
  char *next;
  char *last; /* of the buffer: room for the zero */
  int32_t cut;
} out;

void ops_text_start(char *buffer, uint32_t size) {
  out.next = buffer;
  out.last = buffer + size - 1;
  out.cut = 0;
}

static void put(char c) {
  if (out.next < out.last)
    *out.next++ = c;
  else
    out.cut = 1;
}

void ops_text_end(void) {
  *out.next = 0;
  for (int32_t i = 1; out.cut && i <= 3; ++i) out.next[-i] = '.';
}

static void put_string(const char *s) {
  while (*s) put(*s++);
}

/* value / 10^decimals */
static void put_decimal(uint64_t value, int32_t decimals) {
  char digits[40];
  int32_t count = 0, point = decimals;
  do {
    digits[count++] = (char)('0' + value % 10);
    value /= 10;
    if (!--point) digits[count++] = '.';
  } while (value || point >= 0);
  while (count) put(digits[--count]);
}

static void put_int(int64_t value) {
  if (value < 0) put('-');
  put_decimal(value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 0);
}

/* Nine digits, so that a float32 comes back unchanged; whole numbers in full up
 * to 9e18; an exponent outside 1e-5 to 1e9. */
static void put_double(double value) {
  int32_t exponent = 0, decimals = 0;
  double scaled = value < 0 ? -value : value;
  if (value < 0) put('-');
  if (value - value != 0) {
    put_string(value != value ? "nan" : "inf");
    return;
  }
  if (scaled < 9e18 && scaled == (double)(uint64_t)scaled) {
    put_decimal((uint64_t)scaled, 0);
    return;
  }
  int32_t plain = scaled >= 1e-5 && scaled < 1e9;
  for (; !plain && scaled >= 10; ++exponent) scaled /= 10;
  for (; !plain && scaled < 1; --exponent) scaled *= 10;
  for (; scaled < 1e8; ++decimals) scaled *= 10;
  uint64_t digits = (uint64_t)(scaled + 0.5);
  for (; decimals && digits % 10 == 0; --decimals) digits /= 10;
  put_decimal(digits, decimals);
  if (plain) return;
  put('e');
  put_int(exponent);
}

static void put_shape(const ops_tensor *tensor) {
  put('[');
  for (int32_t i = 0; i < tensor->rank; ++i) {
    if (i) put(',');
    put_int(tensor->shape[i]);
  }
  put(']');
}

/* "0 (constant), 1 (reflect)", "0 to 1", "at least 1" or "at most 1". */
static void put_values(const ops_attribute *attribute) {
  double low = attribute->minimum, high = attribute->maximum;
  int32_t has_low = low - low == 0, has_high = high - high == 0;
  if (attribute->choices) {
    for (int32_t i = 0; attribute->choices[i]; ++i)
      ops_print(i ? ", %d (%s)" : "%d (%s)", i, attribute->choices[i]);
    return;
  }
  if (has_low) ops_print(has_high ? "%g to " : "at least %g", low);
  if (has_high) ops_print(has_low ? "%g" : "at most %g", high);
}

void ops_print_list(const char *format, va_list list) {
  for (; *format; ++format) {
    if (*format != '%') {
      put(*format);
      continue;
    }
    const ops_tensor *tensor;
    const ops_attribute *attribute;
    int32_t entry;
    switch (*++format) {
      case 's': put_string(va_arg(list, const char *)); break;
      case 'd': put_int(va_arg(list, int32_t)); break;
      case 'l': put_int(va_arg(list, int64_t)); break;
      case 'g': put_double(va_arg(list, double)); break;
      case 'u': put_values(va_arg(list, const ops_attribute *)); break;
      case 'n':
        attribute = va_arg(list, const ops_attribute *);
        entry = va_arg(list, int32_t);
        ops_print(attribute->per_unit ? "%s_%d" : "%s", attribute->name, entry);
        break;
      default: /* 'x' and 'v' */
        tensor = va_arg(list, const ops_tensor *);
        if (*format == 'x') put_string(ops_dtype_names[tensor->dtype]);
        put_shape(tensor);
    }
  }
}

void ops_print(const char *format, ...) {
  va_list list;
  va_start(list, format);
  ops_print_list(format, list);
  va_end(list);
}
