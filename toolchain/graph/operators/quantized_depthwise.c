/* quantized_depthwise.c: a window over each channel of images of 8-bit
 * integers.
 *
 * Rows of the image go into a ring of rows with pads, as uint8; two rows of
 * taps are multiplied and added up by one instruction. Zero points of x are
 * taken off by what each channel starts with.
 */
#include "eight_images.h"

enum { IN_W_ZERO = IN_X_ZERO + 1 };
/* Windows side by side that share what is loaded, where they have 3 x 3 taps.
 */
enum { TOGETHER = 4, USUAL = 3 };

typedef struct {
  eight_axis axes[2];
  int64_t channels, blocks; /* of EIGHT_WIDTH */
  int64_t pairs;            /* of rows of taps */
  int64_t ring, pitch;      /* rows of the ring; bytes of one */
  eight_source source;
  eight_finish finish;
  eight_words *weights; /* [blocks][pairs][taps of a row][2] */
  int32_t *start;       /* [blocks * EIGHT_WIDTH] */
  uint8_t *rows;
  const uint8_t *(*taken)[2]; /* [pairs]: rows of the windows */
} depthwise;

static int32_t shape(ops_request *call) {
  eight_axis axes[2];
  int32_t code = eight_axes(call, axes);
  if (code) return code;
  int32_t channels = call->tensors[IN_X].shape[3];
  int32_t blocks = (channels + EIGHT_WIDTH - 1) / EIGHT_WIDTH;
  int32_t rows = (int32_t)(axes[0].taps + 1) / 2, taps = (int32_t)axes[1].taps;
  int32_t wanted[] = {blocks, rows, taps, 2 * EIGHT_WIDTH};
  int32_t each = blocks * EIGHT_WIDTH;
  if (ops_int(call, FEATURES, 0) != channels)
    return ops_fail_got(
        call, OPS_ERROR_SHAPE,
        "features is %l, but x has %d channels; make them equal",
        ops_int(call, FEATURES, 0), channels);
  code = ops_expect(call, IN_W, 4, wanted);
  if (!code) code = ops_expect(call, IN_W_ZERO, 1, &each);
  if (!code) code = eight_check(call, channels);
  return code ? code : eight_image_shape(call, axes);
}

typedef uint8_t wide __attribute__((vector_size(16)));

/* A pixel of two rows of taps, of a block of channels. */
typedef struct {
  eight_words left, right;
} pixels;

static inline pixels load(const uint8_t *const *rows, int64_t at) {
  eight_unsigned first = *(const eight_unsigned *)(rows[0] + at);
  eight_unsigned second = *(const eight_unsigned *)(rows[1] + at);
  wide both = __builtin_shufflevector(first, second, 0, 8, 1, 9, 2, 10, 3, 11,
                                      4, 12, 5, 13, 6, 14, 7, 15);
  return (pixels){
      __builtin_convertvector(
          __builtin_shufflevector(both, both, 0, 1, 2, 3, 4, 5, 6, 7),
          eight_words),
      __builtin_convertvector(
          __builtin_shufflevector(both, both, 8, 9, 10, 11, 12, 13, 14, 15),
          eight_words)};
}

static inline void add(pixels x, const eight_words *w, eight_sums *sums) {
  sums[0] += eight_dot(x.left, w[0]);
  sums[1] += eight_dot(x.right, w[1]);
}

/* Sums of TOGETHER windows of 3 by 3 taps, `stride` pixels apart, of the block
 * of channels that begins `at` bytes after the rows. */
static inline __attribute__((always_inline)) void add_windows(
    const depthwise *d, int64_t at, int64_t pixel, const eight_words *weights,
    int64_t stride, eight_sums (*sums)[2]) {
#pragma clang loop unroll(full)
  for (int64_t p = 0; p < 2; ++p)
#pragma clang loop unroll(full)
    for (int64_t j = 0; j < (TOGETHER - 1) * stride + USUAL; ++j) {
      pixels x = load(d->taken[p], at + j * pixel);
#pragma clang loop unroll(full)
      for (int64_t i = 0; i < TOGETHER; ++i) {
        int64_t tap = j - i * stride;
        if (tap >= 0 && tap < USUAL)
          add(x, weights + (p * USUAL + tap) * 2, sums[i]);
      }
    }
}

/* The same of one window of any taps. */
static inline void add_window(const depthwise *d, int64_t at, int64_t pixel,
                              const eight_words *weights, eight_sums *sums) {
  for (int64_t p = 0; p < d->pairs; ++p)
    for (int64_t j = 0; j < d->axes[1].taps; ++j, weights += 2)
      add(load(d->taken[p], at + j * pixel), weights, sums);
}

/* Windows from `x` on, of all channels: TOGETHER, or one where stride is 0. */
static inline __attribute__((always_inline)) void put_windows(
    const depthwise *d, int64_t x, uint8_t *out, int64_t stride) {
  int64_t width = d->blocks * EIGHT_WIDTH, gap = d->axes[1].dilation;
  const eight_words *weights = d->weights;
  for (int64_t n = 0; n < width; n += EIGHT_WIDTH) {
    eight_sums sums[TOGETHER][2] = {0};
    int64_t at = x * d->axes[1].stride * width + n;
    if (stride)
      add_windows(d, at, width, weights, stride, sums);
    else
      add_window(d, at, width * gap, weights, sums[0]);
    weights += d->pairs * d->axes[1].taps * 2;
    uint8_t *to = out + n * d->finish.size;
    for (int64_t i = 0; i < (stride ? TOGETHER : 1); ++i) {
      eight_put_some(&d->finish, n, d->channels - n, sums[i][0], sums[i][1],
                     to);
      to += d->channels * d->finish.size;
    }
  }
}

/* A row of results. */
static void put_line(const depthwise *d, uint8_t *out) {
  const eight_axis *axis = &d->axes[1];
  int64_t x = 0, step = d->channels * d->finish.size;
  int32_t usual = axis->taps == USUAL && d->pairs == 2 && axis->dilation == 1;
  if (usual && axis->stride == 1)
    for (; x + TOGETHER <= axis->windows; x += TOGETHER)
      put_windows(d, x, out + x * step, 1);
  if (usual && axis->stride == 2)
    for (; x + TOGETHER <= axis->windows; x += TOGETHER)
      put_windows(d, x, out + x * step, 2);
  for (; x < axis->windows; ++x) put_windows(d, x, out + x * step, 0);
}

/* Puts row y of an image, which may lie beside it, into the ring. */
static void load_row(const depthwise *d, const uint8_t *image, int64_t y) {
  const eight_axis *axis = &d->axes[1];
  int64_t width = d->blocks * EIGHT_WIDTH, channels = d->channels;
  uint8_t *to = d->rows + (y + d->axes[0].before) % d->ring * d->pitch;
  uint8_t zero = (uint8_t)d->source.zero, flip = d->source.flip;
  int32_t inside = y >= 0 && y < d->axes[0].size;
  int64_t before = inside ? axis->before * width : d->pitch;
  for (int64_t i = 0; i < before; ++i) *to++ = zero;
  if (!inside) return;
  const uint8_t *x = image + y * axis->size * channels;
  int64_t pixels = axis->size, each = channels, step = width;
  if (channels == width) each *= pixels, step *= pixels, pixels = 1;
  for (int64_t p = 0; p < pixels; ++p, x += each, to += step)
    for (int64_t i = 0; i < each; ++i) to[i] = x[i] ^ flip;
  for (int64_t i = 0; i < axis->after * width; ++i) *to++ = zero;
}

static void put_image(const depthwise *d, const uint8_t *image, uint8_t *out) {
  const eight_axis *down = &d->axes[0];
  int64_t loaded = -down->before;
  int64_t step = d->axes[1].windows * d->channels * d->finish.size;
  for (int64_t i = 0; i < down->windows; ++i, out += step) {
    int64_t first = i * down->stride - down->before;
    if (loaded < first) loaded = first;
    for (; loaded < first + d->ring; ++loaded) load_row(d, image, loaded);
    for (int64_t r = 0; r < 2 * d->pairs; ++r) {
      int64_t tap = r < down->taps ? r : 0; /* the last one's weights are 0 */
      int64_t row = first + tap * down->dilation + down->before;
      d->taken[r / 2][r % 2] = d->rows + row % d->ring * d->pitch;
    }
    put_line(d, out);
  }
}

/* Weights in int16, less their zero points, and what channels start with. */
static void expand(const ops_request *call, const depthwise *d) {
  const ops_tensor *t = call->tensors;
  const int8_t *w = (const int8_t *)t[IN_W].data;
  int64_t taps = d->pairs * d->axes[1].taps, zero = d->source.zero;
  int16_t *to = (int16_t *)d->weights;
  for (int64_t b = 0; b < d->blocks; ++b)
    for (int64_t i = 0; i < taps * 2 * EIGHT_WIDTH; ++i) {
      int64_t c = b * EIGHT_WIDTH + i / 2 % EIGHT_WIDTH;
      int64_t row = i / (d->axes[1].taps * 2 * EIGHT_WIDTH) * 2 + i % 2;
      int32_t less = t[IN_W_ZERO].absent || row >= d->axes[0].taps
                         ? 0
                         : ((const int32_t *)(void *)t[IN_W_ZERO].data)[c];
      *to = (int16_t)(*w++ - less);
      d->start[c] -= (int32_t)(*to++ * zero);
    }
}

static int32_t run(ops_request *call) {
  const ops_tensor *x = &call->tensors[IN_X], *out = ops_output(call, 0);
  if (!out->count) return OPS_OK;
  depthwise d = {.channels = x->shape[3], .source = eight_source_of(call)};
  int32_t code = eight_axes(call, d.axes);
  if (code) return code;
  const eight_axis *down = &d.axes[0], *across = &d.axes[1];
  d.blocks = (d.channels + EIGHT_WIDTH - 1) / EIGHT_WIDTH;
  d.pairs = (down->taps + 1) / 2;
  d.ring = (down->taps - 1) * down->dilation + 1;
  int64_t each = d.blocks * EIGHT_WIDTH;
  d.pitch = (across->before + across->size + across->after) * each;
  int64_t weights = d.pairs * across->taps * each * 4;
  int64_t bytes = weights + each * 8 + d.pairs * 8 + d.ring * d.pitch;
  uint8_t *memory = ops_workspace(call, bytes), *at = memory;
  if (!memory) return OPS_ERROR_MEMORY;
  d.weights = (void *)at;
  d.start = (void *)(at += weights);
  d.finish = eight_finish_of(call, (void *)(at += each * 4));
  d.taken = (void *)(at += each * 4);
  d.rows = at + d.pairs * 8;
  for (int64_t i = 0; i < each; ++i)
    d.start[i] = d.finish.start ? d.finish.start[i] : 0;
  expand(call, &d);
  d.finish.start = d.start;
  int64_t image = x->count / x->shape[0], results = out->count / x->shape[0];
  for (int64_t n = 0; n < x->shape[0]; ++n)
    put_image(&d, x->data + n * image, out->data + n * results * out->itemsize);
  ops_release(memory);
  return OPS_OK;
}

const ops_collapse ops_collapse_quantized_depthwise = {shape, run, 0};
