/* graph.c: runs a graph, segment by segment.
 *
 * A segment is planned first: shapes of all its values, found by the operators'
 * own collapses, and offsets in one arena. Values that lie in an arena at
 * different times share its bytes: each takes the smallest gap that it fits in,
 * and leaves one after the step that reads it last.
 */
#include "graph.h"

#include "call.h"
#include "graph_arena.h"
#include "memory.h"

static uint32_t round_up(int64_t bytes) {
  return ((uint32_t)bytes + OPS_ALIGNMENT - 1) & -OPS_ALIGNMENT;
}

/* -- where values lie -- */

int32_t ops_graph_own(ops_frame *frame, uint16_t value) {
  ops_tensor *tensor = &frame->values[value];
  tensor->data = ops_allocate((uint64_t)tensor->bytes);
  if (!tensor->data) return ops_fail_memory(0, 0, " a value of", tensor->bytes);
  frame->places[value].place = OPS_PLACE_OWNED;
  return OPS_OK;
}

static int32_t same_shape(const ops_tensor *a, const ops_tensor *b) {
  return a->bytes == b->bytes && ops_same_shape(a, b);
}

static int32_t fail_shape(const ops_graph_result *result,
                          const ops_tensor *found) {
  return ops_fail_with(0, OPS_ERROR_SHAPE,
                       "%s has another shape than %v, which it gets; see "
                       "ops_infer, or pass data = NULL",
                       result->given.name, found, 0, 0);
}

/* The result whose memory a value is to be, or -1. */
static int32_t result_of(const ops_graph *graph, uint16_t value) {
  for (int32_t k = 0; k < graph->output_count; ++k)
    if (graph->outputs[k].memory == value) return k;
  return -1;
}

/* Memory for a result: the caller's, or a block. */
static int32_t place_result(ops_frame *frame, int32_t k,
                            const ops_tensor *found) {
  ops_graph_result *result = &frame->results[k];
  if (result->given.data)
    return result->owned || result->given.bytes == found->bytes
               ? OPS_OK
               : fail_shape(result, found);
  result->given.data = ops_allocate((uint64_t)found->bytes);
  if (!result->given.data)
    return ops_fail_memory(0, 0, " a result of", found->bytes);
  result->owned = 1;
  return OPS_OK;
}

/* Whether an output takes the place of an operand that this step reads last:
 * elementwise, each element is read before it is written. */
static int32_t take_operand(ops_frame *frame, const ops_step *step,
                            uint16_t value) {
  const uint16_t *last = step->values + step->inputs + step->outputs;
  if (!step->op->family->collapse->in_place || step->outputs != 1) return 0;
  for (int32_t i = 0; i < step->last; ++i) {
    ops_graph_place *from = &frame->places[last[i]];
    if (last[i] == value || from->place != OPS_PLACE_ARENA ||
        frame->values[last[i]].bytes != frame->values[value].bytes ||
        frame->values[last[i]].count != frame->values[value].count)
      continue; /* as many bytes may be a row that is broadcast */
    from->passed = 1;
    frame->places[value].offset = from->offset;
    return 1;
  }
  return 0;
}

/* Says where an output of a step will lie. */
static int32_t place(ops_frame *frame, ops_arena *arena, const ops_step *step,
                     uint16_t value) {
  ops_tensor *tensor = &frame->values[value];
  ops_graph_place *to = &frame->places[value];
  to->offset = 0;
  to->passed = 0;
  if (step->flags & OPS_STEP_EARLY) {
    if (tensor->bytes > OPS_EARLY_BYTES) return ops_graph_own(frame, value);
    to->place = OPS_PLACE_EARLY;
    tensor->data = frame->early + OPS_EARLY_BYTES * frame->early_used++;
    return OPS_OK;
  }
  int32_t k = result_of(frame->graph, value);
  if (k >= 0 && frame->results) {
    to->place = OPS_PLACE_RESULT;
    to->offset = (uint32_t)k;
    return OPS_OK;
  }
  to->place = OPS_PLACE_ARENA;
  if (!take_operand(frame, step, value))
    to->offset = ops_arena_take(arena, round_up(tensor->bytes));
  if (arena->top > INT32_MAX - OPS_ALIGNMENT)
    return ops_fail_memory(0, 0, " values of", (int64_t)arena->top);
  return OPS_OK;
}

/* The data of a step's outputs, before it runs. */
static int32_t locate(ops_frame *frame, const ops_step *step) {
  const uint16_t *value = step->values + step->inputs;
  for (int32_t o = 0; o < step->outputs; ++o, ++value) {
    ops_tensor *tensor = &frame->values[*value];
    const ops_graph_place *at = &frame->places[*value];
    if (at->place == OPS_PLACE_ARENA) {
      tensor->data = frame->arena + at->offset;
    } else if (at->place == OPS_PLACE_RESULT) {
      int32_t k = (int32_t)at->offset;
      int32_t code = place_result(frame, k, tensor);
      if (code) return code;
      tensor->data = frame->results[k].given.data;
    }
  }
  return OPS_OK;
}

/* -- steps -- */

static int32_t is_own(const ops_step *step) {
  return step->kind >= OPS_STEP_SHAPE && step->kind <= OPS_STEP_FLATTEN;
}

/* Takes over what a call found out about its outputs. */
static void take_shapes(ops_frame *frame, const ops_step *step) {
  const ops_tensor *from = &ops_state.call.tensors[step->inputs];
  const uint16_t *value = step->values + step->inputs;
  for (int32_t o = 0; o < step->outputs; ++o, ++from, ++value) {
    uint8_t *data = frame->values[*value].data;
    frame->values[*value] = *from;
    frame->values[*value].data = data;
  }
}

static int32_t run_call(ops_frame *frame, const ops_step *step) {
  ops_request *call = &ops_state.call;
  int32_t code = ops_step_bind(frame, step, 0);
  if (!code) code = call->family->collapse->shape(call);
  if (!code) code = call->family->collapse->run(call);
  if (!code && step->flags & OPS_STEP_LATE) take_shapes(frame, step);
  return code;
}

/* Finds the shapes of a step's outputs. */
static int32_t infer_step(ops_frame *frame, const ops_step *step) {
  ops_request *call = &ops_state.call;
  if (is_own(step)) return ops_step_shape(frame, step);
  int32_t code = ops_step_bind(frame, step, 1);
  if (!code) code = call->family->collapse->shape(call);
  if (!code) take_shapes(frame, step);
  return code;
}

static int32_t plan_step(ops_frame *frame, ops_arena *arena,
                         const ops_step *step) {
  const uint16_t *value = step->values + step->inputs;
  if (step->kind >= OPS_STEP_IF) {
    for (int32_t o = 0; o < step->outputs; ++o)
      frame->values[value[o]].itemsize = 0; /* unknown until it has run */
    return OPS_OK;
  }
  frame->values[*value].data = 0;
  int32_t code = infer_step(frame, step);
  if (code || (is_own(step) && step->kind != OPS_STEP_SHAPE)) {
    frame->places[*value].place = OPS_PLACE_GIVEN;
    if (!code && step->flags & OPS_STEP_EARLY)
      frame->values[*value].data = frame->values[step->values[0]].data;
    return code;
  }
  for (int32_t o = 0; !code && o < step->outputs; ++o)
    code = place(frame, arena, step, value[o]);
  if (!code && step->flags & OPS_STEP_EARLY) {
    if (step->kind == OPS_STEP_CALL)
      code = run_call(frame, step);
    else
      code = ops_step_shape(frame, step); /* now with memory for the sizes */
  }
  value += step->outputs;
  for (int32_t i = 0; !code && i < step->last; ++i) {
    const ops_graph_place *at = &frame->places[value[i]];
    if (at->place == OPS_PLACE_ARENA && !at->passed)
      ops_arena_give(arena, at->offset,
                     round_up(frame->values[value[i]].bytes));
  }
  return code;
}

static int32_t run_step(ops_frame *frame, const ops_step *step) {
  int32_t code = OPS_OK;
  if (step->flags & OPS_STEP_EARLY) return OPS_OK;
  if (is_own(step)) {
    frame->values[step->values[1]].data = frame->values[step->values[0]].data;
  } else if (step->kind >= OPS_STEP_IF) {
    code = ops_step_control(frame, step);
  } else {
    code = locate(frame, step);
    if (!code) code = run_call(frame, step);
  }
  const uint16_t *value = step->values + step->inputs + step->outputs;
  for (int32_t i = 0; !code && i < step->last; ++i) {
    ops_graph_place *at = &frame->places[value[i]];
    if (at->place != OPS_PLACE_OWNED) continue;
    ops_free(frame->values[value[i]].data);
    at->place = OPS_PLACE_GIVEN;
  }
  return code;
}

/* -- segments -- */

static const ops_step *step_at(ops_frame *frame, uint32_t i) {
  frame->step = frame->graph->first + i;
  return &frame->graph->steps[i];
}

static int32_t plan_segment(ops_frame *frame, uint32_t start, uint32_t end) {
  ops_arena arena = {.top = 0, .count = 0};
  for (uint32_t i = start; i < end; ++i) {
    int32_t code = plan_step(frame, &arena, step_at(frame, i));
    if (code) return code;
  }
  frame->arena_bytes = (uint32_t)arena.top;
  return OPS_OK;
}

static int32_t run_segment(ops_frame *frame, uint32_t start, uint32_t end) {
  if (frame->arena_bytes) {
    int64_t bytes = (int64_t)frame->arena_bytes + OPS_ALIGNMENT;
    uint8_t *arena = ops_allocate((uint64_t)bytes);
    if (!arena) return ops_fail_memory(0, 0, " values of", bytes);
    *(uint8_t **)(void *)arena = frame->arena;
    frame->arena = arena + OPS_ALIGNMENT;
  }
  for (uint32_t i = start; i < end; ++i) {
    int32_t code = run_step(frame, step_at(frame, i));
    if (code) return code;
  }
  return OPS_OK;
}

static void set_constants(ops_frame *frame) {
  const ops_graph *graph = frame->graph;
  ops_tensor *tensor = frame->values + graph->input_count;
  for (int32_t c = 0; c < graph->constant_count; ++c, ++tensor) {
    const ops_graph_constant *from = &graph->constants[c];
    int64_t count = 1;
    tensor->rank = from->rank;
    tensor->dtype = from->dtype;
    tensor->itemsize = ops_dtypes[from->dtype].bits / 8;
    for (int32_t i = 0; i < from->rank; ++i)
      count *= tensor->shape[i] = from->shape[i];
    tensor->count = count;
    tensor->bytes = count * tensor->itemsize;
    tensor->data = (uint8_t *)(uintptr_t)from->data;
    if (!from->data)
      tensor->data = (uint8_t *)(uintptr_t)frame->weights + from->offset;
  }
}

/* -- results -- */

/* Fills a result: its memory where it is not there yet, and its shape. */
static int32_t finish_result(ops_frame *frame, int32_t k) {
  ops_graph_result *result = &frame->results[k];
  const ops_tensor *found = &frame->values[frame->graph->outputs[k].value];
  uint16_t memory = frame->graph->outputs[k].memory;
  int32_t ours = result->owned || !result->given.data;
  if (!ours && !same_shape(&result->given, found))
    return fail_shape(result, found);
  if (memory == OPS_NO_VALUE ||
      frame->places[memory].place != OPS_PLACE_RESULT) {
    int32_t code = place_result(frame, k, found);
    if (code) return code;
    __builtin_memcpy(result->given.data, found->data, (size_t)found->bytes);
  }
  uint8_t *data = result->given.data;
  const char *name = result->given.name;
  int64_t *room = result->given.room;
  result->given = *found;
  result->given.data = data;
  result->given.name = name;
  result->given.room = room;
  return OPS_OK;
}

/* Frees arenas and blocks; those of results too where the run has failed. */
static void end(ops_frame *frame, int32_t failed) {
  const ops_graph *graph = frame->graph;
  while (frame->arena) {
    uint8_t *block = frame->arena - OPS_ALIGNMENT;
    frame->arena = *(uint8_t **)(void *)block;
    ops_free(block);
  }
  for (int32_t v = 0; v < graph->value_count; ++v) {
    if (frame->places[v].place != OPS_PLACE_OWNED) continue;
    ops_free(frame->values[v].data);
    frame->places[v].place = OPS_PLACE_GIVEN;
    frame->planned = 0;
  }
  for (int32_t k = 0; failed && k < graph->output_count; ++k) {
    ops_graph_result *result = &frame->results[k];
    if (!result->owned) continue;
    ops_free(result->given.data);
    result->given.data = 0;
    result->owned = 0;
  }
}

/* Whether the shapes of a plan stay true: no step finds out its own, and none
 * follows from elements. */
static int32_t keeps_plan(const ops_graph *graph) {
  if (graph->segment_count != 1 || graph->reads_elements) return 0;
  for (uint32_t i = 0; i < graph->segments[0]; ++i)
    if (graph->steps[i].flags & OPS_STEP_LATE) return 0;
  return 1;
}

static int32_t run(ops_frame *frame) {
  const ops_graph *graph = frame->graph;
  uint32_t start = 0;
  if (!frame->planned) {
    frame->early_used = 0;
    set_constants(frame);
  }
  for (int32_t s = 0; s < graph->segment_count; ++s) {
    uint32_t next = graph->segments[s];
    int32_t code = frame->planned ? OPS_OK : plan_segment(frame, start, next);
    if (!code) code = run_segment(frame, start, next);
    if (code) return code;
    start = next;
  }
  for (int32_t k = 0; k < graph->output_count; ++k) {
    int32_t code = finish_result(frame, k);
    if (code) return code;
  }
  frame->planned = frame->planned || keeps_plan(graph);
  return OPS_OK;
}

int32_t ops_graph_run(ops_frame *frame) {
  int32_t code = run(frame);
  if (code) frame->planned = 0;
  end(frame, code);
  return code;
}

int32_t ops_graph_infer(ops_frame *frame) {
  const ops_graph *graph = frame->graph;
  ops_graph_result *results = frame->results;
  frame->early_used = 0;
  frame->results = 0;
  frame->planned = 0;
  set_constants(frame);
  int32_t code = plan_segment(frame, 0, graph->segments[0]);
  int32_t known = graph->segment_count == 1;
  frame->results = results;
  end(frame, 0);
  for (int32_t k = 0; known && k < graph->output_count; ++k)
    known = frame->values[graph->outputs[k].value].itemsize != 0;
  return code || known ? code : OPS_UNKNOWN_SIZES;
}
