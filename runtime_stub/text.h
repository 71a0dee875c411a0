/* text.h: writes text into a buffer that never overflows. */
#ifndef OPS_TEXT_H_
#define OPS_TEXT_H_

#include <stdarg.h>

#include "call.h"

/* The spelling of an ops_dtype, as numpy's. */
extern const char *const ops_dtype_names[];

/* Starts a text; there is one at a time. */
void ops_text_start(char *buffer, uint32_t size);
/* Appends: %s text, %d int32_t, %l int64_t, %g double, %x dtype and shape of an
 * ops_tensor*, %v its shape, %u the values that an ops_attribute* takes, %n its
 * name, of which an int32_t entry in a list. */
void ops_print(const char *format, ...);
void ops_print_list(const char *format, va_list list);
/* Ends the text with a zero, or with "..." where it did not fit. */
void ops_text_end(void);

#endif /* OPS_TEXT_H_ */
