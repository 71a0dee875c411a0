/* graph_arena.c: gaps between values that live at the same time. */
#include "graph_arena.h"

static uint32_t size_of(const ops_gap *gap) { return gap->end - gap->start; }

static void drop(ops_arena *arena, int32_t i) {
  arena->gaps[i] = arena->gaps[--arena->count];
}

/* Memory at the top; a gap that ends there grows. */
static uint32_t extend(ops_arena *arena, uint32_t size) {
  uint32_t start = (uint32_t)arena->top;
  int32_t i = 0;
  while (i < arena->count && arena->gaps[i].end != arena->top) ++i;
  if (i < arena->count) {
    start = arena->gaps[i].start;
    drop(arena, i);
  }
  arena->top = (uint64_t)start + size;
  return start;
}

uint32_t ops_arena_take(ops_arena *arena, uint32_t size) {
  int32_t best = -1;
  uint32_t least = UINT32_MAX;
  for (int32_t i = 0; i < arena->count; ++i) {
    uint32_t room = size_of(&arena->gaps[i]);
    if (room >= size && room < least) best = i, least = room;
  }
  if (best < 0) return extend(arena, size);
  uint32_t start = arena->gaps[best].start;
  arena->gaps[best].start += size;
  if (least == size) drop(arena, best);
  return start;
}

/* Where a new gap is remembered: behind the others, or in place of the
 * smallest. */
static int32_t room_for_gap(ops_arena *arena) {
  int32_t at = 0;
  if (arena->count < OPS_GAPS) return arena->count++;
  for (int32_t i = 1; i < OPS_GAPS; ++i)
    if (size_of(&arena->gaps[i]) < size_of(&arena->gaps[at])) at = i;
  return at;
}

void ops_arena_give(ops_arena *arena, uint32_t start, uint32_t size) {
  ops_gap whole = {start, start + size};
  for (int32_t i = 0; i < arena->count;) {
    ops_gap gap = arena->gaps[i];
    if (gap.end != whole.start && gap.start != whole.end) {
      ++i;
      continue;
    }
    if (gap.start < whole.start) whole.start = gap.start;
    if (gap.end > whole.end) whole.end = gap.end;
    drop(arena, i);
  }
  arena->gaps[room_for_gap(arena)] = whole;
}
