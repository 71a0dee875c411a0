/* check.h: from what a caller passed to a checked call. */
#ifndef OPS_CHECK_H_
#define OPS_CHECK_H_

#include "call.h"

/* Fills `call` from the arguments, or fails. `passed` receives the caller's
 * output tensors. When call->inferring, data pointers are ignored, and of the
 * outputs only the struct and room for OPS_MAX_RANK sizes at its shape pointer
 * are checked. */
int32_t ops_check(ops_request *call, const ops_operator *op,
                  const TVMFFIAny *args, int32_t n,
                  DLTensor *passed[OPS_MAX_TENSORS]);

/* The parts of it: one tensor argument, and one attribute with its list. */
int32_t ops_check_tensor(const ops_request *call, ops_tensor *tensor,
                         const ops_param *param, const TVMFFIAny *arg,
                         int32_t output);
int32_t ops_check_attribute(ops_request *call, int32_t index,
                            const TVMFFIAny *args);
/* Bytes at an address that a caller gave as "<what> of <name>". */
int32_t ops_check_range(const ops_request *call, const char *what,
                        const char *name, uint32_t start, uint64_t bytes,
                        uint32_t alignment);
/* "nothing", "an int", ... */
const char *ops_kind_name(int32_t kind);

/* Code and bits of each ops_dtype, as in a DLDataType. */
typedef struct {
  uint8_t code;
  uint8_t bits;
} ops_dtype_code;
extern const ops_dtype_code ops_dtype_codes[];

#endif /* OPS_CHECK_H_ */
