/* text.h: writes text into a buffer that never overflows. */
#ifndef OPS_TEXT_H_
#define OPS_TEXT_H_

#include <stdarg.h>
#include <stdint.h>

typedef struct {
  char *text;
  uint32_t size;
  uint32_t length; /* may pass size: then the end is cut to "..." */
} ops_text;

/* The spelling of an ops_dtype, as numpy's. */
extern const char *const ops_dtype_names[];

/* Appends: %s text, %d int32_t, %l int64_t, %g double, %x dtype and shape of an
 * ops_tensor*, %v its shape. */
void ops_print(ops_text *out, const char *format, ...);
void ops_print_list(ops_text *out, const char *format, va_list list);
/* Ends the text with a zero, or with "..." where it did not fit. */
const char *ops_text_end(ops_text *out);

#endif /* OPS_TEXT_H_ */
