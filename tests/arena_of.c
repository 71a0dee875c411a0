/* arena_of.c: what the last plan of a model takes, which no module tells. */
#include "call.h"
#include "graph.h"

extern const ops_operator ops_net;

uint32_t arena_of(void) { return ops_net.family->model->frame->arena_bytes; }
