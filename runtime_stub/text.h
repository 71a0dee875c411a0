/* text.h: writes text into a buffer that never overflows. */
#ifndef OPS_TEXT_H_
#define OPS_TEXT_H_

#include <stdarg.h>

#include "call.h"

/* Starts a text; there is one at a time. */
void ops_text_start(char *buffer, uint32_t size);
/* Ends it with a zero, or with "..." where the buffer is full. More can follow.
 */
void ops_text_end(void);

/* Appends a text; NULL: nothing. */
void ops_put(const char *text);
void ops_put_int(int64_t value);
/* value / 10^decimals */
void ops_put_decimal(uint64_t value, int32_t decimals);
/* In numpy's spelling: "float32". */
void ops_put_dtype(const DLDataType *dtype);
/* "[2,3]" */
void ops_put_shape(const ops_tensor *tensor);
/* "float32[2,3]" */
void ops_put_tensor(const ops_tensor *tensor);
/* Values by a format, as ops_fail has it. */
void ops_print(const char *format, va_list list);

/* Starts the text of an error as ops_fail does. */
void ops_fail_start(const ops_request *call);

#endif /* OPS_TEXT_H_ */
