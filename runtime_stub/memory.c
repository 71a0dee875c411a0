/* memory.c: the allocator.
 *
 * Memory comes from memory.grow only, so it lives beside any other allocator.
 * A table cuts linear memory into pieces: the start of each, in order, with its
 * state in the low bits; a piece ends where the next one starts. Look-up is a
 * binary search, allocation takes the first free piece that fits, and free
 * neighbours are one piece. The table lies in memory of its own: writing past
 * the end of a block damages data, not the allocator.
 */
#include "memory.h"

#include "check.h"

#define ALIGNMENT OPS_ALIGNMENT
#define PAGE OPS_PAGE
/* Growth by at least 1 MiB: every growth detaches the views of JavaScript
 * hosts. */
#define GROWTH 16u
/* Entries for each page of a table: at most what `pages` hold, whose first
 * OPS_FIRST_ENTRIES are counted apart. */
#define PAGE_ENTRIES (PAGE / 4 - OPS_FIRST_ENTRIES)
/* The most entries one call adds: a remainder, and two growths of 2 each. */
#define SPARE 5u

/* Not the library's; free; a caller's; a kernel's; the table's own. */
enum { FOREIGN = 0, FREE, LIVE = OPS_LIVE, WORKSPACE, TABLE };

/* standalone.c defines it: a module of its own has no statics for tensors, and
 * what lies below __heap_base is the runtime's. */
extern const char ops_standalone __attribute__((weak));
extern char __heap_base;

/* Entry 0 of the table starts at address 0, and the last one, which is foreign
 * too, where the allocator's memory ends. What lies beyond was the last one, or
 * is 0. */
static ops_heap *const heap = &ops_state.heap;

_Static_assert(OPS_HINTS == 1 << (32 - 24),
               "ops_hint takes the upper 8 of 32 bits");

static uint32_t start_of(uint32_t i) { return heap->table[i] & -ALIGNMENT; }
static uint32_t state_of(uint32_t i) { return heap->table[i] % ALIGNMENT; }

/* One byte less than 4 GiB where memory is that large. */
static uint32_t memory_end(void) {
  uint32_t pages = __builtin_wasm_memory_size(0);
  return pages * PAGE - pages / PAGE;
}

/* The piece of an address. The first look-up makes the table: a state that is
 * all zero takes no bytes of the module. */
static uint32_t find(uint32_t address) {
  uint32_t low = 0, high = heap->last;
  if (!heap->table) heap->table = heap->first;
  while (low < high) {
    uint32_t middle = (low + high + 1) / 2;
    if (heap->table[middle] <= (address | (ALIGNMENT - 1)))
      low = middle;
    else
      high = middle - 1;
  }
  return low;
}

/* Puts an entry before entry i. */
static void insert(uint32_t i, uint32_t entry) {
  uint32_t *to = heap->table + i, *at = heap->table + ++heap->last;
  for (; at != to; --at) *at = at[-1];
  *at = entry;
}

static void erase(uint32_t i) {
  uint32_t *at = heap->table + i, *last = heap->table + --heap->last;
  for (; at <= last; ++at) *at = at[1];
}

/* Frees a piece and joins it with free neighbours. */
static void release(uint32_t i) {
  heap->table[i] = start_of(i) + FREE;
  if (state_of(i + 1) == FREE) erase(i + 1);
  if (state_of(i - 1) == FREE) erase(i--);
  if (i < heap->first_free) heap->first_free = i;
}

/* Adds new pages as a piece; returns it, or 0. */
static uint32_t grow(uint32_t pages) {
  uint32_t before = __builtin_wasm_memory_grow(0, pages);
  if (before == UINT32_MAX) return 0;
  uint32_t i = heap->last, start = before * PAGE, end = start + pages * PAGE;
  if (heap->table[i] != start) ++i; /* others have grown memory too */
  heap->table[i] = start + TABLE;
  heap->table[i + 1] = end ? end : -ALIGNMENT;
  heap->last = i + 1;
  return i;
}

/* Makes room in the table for one call, or moves the table to twice the memory.
 * The old table keeps its memory, full of zeros: hints may point to it. */
static int32_t reserve(void) {
  find(0); /* makes the table */
  uint32_t *old = heap->table, pages = 2 * heap->pages + 1;
  if (heap->last < OPS_FIRST_ENTRIES - SPARE + heap->pages * PAGE_ENTRIES)
    return 1;
  uint32_t i = grow(pages);
  if (!i) return 0;
  heap->table = (uint32_t *)(uintptr_t)start_of(i);
  heap->pages = pages;
  for (uint32_t j = 0; j <= heap->last; ++j) {
    heap->table[j] = old[j];
    old[j] = 0;
  }
  return 1;
}

/* The first free piece of that size, or 0. */
static uint32_t fit(uint32_t size) {
  uint32_t *table = heap->table, *at = table + heap->first_free,
           *last = table + heap->last;
  while (at < last && *at % ALIGNMENT != FREE) ++at;
  heap->first_free = (uint32_t)(at - table);
  /* The state of the next piece adds less than ALIGNMENT. */
  for (; at < last; ++at)
    if (*at % ALIGNMENT == FREE && at[1] - *at + FREE >= size)
      return (uint32_t)(at - table);
  return 0;
}

/* Adds memory in which a block of that size fits; 0 when there is none. */
static uint32_t grow_to_fit(uint32_t size) {
  uint32_t end = start_of(heap->last), before = heap->last - 1;
  if (heap->last && end == memory_end() && state_of(before) == FREE)
    size -= end - start_of(before);
  uint32_t pages = size / PAGE + (size % PAGE != 0);
  uint32_t i = grow(pages < GROWTH ? GROWTH : pages);
  if (!i) i = grow(pages);
  if (i) release(i);
  return i;
}

static void *allocate(uint32_t bytes, uint32_t state) {
  uint32_t size = (bytes + !bytes + ALIGNMENT - 1) & -ALIGNMENT;
  if (size < bytes || !reserve()) return 0;
  uint32_t i = fit(size);
  if (!i && grow_to_fit(size)) i = fit(size);
  if (!i) return 0;
  uint32_t start = start_of(i);
  if (start_of(i + 1) - start != size) insert(i + 1, start + size + FREE);
  heap->table[i] = start + state;
  return (void *)(uintptr_t)start;
}

void *ops_alloc(uint32_t bytes) {
  void *block = allocate(bytes, LIVE);
  if (!block) ops_fail_memory(0, "ops_alloc: ", 0, bytes);
  return block;
}

int32_t ops_free(void *block) {
  uint32_t start = (uint32_t)(uintptr_t)block, i = find(start);
  uint32_t state = state_of(i);
  if (start_of(i) != start || (state != LIVE && state != WORKSPACE))
    return ops_fail_with(0, OPS_ERROR_POINTER,
                         "ops_free: %s%s%l is no live block; pass what "
                         "ops_alloc gave, once",
                         0, 0, start, 0);
  release(i);
  return OPS_OK;
}

const char *ops_range_fault(uint32_t start, uint32_t bytes) {
  if (!bytes) return 0;
  uint32_t i = find(start), *piece = heap->table + i;
  *ops_hint(start) = (uint32_t)((uintptr_t)piece - (uintptr_t)heap->first);
  uint32_t state = *piece % ALIGNMENT, from = *piece & -ALIGNMENT;
  uint32_t end = i < heap->last ? piece[1] & -ALIGNMENT : memory_end();
  uint32_t room = start < end ? end - start : 0;
  ops_state.left = room;
  if (!start) return " is null";
  if (!i) { /* null is never good */
    from = &ops_standalone ? (uint32_t)(uintptr_t)&__heap_base : 1;
    if (start < from) state = TABLE;
  }
  if (state == FOREIGN || state == LIVE) {
    if (bytes <= room) return 0;
    if (state == LIVE) return " is larger than its block";
    if (i == heap->last) return " ends outside memory";
  }
  return " is in no live block; use ops_alloc";
}

int32_t ops_check_block(const void *block, uint32_t bytes, uint32_t alignment,
                        const char *what) {
  uint32_t start = (uint32_t)(uintptr_t)block;
  if (ops_is_hinted(start, bytes, alignment)) return OPS_OK;
  return ops_search_block(start, bytes, alignment, what);
}

/* A size from 2^31 on overflowed int32, or is negative. */
static void *allocate_size(uint64_t bytes, uint32_t state) {
  return bytes > INT32_MAX ? 0 : allocate((uint32_t)bytes, state);
}

void *ops_allocate(uint64_t bytes) { return allocate_size(bytes, LIVE); }

void *TVMBackendAllocWorkspace(int device_type, int device_id, uint64_t nbytes,
                               int dtype_code, int dtype_bits) {
  (void)device_type, (void)device_id, (void)dtype_code, (void)dtype_bits;
  ops_state.asked = nbytes;
  return allocate_size(nbytes, WORKSPACE);
}

int TVMBackendFreeWorkspace(int device_type, int device_id, void *block) {
  (void)device_type, (void)device_id;
  return ops_free(block);
}

uint64_t ops_free_workspaces(void) {
  for (uint32_t i = heap->last; i; --i)
    if (state_of(i) == WORKSPACE) release(i);
  return ops_state.asked;
}
