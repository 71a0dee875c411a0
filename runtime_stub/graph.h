/* graph.h: what the compiler emits for a model and graph.c runs.
 *
 * toolchain/graph/emit.py writes these structs as constant data, as
 * toolchain/layout.py has them; every build compares the two field by field.
 *
 * A graph has values, by numbers: its inputs, then constants, then what its
 * steps write. A step is a call of an operator or one of the graph's own
 * operations. Steps come in segments: the shapes of all values of a segment are
 * known before its first step runs, so that they get memory together.
 */
#ifndef OPS_GRAPH_H_
#define OPS_GRAPH_H_

#include <stddef.h>

#include "state.h"

enum { OPS_NO_VALUE = 0xffff, OPS_UNKNOWN_SIZES = -1 };

/* What a step is: OPS_STEP_CALL of its operator, or the graph's own. */
enum {
  OPS_STEP_CALL = 0,
  OPS_STEP_SHAPE = 1,
  OPS_STEP_RESHAPE = 2,
  OPS_STEP_SQUEEZE = 3,
  OPS_STEP_UNSQUEEZE = 4,
  OPS_STEP_FLATTEN = 5,
  OPS_STEP_IF = 6,
  OPS_STEP_LOOP = 7
};

enum {
  OPS_STEP_EARLY = 1, /* runs while shapes are found: they follow from it */
  OPS_STEP_LATE = 2   /* its outputs' sizes are known once it has run */
};

/* The numbers of an attribute: constant, or the elements of a value. */
typedef struct {
  const TVMFFIAny *numbers;
  uint16_t count;
  uint16_t value; /* or OPS_NO_VALUE */
} ops_graph_attribute;

typedef struct ops_graph ops_graph;

typedef struct {
  const ops_operator *op; /* of a call */
  const uint16_t *values; /* inputs, outputs, then those read here last */
  const ops_graph_attribute *attributes; /* as its operator's, in order */
  const ops_graph *const *regions;
  uint16_t inputs; /* absent ones are OPS_NO_VALUE */
  uint16_t outputs;
  uint16_t last;  /* values whose memory nothing reads after this step */
  uint16_t units; /* 0 where an attribute's value decides them; of a loop the
                     number of carried values */
  uint8_t kind;
  uint8_t flags;
  uint8_t attribute_count;
} ops_step;

/* A constant: where it lies, its dtype and shape. */
typedef struct {
  const uint8_t *data; /* NULL: in the weights, at the offset */
  uint32_t offset;
  const int32_t *shape;
  uint8_t rank;
  uint8_t dtype;
} ops_graph_constant;

/* An output. memory: the value that may be computed where the output lies, or
 * OPS_NO_VALUE: then it is copied there. */
typedef struct {
  uint16_t value;
  uint16_t memory;
} ops_graph_output;

struct ops_graph {
  const ops_step *steps;
  const uint16_t *segments; /* of each the number of the step after it */
  const ops_graph_constant *constants;
  const ops_graph_output *outputs;
  uint16_t segment_count;
  uint16_t constant_count;
  uint16_t input_count;
  uint16_t output_count;
  uint16_t value_count;
  uint16_t early_count;   /* values that early steps write */
  uint16_t first;         /* number of its first step in the model */
  uint8_t reads_elements; /* shapes follow from elements of the inputs */
};

/* A named size of a model's inputs. */
typedef struct {
  const char *name;
  int32_t minimum;
  int32_t maximum;
} ops_graph_size;

/* Where a value's memory comes from. */
enum {
  OPS_PLACE_GIVEN = 0, /* an input, a constant, or a view of something */
  OPS_PLACE_ARENA,
  OPS_PLACE_EARLY,
  OPS_PLACE_OWNED, /* a block of its own */
  OPS_PLACE_RESULT /* where the result of number `offset` lies */
};

typedef struct {
  uint32_t offset; /* in the segment's arena */
  uint8_t place;
  uint8_t passed; /* its memory is that of a later value */
} ops_graph_place;

/* Where an output goes. */
typedef struct {
  ops_tensor given; /* data NULL: it gets a block of its own */
  DLTensor *tensor; /* of the caller; NULL in a region */
  int32_t owned;    /* the block is ours until the run has ended well */
} ops_graph_result;

/* A run of a graph. */
typedef struct {
  const ops_graph *graph;
  ops_tensor *values;
  ops_graph_place *places;
  uint8_t *early; /* OPS_EARLY_BYTES for each value of an early step */
  ops_graph_result *results;
  const uint8_t *weights;
  const uint8_t *widened; /* the weights whose halves are floats by now */
  uint8_t *arena;       /* of the segment that runs; linked by its first word */
  uint32_t arena_bytes; /* that the planned segment takes */
  uint32_t early_used;
  uint32_t step;   /* that runs, for the text of an error */
  int32_t planned; /* shapes and offsets are those of the inputs */
} ops_frame;

enum { OPS_EARLY_BYTES = 64 };

/* Weights that lie in 16 bits and are computed with in 32: IEEE's, or the upper
 * half of a float (brain). */
typedef struct {
  float *to;
  uint32_t offset; /* in the weights */
  uint32_t count;
  int32_t brain;
} ops_graph_half;

/* A model: its graph, and its main frame's memory. */
typedef struct ops_model {
  const ops_graph *graph;
  const int64_t
      *dims; /* of each input: a size, or -1 - a named size's number */
  const ops_graph_size *sizes;
  const uint8_t *weights; /* NULL: they are the last input */
  ops_frame *frame;       /* whose memory is as large as the graph asks */
  const ops_graph_half *halves;
  int32_t (*widen)(const struct ops_model *); /* NULL: there are none */
  uint16_t half_count;
  uint16_t size_count;
} ops_model;

/* Makes the halves floats, once for the weights of the frame. */
int32_t ops_graph_widen(const ops_model *model);

/* Runs a graph whose inputs and results are set in its frame. What it leaves
 * belongs to the caller: blocks of results. Fails with everything released. */
int32_t ops_graph_run(ops_frame *frame);
/* Finds the shapes of its outputs alone: of the values that graph->outputs
 * names. Reads elements of its inputs where graph->reads_elements says so.
 * OPS_UNKNOWN_SIZES, without a text, where they follow from what it computes.
 */
int32_t ops_graph_infer(ops_frame *frame);

/* A block for a value, freed after the step that reads it last. */
int32_t ops_graph_own(ops_frame *frame, uint16_t value);

/* -- graph_step.c -- */

/* Binds a step's tensors and attributes in ops_state.call. */
int32_t ops_step_bind(ops_frame *frame, const ops_step *step,
                      int32_t inferring);
/* The elements of a tensor as arguments, at most `most`. Returns how many, or
 * -1 after ops_fail. */
int32_t ops_graph_numbers(const ops_tensor *tensor, TVMFFIAny *to,
                          int32_t most);
/* The shape of what one of the graph's own operations gives. */
int32_t ops_step_shape(ops_frame *frame, const ops_step *step);

/* -- graph_control.c, which only graphs with regions link -- */

int32_t ops_step_control(ops_frame *frame, const ops_step *step)
    __attribute__((weak));

#endif /* OPS_GRAPH_H_ */
