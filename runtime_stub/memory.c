/* memory.c: the allocator.
 *
 * Memory comes from memory.grow only, so it lives beside any other allocator.
 * The pieces of it (live blocks, free ones, the bookkeeping's own) are nodes of
 * a treap ordered by address, in which each node knows the largest free piece
 * below it: allocation (the lowest that fits), release and look-up of any
 * address take O(log pieces). The nodes lie in memory of their own: writing
 * past the end of a block damages data, not the allocator.
 */
#include "memory.h"

#include "call.h"

#define ALIGNMENT 64u
#define PAGE 65536u
/* Growth by at least 1 MiB: every growth detaches the views of JavaScript
 * hosts. */
#define GROWTH 16u
/* Nodes before the first growth of the pool: 2.3 KB of zeroed memory. */
#define FIRST_NODES 96u
/* The most that live at once: a kernel has under ten, a collapse as many. */
#define MAX_WORKSPACES 64u
/* The most nodes one call takes: a grown piece, a remainder, a new pool. */
#define SPARE 4u

enum { FREE = 0, LIVE, POOL };

typedef struct {
  uint32_t start;
  uint32_t size; /* a multiple of ALIGNMENT */
  uint32_t largest; /* free piece in this subtree */
  uint32_t left, right; /* nodes; 0 is none */
  uint32_t state;
} node;

static node first_nodes[FIRST_NODES];

static struct {
  node *nodes;
  uint32_t capacity;
  uint32_t used;   /* nodes ever taken, node 0 included */
  uint32_t unused; /* list of returned nodes, linked by `left` */
  uint32_t spare;  /* its length */
  uint32_t root;
} heap = {first_nodes, FIRST_NODES, 1, 0, 0, 0};

static uint64_t memory_end(void) {
  return (uint64_t)__builtin_wasm_memory_size(0) * PAGE;
}

/* Priorities of the treap: a hash of the node's number (Knuth's, mixed). */
static uint32_t priority(uint32_t i) {
  i *= 2654435761u;
  return (i ^ (i >> 15)) * 2246822519u;
}

static uint32_t larger(uint32_t a, uint32_t b) { return a > b ? a : b; }

static void refresh(uint32_t i) {
  node *n = &heap.nodes[i];
  uint32_t own = n->state == FREE ? n->size : 0;
  uint32_t below = larger(heap.nodes[n->left].largest,
                          heap.nodes[n->right].largest);
  n->largest = larger(own, below);
}

static uint32_t merge(uint32_t a, uint32_t b) {
  if (!a || !b) return a | b;
  if (priority(a) > priority(b)) {
    heap.nodes[a].right = merge(heap.nodes[a].right, b);
    refresh(a);
    return a;
  }
  heap.nodes[b].left = merge(a, heap.nodes[b].left);
  refresh(b);
  return b;
}

/* Splits a tree into the nodes below an address and the rest. */
static void split(uint32_t i, uint32_t start, uint32_t *low, uint32_t *high) {
  if (!i) {
    *low = *high = 0;
    return;
  }
  node *n = &heap.nodes[i];
  if (n->start < start) {
    *low = i;
    split(n->right, start, &n->right, high);
  } else {
    *high = i;
    split(n->left, start, low, &n->left);
  }
  refresh(i);
}

static uint32_t insert(uint32_t start, uint32_t size, uint32_t state) {
  uint32_t i = heap.unused, low, high;
  if (i) {
    heap.unused = heap.nodes[i].left;
    --heap.spare;
  } else {
    i = heap.used++;
  }
  heap.nodes[i] = (node){start, size, state == FREE ? size : 0, 0, 0, state};
  split(heap.root, start, &low, &high);
  heap.root = merge(merge(low, i), high);
  return i;
}

static void erase(uint32_t i) {
  uint32_t start = heap.nodes[i].start, low, high, none;
  split(heap.root, start, &low, &high);
  split(high, start + 1, &none, &high);
  heap.root = merge(low, high);
  heap.nodes[i].left = heap.unused;
  heap.unused = i;
  ++heap.spare;
}

/* Corrects `largest` from a changed node up to the root. */
static void touch(uint32_t i, uint32_t start) {
  node *n = &heap.nodes[i];
  if (n->start != start) touch(start < n->start ? n->left : n->right, start);
  refresh(i);
}

/* The last piece that starts at or before an address, or 0. */
static uint32_t at_or_before(uint32_t address) {
  uint32_t found = 0;
  for (uint32_t i = heap.root; i;) {
    if (heap.nodes[i].start <= address) {
      found = i;
      i = heap.nodes[i].right;
    } else {
      i = heap.nodes[i].left;
    }
  }
  return found;
}

/* The lowest free piece of that size, or 0. */
static uint32_t first_fit(uint32_t size) {
  uint32_t i = heap.root;
  if (heap.nodes[i].largest < size) return 0;
  for (;;) {
    const node *n = &heap.nodes[i];
    if (heap.nodes[n->left].largest >= size)
      i = n->left;
    else if (n->state == FREE && n->size >= size)
      return i;
    else
      i = n->right;
  }
}

/* Frees a piece and joins it with free neighbours. */
static void release(uint32_t i) {
  node *n = &heap.nodes[i];
  n->state = FREE;
  uint32_t next = at_or_before(n->start + n->size);
  node *m = &heap.nodes[next];
  if (next != i && m->state == FREE && m->start == n->start + n->size) {
    n->size += m->size;
    erase(next);
  }
  uint32_t before = at_or_before(n->start - 1);
  m = &heap.nodes[before];
  if (before && m->state == FREE && m->start + m->size == n->start) {
    m->size += n->size;
    erase(i);
    n = m;
  }
  touch(heap.root, n->start);
}

/* New pages from the engine: the address of the first, or 0. */
static uint32_t grow_pages(uint32_t pages) {
  uintptr_t before = __builtin_wasm_memory_grow(0, pages);
  return before == (uintptr_t)-1 ? 0 : (uint32_t)before * PAGE;
}

/* Makes sure that one call's nodes are there: otherwise moves to a pool of
 * twice the size and gives the old one back. */
static int32_t reserve_nodes(void) {
  if (heap.capacity - heap.used + heap.spare >= SPARE) return 1;
  uint32_t size = 2 * heap.capacity * (uint32_t)sizeof(node);
  uint32_t pages = (size + PAGE - 1) / PAGE;
  uint32_t start = grow_pages(pages);
  if (!start) return 0;
  node *nodes = (node *)(uintptr_t)start, *old = heap.nodes;
  for (uint32_t i = 0; i < heap.used; ++i) nodes[i] = old[i];
  heap.nodes = nodes;
  heap.capacity = pages * PAGE / (uint32_t)sizeof(node);
  if (old != first_nodes) release(at_or_before((uint32_t)(uintptr_t)old));
  insert(start, pages * PAGE, POOL);
  return 1;
}

/* Adds memory in which a block of that size fits; 0 when there is none. */
static int32_t grow(uint32_t size) {
  const node *last = &heap.nodes[at_or_before(UINT32_MAX)];
  if (last->state == FREE && last->start + (uint64_t)last->size == memory_end())
    size -= last->size; /* node 0 ends at 0 */
  uint32_t pages = (uint32_t)(((uint64_t)size + PAGE - 1) / PAGE);
  uint32_t wanted = larger(pages, GROWTH);
  uint32_t start = grow_pages(wanted);
  if (!start) start = grow_pages(wanted = pages);
  if (!start) return 0;
  release(insert(start, wanted * PAGE, LIVE));
  return 1;
}

static void *take(uint32_t i, uint32_t size) {
  node *n = &heap.nodes[i];
  uint32_t rest = n->size - size;
  n->state = LIVE;
  n->size = size;
  touch(heap.root, n->start);
  if (rest) insert(n->start + size, rest, FREE);
  return (void *)(uintptr_t)n->start;
}

static void *allocate(uint64_t bytes) {
  if (bytes > UINT32_MAX - (ALIGNMENT - 1) || !reserve_nodes()) return 0;
  uint32_t size = ((uint32_t)bytes + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
  if (!size) size = ALIGNMENT;
  uint32_t i = first_fit(size);
  if (!i && grow(size)) i = first_fit(size);
  return i ? take(i, size) : 0;
}

void *ops_alloc(uint32_t bytes) {
  void *block = allocate(bytes);
  if (!block)
    ops_fail(0, OPS_ERROR_MEMORY,
             "ops_alloc: no memory for %l bytes; free blocks, or link with a "
             "higher --max-memory", (int64_t)bytes);
  return block;
}

int32_t ops_free(void *block) {
  uint32_t start = (uint32_t)(uintptr_t)block;
  uint32_t i = at_or_before(start);
  const node *n = &heap.nodes[i];
  if (!i || n->start != start || n->state != LIVE)
    return ops_fail(0, OPS_ERROR_POINTER,
                    "ops_free: %l is not the start of a live block; pass what "
                    "ops_alloc returned, once", (int64_t)start);
  release(i);
  return OPS_OK;
}

ops_range ops_block_of(uint32_t start, uint64_t bytes, uint64_t *room) {
  uint64_t end = memory_end();
  *room = start < end ? end - start : 0;
  if (bytes > *room) return OPS_RANGE_PAST_MEMORY;
  const node *last = &heap.nodes[at_or_before((uint32_t)(start + bytes - 1))];
  uint64_t last_end = last->start + (uint64_t)last->size;
  if (last_end <= start) return OPS_RANGE_GOOD; /* not the allocator's */
  const node *first = &heap.nodes[at_or_before(start)];
  uint64_t first_end = first->start + (uint64_t)first->size;
  if (first->state != LIVE || first_end <= start) return OPS_RANGE_NO_BLOCK;
  *room = first_end - start;
  return bytes > *room ? OPS_RANGE_PAST_BLOCK : OPS_RANGE_GOOD;
}

/* Live workspaces, so that those of a kernel that failed can be freed: TVM's
 * code returns at once where it cannot have one, and keeps the others. */
static struct {
  void *blocks[MAX_WORKSPACES];
  uint32_t count;
} workspaces;

void *TVMBackendAllocWorkspace(int device_type, int device_id, uint64_t nbytes,
                               int dtype_code, int dtype_bits) {
  (void)device_type, (void)device_id, (void)dtype_code, (void)dtype_bits;
  /* From 2^31 on it is a size that overflowed int32, or is negative. */
  if (nbytes > INT32_MAX || workspaces.count == MAX_WORKSPACES) return 0;
  void *block = allocate(nbytes);
  if (block) workspaces.blocks[workspaces.count++] = block;
  return block;
}

int TVMBackendFreeWorkspace(int device_type, int device_id, void *block) {
  (void)device_type, (void)device_id;
  for (uint32_t i = workspaces.count; i-- > 0;) {
    if (workspaces.blocks[i] != block) continue;
    workspaces.blocks[i] = workspaces.blocks[--workspaces.count];
    break;
  }
  return ops_free(block);
}

uint32_t ops_workspaces(void) { return workspaces.count; }

void ops_free_workspaces(uint32_t count) {
  while (workspaces.count > count)
    ops_free(workspaces.blocks[--workspaces.count]);
}
