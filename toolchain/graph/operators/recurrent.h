/* recurrent.h: what ONNX's LSTM, GRU and RNN share: steps over sequences.
 *
 * Shapes (layout 0): x [T, B, I], w [D, G * H, I], r [D, G * H, H], b
 * [D, 2 * G * H], sequence_lens [B], states [D, B, H], y [T, D, B, H]; with
 * layout 1 the batch comes first. D is 2 for both directions.
 * The products of x are made for some steps at once, those of the state step by
 * step; weights are read as they lie.
 */
#ifndef OPS_RECURRENT_H_
#define OPS_RECURRENT_H_

#include "dots.h"
#include "walk.h"

enum { IN_X, IN_W, IN_R, IN_B, IN_LENS, IN_H, IN_C, IN_P };
enum { FORWARD, REVERSE, BIDIRECTIONAL };
/* Attributes that all three have, in this order. */
enum { ACTIVATIONS, ALPHA, BETA, CLIP, DIRECTION, LAYOUT, OWN };
/* Rows of x whose products are made at once: weights stay near. */
#define RECURRENT_ROWS 64

typedef struct {
  ops_request *call;
  int32_t steps, batch, inputs, hidden, directions;
  int32_t gates;     /* G * H */
  int32_t functions; /* activations of a direction */
  int32_t layout;
  /* Of the direction that runs. */
  int32_t at, back;
  const float *w, *r, *bias;
  float *h, *c;    /* states [B, H] */
  float *rows;     /* of x */
  float *products; /* [rows, gates] */
  float *scratch;  /* [B, 3 H], and 5 H more */
} recurrence;

/* -- activations -- */

int32_t ops_math_array_sigmoid(const float *x, float *out, int32_t n);
int32_t ops_math_array_tanh(const float *x, float *out, int32_t n);
float ops_math_tanh(float x) __attribute__((const));
float ops_math_elu(float x, float alpha) __attribute__((const));
float ops_math_softplus(float x) __attribute__((const));

static inline float recurrent_element(int64_t kind, float x, float alpha,
                                      float beta) {
  float line = alpha * x + beta;
  switch (kind) {
    case 2: /* relu */ return x < 0 ? 0 : x;
    case 3: /* leaky_relu */ return x < 0 ? alpha * x : x;
    case 4: /* thresholded_relu */ return x > alpha ? x : 0;
    case 5: /* hard_sigmoid */ return line < 0 ? 0 : line > 1 ? 1 : line;
    case 6: /* scaled_tanh */ return alpha * ops_math_tanh(beta * x);
    case 7: return ops_math_elu(x, alpha);
    case 8: /* softsign */ return x / (1 + __builtin_fabsf(x));
    case 9: return ops_math_softplus(x);
    default: /* affine */ return line;
  }
}

/* out = function f of the direction, of n elements of x, which are limited
 * before. `standard` where no functions are given: 0 sigmoid, 1 tanh. */
static void recurrent_activate(const recurrence *run, int32_t f,
                               int64_t standard, float *x, float *out,
                               int32_t n) {
  const ops_request *call = run->call;
  float limit = (float)call->values[call->first[CLIP]].f;
  int32_t given = call->length[ACTIVATIONS], at = run->at * run->functions + f;
  int64_t kind = given ? ops_int(call, ACTIVATIONS, at) : standard;
  if (limit > 0)
    for (int32_t i = 0; i < n; ++i)
      x[i] = x[i] < -limit ? -limit : x[i] > limit ? limit : x[i];
  if (kind == 0) {
    ops_math_array_sigmoid(x, out, n);
  } else if (kind == 1) {
    ops_math_array_tanh(x, out, n);
  } else {
    float alpha = (float)call->values[call->first[ALPHA] + at].f;
    float beta = (float)call->values[call->first[BETA] + at].f;
    for (int32_t i = 0; i < n; ++i)
      out[i] = recurrent_element(kind, x[i], alpha, beta);
  }
}

/* -- shapes -- */

static inline recurrence recurrent_sizes(ops_request *call, int32_t functions) {
  const ops_tensor *x = &call->tensors[IN_X], *r = &call->tensors[IN_R];
  int32_t layout = (int32_t)ops_int(call, LAYOUT, 0);
  return (recurrence){.call = call,
                      .steps = x->shape[layout],
                      .batch = x->shape[!layout],
                      .inputs = x->shape[2],
                      .hidden = r->shape[2],
                      .directions =
                          ops_int(call, DIRECTION, 0) == BIDIRECTIONAL ? 2 : 1,
                      .gates = r->shape[1],
                      .functions = functions,
                      .layout = layout};
}

/* Whether lists of activations fit the directions. */
static inline int32_t recurrent_check_lists(const recurrence *run) {
  int32_t given = run->call->length[ACTIVATIONS];
  int32_t wanted = run->functions * run->directions;
  if (!given || given == wanted) return OPS_OK;
  return ops_fail_got(run->call, OPS_ERROR_ARGUMENT,
                      "has %d activations; give %d, or none", given, wanted);
}

static inline int32_t recurrent_shape(ops_request *call, int32_t gates,
                                      int32_t functions) {
  for (int32_t t = IN_X; t <= IN_R; ++t)
    if (call->tensors[t].rank != 3)
      return ops_fail_got(
          call, OPS_ERROR_SHAPE, "%s has rank %d but must have rank 3",
          call->tensors[t].name, (int32_t)call->tensors[t].rank);
  recurrence run = recurrent_sizes(call, functions);
  int32_t t = run.steps, b = run.batch, d = run.directions, h = run.hidden;
  int32_t state[] = {run.layout ? b : d, run.layout ? d : b, h};
  int32_t code = recurrent_check_lists(&run);
  if (!code && run.gates != (int64_t)gates * h)
    return ops_fail_got(call, OPS_ERROR_SHAPE,
                        "axis 1 of r has size %d, but must have %d times that "
                        "of axis 2",
                        run.gates, gates);
  if (!code) code = ops_expect(call, IN_R, 3, (int32_t[]){d, run.gates, h});
  if (!code)
    code = ops_expect(call, IN_W, 3, (int32_t[]){d, run.gates, run.inputs});
  if (!code) code = ops_expect(call, IN_B, 2, (int32_t[]){d, 2 * run.gates});
  if (!code) code = ops_expect(call, IN_LENS, 1, &b);
  for (int32_t i = IN_H; !code && i <= IN_C && i < call->inputs; ++i)
    code = ops_expect(call, i, 3, state);
  if (!code && call->inputs > IN_P)
    code = ops_expect(call, IN_P, 2, (int32_t[]){d, 3 * h});
  int64_t y[] = {run.layout ? b : t, run.layout ? t : d, run.layout ? d : b, h};
  int64_t last[] = {state[0], state[1], h};
  if (!code) code = ops_set_shape(call, ops_output(call, 0), 4, y);
  for (int32_t o = 1; !code && o < call->outputs; ++o)
    code = ops_set_shape(call, ops_output(call, o), 3, last);
  return code;
}

/* -- steps -- */

/* Steps of a sequence of the batch. */
static inline int32_t recurrent_length(const recurrence *run, int32_t b) {
  const ops_tensor *lens = &run->call->tensors[IN_LENS];
  return lens->absent ? run->steps : ((const int32_t *)lens->data)[b];
}

/* Where x has step s of a sequence: from the end, going back. */
static inline int32_t recurrent_time(const recurrence *run, int32_t s,
                                     int32_t b) {
  int32_t length = recurrent_length(run, b);
  return run->back && s < length ? length - 1 - s : s;
}

/* Elements of a state in its tensor. */
static inline int64_t recurrent_state(const recurrence *run, int32_t b) {
  int32_t row = run->layout ? b * run->directions + run->at
                            : run->at * run->batch + b;
  return (int64_t)row * run->hidden;
}

/* The row of y of a step, where the new state goes. */
static inline float *recurrent_output(const recurrence *run, int32_t s,
                                      int32_t b) {
  int64_t t = recurrent_time(run, s, b);
  int64_t row = run->layout
                    ? (b * (int64_t)run->steps + t) * run->directions + run->at
                    : (t * run->directions + run->at) * run->batch + b;
  return (float *)ops_output(run->call, 0)->data + row * run->hidden;
}

/* products = bias + x w for steps [s, s + count). */
static inline void recurrent_products(recurrence *run, int32_t s,
                                      int32_t count) {
  const float *x = (const float *)run->call->tensors[IN_X].data;
  uint32_t bytes = (uint32_t)run->inputs * 4;
  float *row = run->rows, *out = run->products;
  for (int32_t i = s; i < s + count; ++i)
    for (int32_t b = 0; b < run->batch; ++b) {
      int64_t t = recurrent_time(run, i, b);
      int64_t at = run->layout ? b * (int64_t)run->steps + t
                               : t * run->batch + b;
      __builtin_memcpy(row, x + at * run->inputs, bytes);
      row += run->inputs;
      for (int32_t g = 0; g < run->gates; ++g)
        *out++ = run->bias ? run->bias[g] : 0;
    }
  ops_dots(run->rows, count * run->batch, run->w, run->gates, run->inputs,
           run->products, run->gates);
}

/* The state after step s as a row of y; zeros beyond the sequence. */
static inline void recurrent_write(const recurrence *run, int32_t s,
                                   int32_t b) {
  float *to = recurrent_output(run, s, b);
  uint32_t bytes = (uint32_t)run->hidden * 4;
  if (s < recurrent_length(run, b))
    __builtin_memcpy(to, run->h + (int64_t)b * run->hidden, bytes);
  else
    __builtin_memset(to, 0, bytes);
}

/* States from an input, or zeros; and into an output. */
static inline void recurrent_load(const recurrence *run, int32_t input,
                                  float *state) {
  const ops_tensor *given = &run->call->tensors[input];
  uint32_t bytes = (uint32_t)run->hidden * 4;
  for (int32_t b = 0; b < run->batch; ++b, state += run->hidden)
    if (given->absent)
      __builtin_memset(state, 0, bytes);
    else
      __builtin_memcpy(
          state, (const float *)given->data + recurrent_state(run, b), bytes);
}

static inline void recurrent_store(const recurrence *run, int32_t output,
                                   const float *state) {
  float *to = (float *)ops_output(run->call, output)->data;
  for (int32_t b = 0; b < run->batch; ++b, state += run->hidden)
    __builtin_memcpy(to + recurrent_state(run, b), state,
                     (uint32_t)run->hidden * 4);
}

/* One step of all sequences: from products [B, gates] to new states. */
typedef void recurrent_step(recurrence *run, float *products, int32_t s);

static inline void recurrent_direction(recurrence *run, int32_t chunk,
                                       recurrent_step *step, float *bias) {
  const ops_tensor *inputs = run->call->tensors;
  int64_t at = run->at, gates = run->gates,
          direction = ops_int(run->call, DIRECTION, 0);
  run->back = direction == REVERSE || at == 1;
  run->w = (const float *)inputs[IN_W].data + at * gates * run->inputs;
  run->r = (const float *)inputs[IN_R].data + at * gates * run->hidden;
  run->bias = inputs[IN_B].absent ? 0 : bias;
  recurrent_load(run, IN_H, run->h);
  if (run->call->inputs > IN_C) recurrent_load(run, IN_C, run->c);
  for (int32_t s = 0; s < run->steps; s += chunk) {
    int32_t count = chunk < run->steps - s ? chunk : run->steps - s;
    recurrent_products(run, s, count);
    for (int32_t i = 0; i < count; ++i) {
      step(run, run->products + i * run->batch * gates, s + i);
      for (int32_t b = 0; b < run->batch; ++b) recurrent_write(run, s + i, b);
    }
  }
  recurrent_store(run, 1, run->h);
  if (run->call->outputs > 2) recurrent_store(run, 2, run->c);
}

static inline int32_t recurrent_check_lens(const recurrence *run) {
  for (int32_t b = 0; b < run->batch; ++b) {
    int32_t length = recurrent_length(run, b);
    if ((uint32_t)length > (uint32_t)run->steps)
      return ops_fail(run->call, OPS_ERROR_ATTRIBUTE,
                      "sequence_lens[%d] is %d, outside the %d steps of x; use "
                      "0..%d",
                      b, length, run->steps, run->steps);
  }
  return OPS_OK;
}

/* bias[g] = w's bias and r's, but for `apart` gates at the end of r's. */
static inline void recurrent_bias(const recurrence *run, int32_t apart,
                                  float *bias) {
  const ops_tensor *given = &run->call->tensors[IN_B];
  if (given->absent) return;
  const float *from = (const float *)given->data +
                      (int64_t)run->at * 2 * run->gates;
  for (int32_t g = 0; g < run->gates; ++g)
    bias[g] = from[g] + (g < run->gates - apart ? from[run->gates + g] : 0);
}

/* apart: gates at the end whose bias of r the step adds itself. */
static inline int32_t recurrent_run(recurrence run, recurrent_step *step,
                                    int32_t apart) {
  ops_request *call = run.call;
  int32_t code = recurrent_check_lens(&run);
  if (code) return code;
  int64_t states = (int64_t)run.batch * run.hidden;
  if (!states) return OPS_OK;
  int32_t chunk =
      run.batch && run.batch < RECURRENT_ROWS ? RECURRENT_ROWS / run.batch : 1;
  int64_t rows = (int64_t)chunk * run.batch;
  int64_t floats = states * 5 + 5 * (int64_t)run.hidden + run.gates +
                   rows * ((int64_t)run.inputs + run.gates);
  float *memory = ops_workspace(call, floats * 4);
  if (!memory) return OPS_ERROR_MEMORY;
  run.h = memory;
  run.c = run.h + states;
  run.scratch = run.c + states;
  float *bias = run.scratch + 3 * states + 5 * run.hidden;
  run.rows = bias + run.gates;
  run.products = run.rows + rows * run.inputs;
  for (; run.at < run.directions; ++run.at) {
    recurrent_bias(&run, apart, bias);
    recurrent_direction(&run, chunk, step, bias);
  }
  ops_release(memory);
  return OPS_OK;
}

#endif /* OPS_RECURRENT_H_ */
