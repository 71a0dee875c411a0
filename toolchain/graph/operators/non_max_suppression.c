/* non_max_suppression.c: the best boxes that hardly overlap better ones. */
#include "order.h"
#include "walk.h"

enum { BOXES, SCORES };
enum { CENTER, MOST, IOU, SCORE }; /* attributes */

typedef struct {
  float top, left, bottom, right;
} box;

static int32_t shape(ops_request *call) {
  const ops_tensor *boxes = &call->tensors[BOXES];
  const ops_tensor *scores = &call->tensors[SCORES];
  if (boxes->rank != 3 || boxes->shape[2] != 4)
    return ops_fail_got(call, OPS_ERROR_SHAPE, "boxes must be [N, boxes, 4]");
  if (scores->rank != 3 || scores->shape[0] != boxes->shape[0] ||
      scores->shape[2] != boxes->shape[1])
    return ops_fail_got(call, OPS_ERROR_SHAPE,
                        "scores must be [N, classes, boxes], with N and boxes "
                        "of boxes");
  int64_t most = ops_int(call, MOST, 0), count = boxes->shape[1];
  int64_t out[] = {ops_product(scores->shape, 0, 2), 3};
  out[0] *= most < count ? most : count;
  return ops_set_shape(call, &call->tensors[call->inputs], 2, out);
}

static double attribute(const ops_request *call, int32_t a) {
  return call->values[call->first[a]].f;
}

/* A box by its least and its largest corner. */
static box corners(const float *given, int64_t center) {
  float a = given[0], b = given[1], c = given[2], d = given[3];
  if (center) {
    float height = d / 2, width = c / 2;
    return (box){b - height, a - width, b + height, a + width};
  }
  return (box){a < c ? a : c, b < d ? b : d, a < c ? c : a, b < d ? d : b};
}

static float area(box b) { return (b.bottom - b.top) * (b.right - b.left); }

/* Whether two boxes share more of their union than the threshold. */
static int32_t overlap(box a, box b, float threshold) {
  box c = {a.top > b.top ? a.top : b.top, a.left > b.left ? a.left : b.left,
           a.bottom < b.bottom ? a.bottom : b.bottom,
           a.right < b.right ? a.right : b.right};
  if (!(c.bottom > c.top && c.right > c.left)) return 0;
  float shared = area(c), one = area(a), other = area(b);
  float both = one + other - shared;
  return one > 0 && other > 0 && both > 0 && shared / both > threshold;
}

/* Candidates of one class, the best first; how many there are. */
static int32_t candidates(const ops_request *call, const float *scores,
                          int32_t count, uint64_t *found) {
  float least = (float)attribute(call, SCORE);
  int32_t all = least == -__builtin_inff(), size = 0;
  for (int32_t i = 0; i < count; ++i)
    if (scores[i] > least || (all && scores[i] == scores[i]))
      found[size++] = (uint64_t)order_float32(scores[i]) << 32 | (uint32_t)~i;
  heapify_uint64_t(found, size);
  sort_uint64_t(found, size);
  return size;
}

/* Writes the class's triples; how many. `kept` has room for all that fit. */
static int32_t choose(const ops_request *call, const float *boxes,
                      const uint64_t *found, int32_t size, box *kept,
                      int64_t *out) {
  int64_t most = ops_int(call, MOST, 0), center = ops_int(call, CENTER, 0);
  float threshold = (float)attribute(call, IOU);
  int32_t count = 0;
  for (int32_t i = 0; i < size && count < most; ++i) {
    int32_t place = (int32_t)~(uint32_t)found[i], good = 1;
    box next = corners(boxes + 4 * (int64_t)place, center);
    for (int32_t j = 0; good && j < count; ++j)
      good = !overlap(next, kept[j], threshold);
    if (!good) continue;
    out[3 * count + 2] = place;
    kept[count++] = next;
  }
  return count;
}

static int32_t run(ops_request *call) {
  const ops_tensor *scores = &call->tensors[SCORES];
  ops_tensor *out = &call->tensors[call->inputs];
  int32_t classes = scores->shape[1], size = scores->shape[2], total = 0;
  int64_t *to = (int64_t *)out->data;
  uint64_t *found = ops_workspace(call, (int64_t)size * 8);
  box *kept = found ? ops_workspace(call, (int64_t)size * 16) : 0;
  for (int64_t c = 0; kept && out->count && c < scores->shape[0] * classes;
       ++c) {
    int64_t image = c / classes;
    const float *boxes = (const float *)call->tensors[BOXES].data;
    int32_t count =
        candidates(call, (const float *)scores->data + c * size, size, found);
    count = choose(call, boxes + image * size * 4, found, count, kept, to);
    for (int32_t i = 0; i < count; ++i, to += 3)
      to[0] = image, to[1] = c - image * classes;
    total += count;
  }
  ops_release(kept);
  ops_release(found);
  if (!kept) return OPS_ERROR_MEMORY;
  ops_set_late(call, out, (int32_t[]){total, 3});
  return OPS_OK;
}

const ops_collapse ops_collapse_non_max_suppression = {shape, run, 0};
