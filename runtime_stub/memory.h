/* memory.h: what the allocator offers the checker and the kernels. */
#ifndef OPS_MEMORY_H_
#define OPS_MEMORY_H_

#include <stdint.h>

/* Memory is cut into pieces: where each starts, in order, with its state in the
 * low bits; it ends where the next one starts. A caller's block is LIVE. */
extern uint32_t *ops_pieces;
#define OPS_ALIGNMENT 64u
#define OPS_PAGE 65536u /* bytes of linear memory */
#define OPS_LIVE 2u

/* In which piece, in bytes from the first, an address of that hash was found
 * last. A hint: the piece says whether it holds, so nothing is forgotten.
 * Blocks in a row and blocks 2^n bytes apart have hints of their own. */
extern uint32_t ops_hints[256];
static inline __attribute__((always_inline)) uint32_t *ops_hint(
    uint32_t address) {
  return &ops_hints[address / OPS_ALIGNMENT * 0x9e3779b1u >> 24];
}

/* Whether bytes at an aligned address lie in a live block, by the hint; 0 says
 * nothing. A call asks this ten times. No piece past the last one is live. */
static inline __attribute__((always_inline)) int32_t
ops_is_hinted(uint32_t start, uint32_t bytes, uint32_t alignment) {
  const uint32_t *piece =
      (uint32_t *)((uint8_t *)ops_pieces + *ops_hint(start));
  uint32_t from = piece[0] - OPS_LIVE, end = piece[1];
  /* The state of the next piece is less than 8, and so are multiples of 8. */
  if (!__builtin_constant_p(alignment) || alignment < 8) end &= -OPS_ALIGNMENT;
  return !(from % OPS_ALIGNMENT | (start & (alignment - 1))) && start >= from &&
         (uint64_t)start + bytes <= end;
}

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
