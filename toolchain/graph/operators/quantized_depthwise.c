/* quantized_depthwise.c: a window over each channel of images of 8-bit
 * integers.
 *
 * Rows of the image, two and two, go into a ring as int16 with their elements
 * side by side: two rows of taps are multiplied and added up by one
 * instruction. A window may begin at the first or the second of two rows, so
 * that there are weights for both.
 */
#include "eight_images.h"

enum { IN_W_ZERO = IN_X_ZERO + 1 };
/* Windows side by side that share what is loaded, where they have 3 x 3 taps.
 * Channels of a register. */
enum { TOGETHER = 4, USUAL = 3, LANES = 4 };

typedef struct {
  eight_axis axes[2];
  int64_t channels, quads; /* registers of channels, an even number */
  int64_t width;           /* pixels of a row with its pads */
  int64_t ring;            /* pairs of rows in the ring */
  eight_source source;
  eight_finish finish;
  int64_t pairs[2];          /* that a window takes, by where it begins */
  eight_words *weights[2];   /* [quads][pairs][taps of a row] */
  eight_words *rows;         /* [ring][width][quads] */
  const eight_words **taken; /* pairs of the windows in hand */
  uint8_t *copies;           /* of two rows of the image */
} depthwise;

static int32_t shape(ops_request *call) {
  eight_axis axes[2];
  int32_t code = eight_axes(call, axes);
  if (code) return code;
  int32_t channels = call->tensors[IN_X].shape[3];
  int32_t blocks = (channels + EIGHT_WIDTH - 1) / EIGHT_WIDTH;
  int32_t each = blocks * EIGHT_WIDTH;
  int32_t wanted[] = {(int32_t)axes[0].taps, (int32_t)axes[1].taps, each};
  if (ops_int(call, FEATURES, 0) != channels)
    return ops_fail_got(
        call, OPS_ERROR_SHAPE,
        "features is %l, but x has %d channels; make them equal",
        ops_int(call, FEATURES, 0), channels);
  code = ops_expect(call, IN_W, 3, wanted);
  if (!code) code = ops_expect(call, IN_W_ZERO, 1, &each);
  if (!code) code = eight_check(call, channels);
  return code ? code : eight_image_shape(call, axes);
}

/* -- sums -- */

/* Sums of TOGETHER windows of 3 taps by two pairs, `stride` pixels apart, of a
 * register of channels; x: where the first begins, from a pair's begin. */
static inline __attribute__((always_inline)) void add_windows(
    const depthwise *d, int64_t x, const eight_words *weights, int64_t stride,
    eight_sums (*result)[2]) {
  eight_sums sums[TOGETHER] = {0};
#pragma clang loop unroll(full)
  for (int64_t p = 0; p < 2; ++p) {
    const eight_words *row = d->taken[p] + x;
#pragma clang loop unroll(full)
    for (int64_t j = 0; j < (TOGETHER - 1) * stride + USUAL; ++j) {
      eight_words pixel = row[j * d->quads];
#pragma clang loop unroll(full)
      for (int64_t i = 0; i < TOGETHER; ++i) {
        int64_t tap = j - i * stride;
        if (tap < 0 || tap >= USUAL) continue;
        sums[i] += eight_dot(pixel, weights[p * USUAL + tap]);
      }
    }
  }
#pragma clang loop unroll(full)
  for (int64_t i = 0; i < TOGETHER; ++i) result[i][0] = sums[i];
}

/* The same of one window of any taps. */
static inline void add_window(const depthwise *d, int64_t x,
                              const eight_words *weights, int64_t pairs,
                              eight_sums (*result)[2]) {
  int64_t step = d->quads * d->axes[1].dilation;
  eight_sums sums = {0};
  for (int64_t p = 0; p < pairs; ++p)
    for (int64_t j = 0; j < d->axes[1].taps; ++j)
      sums += eight_dot(d->taken[p][x + j * step], *weights++);
  result[0][0] = sums;
}

/* Windows from number x on, of all channels: TOGETHER, or one where stride is
 * 0. odd: whether they begin at the second of two rows. */
static inline __attribute__((always_inline)) void put_windows(
    const depthwise *d, int64_t x, int32_t odd, uint8_t *out, int64_t stride) {
  int64_t pairs = d->pairs[odd], step = pairs * d->axes[1].taps;
  const eight_words *weights = d->weights[odd];
  int64_t at = x * d->axes[1].stride * d->quads;
  for (int64_t n = 0; n < d->channels; n += EIGHT_WIDTH) {
    eight_sums sums[TOGETHER][2];
#pragma clang loop unroll(disable)
    for (int64_t half = 0; half < 2; ++half, ++at, weights += step)
      if (stride)
        add_windows(d, at, weights, stride, (void *)&sums[0][half]);
      else
        add_window(d, at, weights, pairs, (void *)&sums[0][half]);
    uint8_t *to = out + n * d->finish.size;
    for (int64_t i = 0; i < (stride ? TOGETHER : 1); ++i) {
      eight_put_some(&d->finish, n, d->channels - n, sums[i][0], sums[i][1],
                     to);
      to += d->channels * d->finish.size;
    }
  }
}

/* A row of results. */
static void put_line(const depthwise *d, int32_t odd, uint8_t *out) {
  const eight_axis *axis = &d->axes[1];
  int64_t x = 0, step = d->channels * d->finish.size;
  int32_t usual = axis->taps == USUAL && d->pairs[odd] == 2 &&
                  axis->dilation == 1;
  usual = usual && axis->stride <= 2 && axis->windows >= TOGETHER;
  while (x < axis->windows) {
    int64_t rest = axis->windows - x;
    /* The last ones are done again with those before. */
    if (usual && rest < TOGETHER) x -= TOGETHER - rest;
    uint8_t *to = out + x * step;
    if (usual && axis->stride == 1)
      put_windows(d, x, odd, to, 1);
    else if (usual)
      put_windows(d, x, odd, to, 2);
    else
      put_windows(d, x, odd, to, 0);
    x += usual ? TOGETHER : 1;
  }
}

/* -- rows -- */

/* A row of the image with channels up to whole registers; beside the image it
 * is what x_zero is. */
static const uint8_t *row_of(const depthwise *d, const uint8_t *image,
                             int64_t y, uint8_t *copy) {
  int64_t pixels = d->axes[1].size, each = d->quads * LANES;
  uint8_t blank = (uint8_t)(d->source.zero ^ d->source.flip);
  if (y < 0 || y >= d->axes[0].size) {
    for (int64_t i = 0; i < pixels * each; ++i) copy[i] = blank;
    return copy;
  }
  const uint8_t *row = image + y * pixels * d->channels;
  if (each == d->channels) return row;
  for (int64_t x = 0; x < pixels; ++x, copy += each)
    for (int64_t c = 0; c < d->channels; ++c) copy[c] = *row++;
  return copy - pixels * each;
}

static eight_words *skip(eight_words *to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) *to++ = (eight_words){0};
  return to;
}

/* Puts two rows into the ring; rows count from the first of the pads on. */
static void load_pair(const depthwise *d, const uint8_t *image, int64_t pair) {
  const eight_axis *axis = &d->axes[1];
  int64_t y = 2 * pair - d->axes[0].before, each = d->quads * LANES;
  int64_t bytes = axis->size * each;
  const uint8_t *a = row_of(d, image, y, d->copies);
  const uint8_t *b = row_of(d, image, y + 1, d->copies + bytes);
  int16_t z = d->source.zero, f = d->source.flip;
  eight_words zero = {z, z, z, z, z, z, z, z};
  eight_words flip = {f, f, f, f, f, f, f, f};
  eight_words *to = d->rows + pair % d->ring * d->width * d->quads;
  to = skip(to, axis->before * d->quads);
  for (int64_t i = 0; i < bytes; i += EIGHT_WIDTH, to += 2) {
    eight_unsigned first = *(const eight_unsigned *)(a + i);
    eight_unsigned second = *(const eight_unsigned *)(b + i);
    eight_words x = __builtin_convertvector(first, eight_words);
    eight_words y = __builtin_convertvector(second, eight_words);
    x = (x ^ flip) - zero, y = (y ^ flip) - zero;
    to[0] = __builtin_shufflevector(x, y, 0, 8, 1, 9, 2, 10, 3, 11);
    to[1] = __builtin_shufflevector(x, y, 4, 12, 5, 13, 6, 14, 7, 15);
  }
  skip(to, axis->after * d->quads);
}

static void put_image(const depthwise *d, const uint8_t *image, uint8_t *out) {
  const eight_axis *down = &d->axes[0];
  int64_t loaded = 0, reach = (down->taps - 1) * down->dilation;
  int64_t step = d->axes[1].windows * d->channels * d->finish.size;
  for (int64_t i = 0; i < down->windows; ++i, out += step) {
    int64_t first = i * down->stride, k = 0;
    if (loaded < first / 2) loaded = first / 2;
    for (; loaded <= (first + reach) / 2; ++loaded) load_pair(d, image, loaded);
    for (int64_t r = 0, before = -1; r < down->taps; ++r) {
      int64_t pair = (first + r * down->dilation) / 2;
      if (pair != before)
        d->taken[k++] = d->rows + pair % d->ring * d->width * d->quads;
      before = pair;
    }
    put_line(d, first & 1, out);
  }
}

/* Weights in int16, less their zero points, for windows that begin at the first
 * (odd: at the second) of two rows. */
static void expand(const ops_request *call, depthwise *d, int32_t odd) {
  const int32_t *zeros = eight_given(call, IN_W_ZERO);
  int64_t gap = d->axes[0].dilation, taps = d->axes[1].taps, pairs = 0;
  for (int64_t r = 0; r < d->axes[0].taps; ++r)
    if (!r || (odd + r * gap) / 2 != (odd + (r - 1) * gap) / 2) ++pairs;
  int16_t *to = (int16_t *)d->weights[odd];
  for (int64_t i = 0; i < d->quads * pairs * taps * 8; ++i) to[i] = 0;
  const int8_t *w = (const int8_t *)call->tensors[IN_W].data;
  for (int64_t r = 0, p = -1, before = -1; r < d->axes[0].taps; ++r) {
    int64_t row = odd + r * gap;
    p += row / 2 != before;
    before = row / 2;
    for (int64_t s = 0; s < taps; ++s, w += d->quads * LANES) {
      int16_t *at = to + (p * taps + s) * 8 + row % 2;
      for (int64_t c = 0; c < d->quads * LANES; c += LANES) {
        for (int64_t l = 0; l < LANES; ++l)
          at[2 * l] = (int16_t)(w[c + l] - (zeros ? zeros[c + l] : 0));
        at += pairs * taps * 8;
      }
    }
  }
  d->pairs[odd] = pairs;
}

static int32_t run(ops_request *call) {
  const ops_tensor *x = &call->tensors[IN_X], *out = ops_output(call, 0);
  if (!out->count) return OPS_OK;
  depthwise d = {.channels = x->shape[3], .source = eight_source_of(call)};
  int32_t code = eight_axes(call, d.axes);
  if (code) return code;
  const eight_axis *down = &d.axes[0], *across = &d.axes[1];
  d.quads = (d.channels + EIGHT_WIDTH - 1) / EIGHT_WIDTH * 2;
  d.width = across->before + across->size + across->after;
  d.ring = (down->taps - 1) * down->dilation / 2 + 2;
  int64_t weights = d.quads * down->taps * across->taps * 16;
  int64_t scales = d.quads * LANES * 4, taken = (down->taps + 3) / 4 * 16;
  int64_t rows = d.ring * d.width * d.quads * 16;
  int64_t copies = 2 * across->size * d.quads * LANES;
  int64_t bytes = 2 * weights + rows + scales + taken + copies;
  uint8_t *memory = ops_workspace(call, bytes);
  if (!memory) return OPS_ERROR_MEMORY;
  d.weights[0] = (void *)memory;
  d.weights[1] = (void *)(memory + weights);
  d.rows = (void *)(memory + 2 * weights);
  d.finish = eight_finish_of(call, (void *)(memory + 2 * weights + rows));
  d.taken = (void *)(memory + 2 * weights + rows + scales);
  d.copies = memory + bytes - copies;
  expand(call, &d, 0);
  if (down->stride % 2) expand(call, &d, 1);
  int64_t image = x->count / x->shape[0], results = out->count / x->shape[0];
  for (int64_t n = 0; n < x->shape[0]; ++n)
    put_image(&d, x->data + n * image, out->data + n * results * out->itemsize);
  ops_release(memory);
  return OPS_OK;
}

const ops_collapse ops_collapse_quantized_depthwise = {shape, run, 0};
