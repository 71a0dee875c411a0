/* call.h: what the runtime's parts offer each other for a checked call. */
#ifndef OPS_CALL_H_
#define OPS_CALL_H_

#include "state.h"

/* The DLDataType of each ops_dtype. */
extern const DLDataType ops_dtypes[OPS_DTYPES];

/* Fails with a code and a text "<operator>: ...". %s text, %d int32_t, %l
 * int64_t, %t dtype of a DLDataType*, %x dtype and shape of an ops_tensor*, %v
 * its shape alone; a call of NULL leaves the prefix out. Returns the code. */
int32_t ops_fail(const ops_request *call, int32_t code, const char *format,
                 ...);
/* The same with a fixed list, which takes less code: two of %s, %t, %x or %v (a
 * %s of NULL is nothing), then two %l. */
int32_t ops_fail_with(const ops_request *call, int32_t code, const char *format,
                      const char *name, const void *item, int64_t a, int64_t b);
/* Appends " (got x float32[2,3], ..., axis=1)": what is checked so far. */
int32_t ops_fail_got(const ops_request *call, int32_t code, const char *format,
                     ...);
/* Appends it to the text of the last error; returns the code. */
int32_t ops_append_got(const ops_request *call, int32_t code);

/* OPS_ERROR_MEMORY: who is "ops_alloc: " or NULL, what " a workspace of" or
 * NULL. */
int32_t ops_fail_memory(const ops_request *call, const char *who,
                        const char *what, int64_t bytes);

/* Integer attribute at that position; entry of a list. */
static inline int64_t ops_int(const ops_request *call, int attribute,
                              int entry) {
  return call->values[call->first[attribute] + entry].i;
}

/* An axis in [-rank, rank) as one in [0, rank), or -1 after ops_fail. */
int32_t ops_axis(const ops_request *call, const char *attribute, int64_t axis,
                 int32_t rank);
int32_t ops_same_shape(const ops_tensor *a, const ops_tensor *b);
/* Whether all tensors are given, with one shape. In fast.c, which a module may
 * lack. */
int32_t ops_is_flat(const ops_request *call) __attribute__((weak));
/* Product of shape[from..to). */
int64_t ops_product(const int32_t *shape, int32_t from, int32_t to);
/* Rank, shape, count and bytes of a tensor; OPS_ERROR_SHAPE where a size is
 * negative or the bytes pass 2^31. */
int32_t ops_read_shape(const ops_request *call, ops_tensor *tensor,
                       int32_t rank, const int64_t *shape);
/* Gives an output that shape while inferring; otherwise OPS_ERROR_SHAPE if the
 * caller's tensor has another. */
int32_t ops_set_shape(ops_request *call, ops_tensor *output, int32_t rank,
                      const int64_t *shape);

/* Gives an output the sizes that `run` has found, none larger than those of
 * `shape`, and tells the caller. In late.c, which only operators with such
 * outputs link. */
void ops_set_late(ops_request *call, ops_tensor *output, const int32_t *shape);

/* Scratch memory of at least `bytes` (64-byte aligned), or NULL after ops_fail.
 * Released in any order. */
void *ops_workspace(const ops_request *call, int64_t bytes);
void ops_release(void *workspace);

/* The nearest int64 towards 0; of a NaN 0. */
int64_t ops_saturate(double value);
/* One element, repeated to fill 8 bytes. */
uint64_t ops_repeat(const void *element, int32_t itemsize);
/* The fill value of an absent optional input, repeated to fill 8 bytes. In
 * optional.c, which
 * only operators with such inputs link. */
uint64_t ops_fill(const ops_request *call, const ops_tensor *tensor)
    __attribute__((weak));
/* A workspace of `count` elements with that value, in place of the input. */
void *ops_filled(const ops_request *call, const ops_tensor *tensor,
                 int64_t count);

/* OPS_ERROR_ATTRIBUTE unless all indices (int32 or int64) lie in an axis of
 * that size, from its end where they are negative. */
int32_t ops_indices_inside(const char *name, const void *indices, int32_t count,
                           int32_t itemsize, int32_t axis, int32_t size);

/* Copies a strided view (elements; stride in elements, any sign) to compact
 * memory: dst[i0, i1, ...] = src[sum i * stride]. */
void ops_copy_view(uint8_t *dst, const uint8_t *src, int32_t rank,
                   const int32_t *shape, const int64_t *strides,
                   int32_t itemsize);

/* What attribute.c offers; only operators with attributes link it. */
int32_t ops_put_attribute_slots(const ops_request *call, ops_slot *slots,
                                int32_t at) __attribute__((weak));
/* Puts the attributes that the kernel takes after slots[at]; returns the count.
 */
static inline int32_t ops_attribute_slots(const ops_request *call,
                                          ops_slot *slots, int32_t at) {
  return call->attributes ? ops_put_attribute_slots(call, slots, at) : at;
}
/* Runs family->infer over slots that hold sizes and attributes: fills `sizes`
 * from entry 1 on (the canonical sizes of each output in turn; entry 0 is the
 * kernel's) or fails with the requirement's text. Slot `call->family->inputs`
 * (the first output) is overwritten. */
int32_t ops_infer_sizes(const ops_request *call, ops_slot *slots,
                        int64_t *sizes);
/* What is left to do where a kernel found no workspace: OPS_ERROR_MEMORY. */
int32_t ops_fail_workspace(const ops_request *call);
/* Runs a kernel. */
static inline int32_t ops_run_kernel(const ops_request *call, ops_kernel kernel,
                                     const ops_slot *slots) {
  return kernel(slots) ? ops_fail_workspace(call) : OPS_OK;
}

#endif /* OPS_CALL_H_ */
