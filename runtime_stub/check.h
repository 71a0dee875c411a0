/* check.h: from what a caller passed to a checked call. */
#ifndef OPS_CHECK_H_
#define OPS_CHECK_H_

#include "call.h"
#include "memory.h"

/* Fills `call` from the arguments, or fails. When call->inferring, data
 * pointers are ignored, and of the outputs only the struct and room for
 * OPS_MAX_RANK sizes at its shape pointer are checked. */
int32_t ops_check(ops_request *call, const ops_operator *op,
                  const TVMFFIAny *args, int32_t n);

/* The parts of it: one tensor argument, and all attributes. */
int32_t ops_check_tensor(ops_request *call, ops_tensor *tensor,
                         const ops_param *param, const TVMFFIAny *arg);
int32_t ops_check_attributes(ops_request *call, const TVMFFIAny *args)
    __attribute__((weak));
/* Append to a text: ", axis=1, ...", and an attribute as signatures have it:
 * "axis: int = -1". */
void ops_put_values(const ops_request *call) __attribute__((weak));
void ops_put_attribute(const ops_attribute *attribute) __attribute__((weak));

/* In fast.c, which a module may lack. Takes the arguments of a common call: a
 * tensor for each parameter, without strides, in blocks where hints find them.
 * 0 says nothing about other calls. */
int32_t ops_take_plain(ops_request *call, const TVMFFIAny *args, int32_t n)
    __attribute__((weak));

/* Bytes (none are good anywhere) at an address that a caller gave as "<what> of
 * <ops_state.checked>". */
int32_t ops_check_block(const void *start, uint32_t bytes, uint32_t alignment,
                        const char *what);
/* The same, for a block that is not where it was found last. */
int32_t ops_search_block(uint32_t start, uint32_t bytes, uint32_t alignment,
                         const char *what);
/* "nothing", "an int", ... */
const char *ops_kind_name(int32_t kind);

#endif /* OPS_CHECK_H_ */
