/* trace.c: how long each step of a model takes; only traced modules have it.
 *
 * The linker puts these functions around the runtime's (--wrap), which stay as
 * they are in every module. Time until the next step of the model's own graph
 * belongs to the step that began last; what plans belongs to none.
 */
#include "call.h"
#include "graph.h"

enum { PLANNING = OPS_NO_VALUE };

static struct {
  const ops_frame *frame; /* of the model; NULL until it runs */
  uint64_t start;
  uint32_t step;
  int32_t running;
  uint64_t spent[PLANNING + 1]; /* ns of each step in the last run */
} trace;

__attribute__((import_module("wasi_snapshot_preview1"),
               import_name("clock_time_get"))) int32_t
trace_clock(int32_t id, int64_t precision, uint64_t *time);

int32_t __real_ops_graph_run(ops_frame *frame);
int32_t __real_ops_step_bind(ops_frame *frame, const ops_step *step,
                             int32_t inferring);
int32_t __real_ops_step_control(ops_frame *frame, const ops_step *step);
int32_t __wrap_ops_graph_run(ops_frame *frame);
int32_t __wrap_ops_step_bind(ops_frame *frame, const ops_step *step,
                             int32_t inferring);
int32_t __wrap_ops_step_control(ops_frame *frame, const ops_step *step);
uint64_t ops_trace_spent(uint32_t step);
int32_t ops_trace_size(uint32_t value, int32_t axis);
int64_t ops_trace_offset(uint32_t value);

static void begin(uint32_t step) {
  uint64_t now = 0;
  trace_clock(1, 0, &now); /* 1: monotonic */
  trace.spent[trace.step] += now - trace.start;
  trace.step = step;
  trace.start = now;
}

int32_t __wrap_ops_graph_run(ops_frame *frame) {
  if (trace.running) return __real_ops_graph_run(frame); /* of a region */
  trace.frame = frame;
  trace.running = 1;
  trace.step = PLANNING;
  begin(PLANNING);
  for (uint32_t i = 0; i <= PLANNING; ++i) trace.spent[i] = 0;
  int32_t code = __real_ops_graph_run(frame);
  begin(PLANNING);
  trace.running = 0;
  return code;
}

int32_t __wrap_ops_step_bind(ops_frame *frame, const ops_step *step,
                             int32_t inferring) {
  int32_t plans = inferring || step->flags & OPS_STEP_EARLY;
  if (trace.running && frame == trace.frame)
    begin(plans ? PLANNING : frame->step);
  return __real_ops_step_bind(frame, step, inferring);
}

int32_t __wrap_ops_step_control(ops_frame *frame, const ops_step *step) {
  if (frame == trace.frame) begin(frame->step);
  return __real_ops_step_control(frame, step);
}

uint64_t ops_trace_spent(uint32_t step) { return trace.spent[step]; }

/* A size of a value in the last run; its rank for axis -1. */
int32_t ops_trace_size(uint32_t value, int32_t axis) {
  const ops_tensor *tensor = &trace.frame->values[value];
  return axis < 0 ? tensor->rank : tensor->shape[axis];
}

/* Where a value lay in its arena, or -1. */
int64_t ops_trace_offset(uint32_t value) {
  const ops_graph_place *at = &trace.frame->places[value];
  return at->place == OPS_PLACE_ARENA ? (int64_t)at->offset : -1;
}
