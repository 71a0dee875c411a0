/* graph_arena.h: offsets in an arena, while a segment of a graph is planned. */
#ifndef OPS_GRAPH_ARENA_H_
#define OPS_GRAPH_ARENA_H_

#include <stdint.h>

/* Gaps that are remembered; of more the smallest is forgotten. */
enum { OPS_GAPS = 64 };

typedef struct {
  uint32_t start, end;
} ops_gap;

/* top: the bytes that were taken at most. */
typedef struct {
  uint64_t top;
  int32_t count;
  ops_gap gaps[OPS_GAPS];
} ops_arena;

/* The offset of the smallest gap of at least that size, or of the top. */
uint32_t ops_arena_take(ops_arena *arena, uint32_t size);
/* Leaves a gap, joined with those beside it. */
void ops_arena_give(ops_arena *arena, uint32_t start, uint32_t size);

#endif /* OPS_GRAPH_ARENA_H_ */
