/* memory.h: what the allocator offers the checker and the kernels. */
#ifndef OPS_MEMORY_H_
#define OPS_MEMORY_H_

#include "state.h"

/* Memory is cut into pieces: where each starts, in order, with its state in the
 * low bits; it ends where the next one starts. A caller's block is LIVE. */
#define OPS_ALIGNMENT 64u
#define OPS_PAGE 65536u /* bytes of linear memory */
#define OPS_LIVE 2u

/* Where in the table an address of that hash was found last. A hint: the piece
 * says whether it holds, so only a table that moves makes them wrong. Blocks in
 * a row and blocks 2^n bytes apart have hints of their own. */
INLINE uint32_t *ops_hint(uint32_t address) {
  return &ops_state.heap.hints[address / OPS_ALIGNMENT * 0x9e3779b1u >> 24];
}

/* An entry of the table by its distance in bytes from the first table. */
INLINE uint32_t *ops_entry(uint32_t distance) {
  return (uint32_t *)((uintptr_t)ops_state.heap.first + distance);
}

/* Whether bytes at an aligned address lie in a live block, by the hint; 0 says
 * nothing. A call asks this ten times. No piece past the last one is live. */
INLINE int32_t ops_is_hinted(uint32_t start, uint32_t bytes,
                             uint32_t alignment) {
  const uint32_t *piece = ops_entry(*ops_hint(start));
  uint32_t from = piece[0] - OPS_LIVE, end = piece[1];
  /* The state of the next piece is less than 8, and so are multiples of 8. */
  if (!__builtin_constant_p(alignment) || alignment < 8) end &= -OPS_ALIGNMENT;
  return !(from % OPS_ALIGNMENT | (start & (alignment - 1))) && start >= from &&
         (uint64_t)start + bytes <= end;
}

/* NULL where bytes [start, start + bytes) lie in linear memory and, if they
 * touch the allocator's memory, in one live block; otherwise what is wrong. No
 * bytes are good anywhere. Sets ops_state.left. */
const char *ops_range_fault(uint32_t start, uint32_t bytes);

/* A block that ops_free takes, or NULL. */
void *ops_allocate(uint64_t bytes);

/* TVM's: kernels call these for their workspaces. NULL when out of memory. */
void *TVMBackendAllocWorkspace(int device_type, int device_id, uint64_t nbytes,
                               int dtype_code, int dtype_bits);
int TVMBackendFreeWorkspace(int device_type, int device_id, void *block);

/* Frees what a kernel left that failed: TVM's code returns at once where it
 * cannot have a workspace, and keeps the others. Returns the bytes of the
 * workspace that it could not have.
 */
uint64_t ops_free_workspaces(void);

#endif /* OPS_MEMORY_H_ */
