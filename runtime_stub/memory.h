/* memory.h: what the allocator offers the checker and the kernels. */
#ifndef OPS_MEMORY_H_
#define OPS_MEMORY_H_

#include <stdint.h>

typedef enum {
  OPS_RANGE_GOOD = 0,
  OPS_RANGE_PAST_MEMORY, /* ends after the last byte of linear memory */
  OPS_RANGE_NO_BLOCK,    /* touches the allocator's memory, in no live block */
  OPS_RANGE_PAST_BLOCK   /* starts in a live block, ends after it */
} ops_range;

/* Whether bytes [start, start + bytes) lie in linear memory and, where they
 * touch the allocator's memory, in one live block. `room` receives the bytes
 * from start to the end of its block, or of memory. bytes must not be 0. */
ops_range ops_block_of(uint32_t start, uint64_t bytes, uint64_t *room);

/* TVM's: kernels call these for their workspaces. NULL when out of memory. */
void *TVMBackendAllocWorkspace(int device_type, int device_id, uint64_t nbytes,
                               int dtype_code, int dtype_bits);
int TVMBackendFreeWorkspace(int device_type, int device_id, void *block);

/* How many workspaces live, and release of all that came after the first `count`:
 * what a kernel left when it failed. */
uint32_t ops_workspaces(void);
void ops_free_workspaces(uint32_t count);

#endif /* OPS_MEMORY_H_ */
