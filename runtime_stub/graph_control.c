/* graph_control.c: steps with regions: if and loop.
 *
 * A region is a graph that runs in a frame of its own. Its results are blocks,
 * which become values of the frame around it.
 */
#include "check.h"
#include "graph.h"

static uint32_t padded(uint32_t bytes) {
  return (bytes + OPS_ALIGNMENT - 1) & -OPS_ALIGNMENT;
}

/* A frame for a region, all zero; NULL after ops_fail. */
static ops_frame *make_frame(const ops_frame *around, const ops_graph *graph) {
  uint32_t values = padded(graph->value_count * sizeof(ops_tensor));
  uint32_t places = padded(graph->value_count * sizeof(ops_graph_place));
  uint32_t results = padded(graph->output_count * sizeof(ops_graph_result));
  uint32_t early = graph->early_count * OPS_EARLY_BYTES;
  uint32_t bytes = padded(sizeof(ops_frame)) + values + places + results +
                   early;
  uint8_t *block = ops_allocate(bytes);
  if (!block) {
    ops_fail_memory(0, 0, " a region of", bytes);
    return 0;
  }
  __builtin_memset(block, 0, bytes);
  ops_frame *frame = (ops_frame *)(void *)block;
  block += padded(sizeof(ops_frame));
  frame->graph = graph;
  frame->values = (ops_tensor *)(void *)block;
  frame->places = (ops_graph_place *)(void *)(block += values);
  frame->results = (ops_graph_result *)(void *)(block += places);
  frame->early = block + results;
  frame->weights = around->weights;
  for (int32_t k = 0; k < graph->output_count; ++k)
    frame->results[k].given.name = "a result";
  return frame;
}

/* Runs a region; its inputs are set. The results are blocks that it owns. */
static int32_t run_region(ops_frame *around, ops_frame *frame) {
  frame->planned = 0;
  for (int32_t k = 0; k < frame->graph->output_count; ++k) {
    frame->results[k].given.data = 0;
    frame->results[k].owned = 0;
  }
  int32_t code = ops_graph_run(frame);
  if (code) around->step = frame->step;
  return code;
}

/* Makes a block the data of a value. */
static void adopt(ops_frame *frame, uint16_t value, const ops_tensor *from) {
  frame->values[value] = *from;
  frame->places[value].place = OPS_PLACE_OWNED;
}

static int32_t truth(const ops_tensor *tensor, int32_t *value) {
  if (tensor->count != 1)
    return ops_fail_with(0, OPS_ERROR_SHAPE,
                         "a condition is %s%v; it must have one element", 0,
                         tensor, 0, 0);
  *value = *tensor->data != 0;
  return OPS_OK;
}

static int32_t run_if(ops_frame *frame, const ops_step *step) {
  int32_t chosen = 0;
  int32_t code = truth(&frame->values[step->values[0]], &chosen);
  if (code) return code;
  ops_frame *inner = make_frame(frame, step->regions[!chosen]);
  if (!inner) return OPS_ERROR_MEMORY;
  for (int32_t i = 1; i < step->inputs; ++i)
    inner->values[i - 1] = frame->values[step->values[i]];
  code = run_region(frame, inner);
  for (int32_t o = 0; !code && o < step->outputs; ++o)
    adopt(frame, step->values[step->inputs + o], &inner->results[o].given);
  ops_free(inner);
  return code;
}

/* -- loop -- */

/* A run of a loop. carried: its number of values; the others of the region's
 * results are stacked. */
typedef struct {
  ops_frame *frame;
  const ops_step *step;
  ops_frame *inner;
  int64_t count; /* at most so many iterations */
  int64_t iteration;
  int32_t condition;
  uint8_t going; /* the condition, as a tensor has it */
  int32_t carried;
} loop;

static uint16_t output_of(const loop *l, int32_t o) {
  return l->step->values[l->step->inputs + o];
}

static int32_t start(loop *l) {
  const ops_step *step = l->step;
  const uint16_t *value = step->values;
  l->count = INT64_MAX;
  l->condition = 1;
  if (*value != OPS_NO_VALUE) {
    TVMFFIAny number;
    if (ops_graph_numbers(&l->frame->values[*value], &number, 1) != 1)
      return ops_fail_with(0, OPS_ERROR_SHAPE,
                           "%s%sthe count of a loop must have one element", 0,
                           0, 0, 0);
    l->count = number.v_int64;
  }
  if (value[1] != OPS_NO_VALUE)
    return truth(&l->frame->values[value[1]], &l->condition);
  return OPS_OK;
}

/* What the first iteration reads: iteration, condition, carried, captured. */
static void set_inputs(loop *l) {
  ops_tensor *to = l->inner->values;
  to[0] = (ops_tensor){.data = (uint8_t *)&l->iteration,
                       .bytes = 8,
                       .count = 1,
                       .dtype = OPS_INT64,
                       .itemsize = 8};
  to[1] = (ops_tensor){.data = &l->going,
                       .bytes = 1,
                       .count = 1,
                       .dtype = OPS_BOOL,
                       .itemsize = 1};
  for (int32_t i = 2; i < l->step->inputs; ++i)
    to[i] = l->frame->values[l->step->values[i]];
}

static int32_t continues(const ops_tensor *whole, const ops_tensor *part) {
  int32_t same = whole->rank == part->rank + 1;
  for (int32_t i = 0; same && i < part->rank; ++i)
    same = whole->shape[i + 1] == part->shape[i];
  return same;
}

/* Appends a block to what is stacked, which doubles as it fills. */
static int32_t stack(loop *l, int32_t o, const ops_tensor *part) {
  uint16_t value = output_of(l, o);
  ops_tensor *whole = &l->frame->values[value];
  int64_t done = l->iteration, bytes = part->bytes;
  if (!done) {
    *whole = *part;
    whole->data = 0;
    whole->rank = part->rank + 1;
    if (whole->rank > OPS_MAX_RANK)
      return ops_fail_with(
          0, OPS_ERROR_SHAPE,
          "%s%s%l axes and one that a loop stacks are too many", 0, 0,
          part->rank, 0);
    for (int32_t i = 0; i < part->rank; ++i)
      whole->shape[i + 1] = part->shape[i];
  } else if (!continues(whole, part)) {
    return ops_fail_with(0, OPS_ERROR_SHAPE,
                         "a loop stacks %s%v after parts of another shape", 0,
                         part, 0, 0);
  }
  if (!(done & (done - 1))) { /* 0, 1, 2, 4, ...: room for twice as many */
    int64_t most = done ? 2 * done : 1;
    uint8_t *block = ops_allocate((uint64_t)(most * bytes));
    if (!block) return ops_fail_memory(0, 0, " a stack of", most * bytes);
    if (done) {
      __builtin_memcpy(block, whole->data, (size_t)(done * bytes));
      ops_free(whole->data);
    }
    whole->data = block;
    l->frame->places[value].place = OPS_PLACE_OWNED;
  }
  __builtin_memcpy(whole->data + done * bytes, part->data, (size_t)bytes);
  whole->shape[0] = (int32_t)(done + 1);
  whole->count = (done + 1) * part->count;
  whole->bytes = (done + 1) * bytes;
  if (whole->bytes > INT32_MAX)
    return ops_fail_memory(0, 0, " a stack of", whole->bytes);
  return OPS_OK;
}

/* Takes the results of an iteration over. */
static int32_t advance(loop *l) {
  ops_graph_result *result = l->inner->results;
  int32_t outputs = l->step->outputs;
  int32_t code = truth(&result->given, &l->condition);
  for (int32_t o = l->carried; !code && o < outputs; ++o)
    code = stack(l, o, &result[1 + o].given);
  for (int32_t o = 0; !code && o < l->carried; ++o) {
    ops_tensor *to = &l->inner->values[2 + o], *from = &result[1 + o].given;
    if (l->iteration) ops_free(to->data);
    *to = *from;
    from->data = 0;
  }
  for (int32_t o = 0; o <= outputs; ++o)
    if (result[o].given.data) ops_free(result[o].given.data);
  return code;
}

/* After the last iteration. What was carried is a block of its own, but not
 * where there was none. */
static int32_t finish(loop *l, int32_t code) {
  for (int32_t o = 0; o < l->step->outputs; ++o) {
    uint16_t value = output_of(l, o);
    ops_tensor *to = &l->frame->values[value];
    if (o < l->carried && l->iteration) {
      adopt(l->frame, value, &l->inner->values[2 + o]);
    } else if (!code && !l->iteration) {
      const ops_tensor *from = &l->inner->values[2 + o];
      if (o >= l->carried) continue;
      *to = *from;
      code = ops_graph_own(l->frame, value);
      if (!code) __builtin_memcpy(to->data, from->data, (size_t)to->bytes);
    }
  }
  return code;
}

/* A loop without iterations stacks nothing: the parts have the shapes that they
 * would have in the first one, if these follow from shapes alone. */
static int32_t stack_nothing(loop *l) {
  int32_t stacked = l->step->outputs - l->carried, code = OPS_OK;
  if (l->iteration || !stacked) return OPS_OK;
  code = ops_graph_infer(l->inner);
  if (code == OPS_UNKNOWN_SIZES)
    code = ops_fail_with(0, OPS_ERROR_SHAPE,
                         "%s%sa loop without iterations stacks parts whose "
                         "sizes its iterations would find; give it one or more",
                         0, 0, 0, 0);
  for (int32_t o = l->carried; !code && o < l->step->outputs; ++o) {
    uint16_t part = l->inner->graph->outputs[1 + o].value;
    const ops_tensor *from = &l->inner->values[part];
    ops_tensor *to = &l->frame->values[output_of(l, o)];
    *to = *from;
    to->rank = from->rank + 1;
    to->shape[0] = 0;
    for (int32_t i = 0; i < from->rank; ++i) to->shape[i + 1] = from->shape[i];
    to->count = to->bytes = 0;
    code = ops_graph_own(l->frame, output_of(l, o));
  }
  return code;
}

static int32_t run_loop(ops_frame *frame, const ops_step *step) {
  loop l = {.frame = frame, .step = step, .going = 1};
  int32_t code = start(&l);
  if (code) return code;
  l.inner = make_frame(frame, step->regions[0]);
  if (!l.inner) return OPS_ERROR_MEMORY;
  l.carried = step->units; /* what the compiler counted */
  set_inputs(&l);
  while (!code && l.condition && l.iteration < l.count) {
    code = run_region(frame, l.inner);
    if (!code) code = advance(&l);
    if (!code) ++l.iteration;
  }
  if (!code) code = stack_nothing(&l);
  code = finish(&l, code);
  ops_free(l.inner);
  return code;
}

int32_t ops_step_control(ops_frame *frame, const ops_step *step) {
  return step->kind == OPS_STEP_IF ? run_if(frame, step)
                                   : run_loop(frame, step);
}
