/* memory.h: what the allocator offers the checker and the kernels. */
#ifndef OPS_MEMORY_H_
#define OPS_MEMORY_H_

#include <stdint.h>

/* NULL where bytes [start, start + bytes) lie in linear memory and, if they
 * touch the allocator's memory, in one live block; otherwise what is wrong. No
 * bytes are good anywhere. */
const char *ops_range_fault(uint32_t start, uint32_t bytes);
/* After a fault: the bytes from start to the end of its block, or of memory. */
extern uint32_t ops_range_room;

/* A block that ops_free takes, or NULL. */
void *ops_allocate(uint64_t bytes);

/* TVM's: kernels call these for their workspaces. NULL when out of memory. */
void *TVMBackendAllocWorkspace(int device_type, int device_id, uint64_t nbytes,
                               int dtype_code, int dtype_bits);
int TVMBackendFreeWorkspace(int device_type, int device_id, void *block);

/* Frees what a kernel left that failed: TVM's code returns at once where it
 * cannot have a workspace, and keeps the others. Returns the bytes of that one.
 */
uint64_t ops_free_workspaces(void);

#endif /* OPS_MEMORY_H_ */
