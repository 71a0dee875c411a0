/* tree_ensemble.c: each row of x goes down each tree; its leaf adds to targets.
 *
 * A node is four numbers: a feature, a mode, and the nodes to go to where its
 * comparison holds or not; of a leaf the last two are its first weight and the
 * one after its last.
 */
#include "walk.h"

enum { X, NODES, THRESHOLDS, LEAVES, WEIGHTS, ROOTS, INPUTS };
enum { FEATURE, MODE, YES, NO, FIELDS };
/* Bits of a mode: which of less, equal and greater hold, and NaN. */
enum { LESS = 1, EQUAL = 2, GREATER = 4, NAN_TOO = 8, LEAF = 16 };
enum { SUM, AVERAGE, MIN, MAX };

static int32_t shape(ops_request *call) {
  static const int32_t ranks[INPUTS] = {2, 2, 1, 1, 1, 1};
  for (int32_t i = 0; i < INPUTS; ++i)
    if (call->tensors[i].rank != ranks[i])
      return ops_fail_got(call, OPS_ERROR_SHAPE, "%s must have rank %d",
                          call->tensors[i].name, ranks[i]);
  const ops_tensor *nodes = &call->tensors[NODES];
  if (nodes->shape[1] != FIELDS ||
      nodes->shape[0] != call->tensors[THRESHOLDS].count ||
      call->tensors[LEAVES].count != call->tensors[WEIGHTS].count)
    return ops_fail_got(call, OPS_ERROR_SHAPE,
                        "nodes must be [n,4] with n thresholds, and leaves as "
                        "many as weights");
  int64_t sizes[] = {call->tensors[X].shape[0], ops_int(call, 0, 0)};
  return ops_set_shape(call, ops_output(call, 0), 2, sizes);
}

static int32_t fail(const ops_request *call, int64_t node) {
  return ops_fail(call, OPS_ERROR_ARGUMENT,
                  "node %l leads outside of what is given, or back; number "
                  "nodes from the root on",
                  node);
}

/* For each dtype: a row down a tree, and what all trees give for a row. */
#define DEFINE(type)                                                         \
  static int32_t leaf_##type(const ops_request *call, const type *row,       \
                             int32_t node) {                                 \
    const ops_tensor *nodes = &call->tensors[NODES];                         \
    int32_t features = call->tensors[X].shape[1];                            \
    const type *thresholds = (const type *)call->tensors[THRESHOLDS].data;   \
    for (;;) {                                                               \
      if ((uint32_t)node >= (uint32_t)nodes->shape[0]) return -1;            \
      const int32_t *at = (const int32_t *)nodes->data + node * FIELDS;      \
      if (at[MODE] & LEAF) return node;                                      \
      if ((uint32_t)at[FEATURE] >= (uint32_t)features) return -1;            \
      type x = row[at[FEATURE]], limit = thresholds[node];                   \
      int32_t found = x < limit    ? LESS                                    \
                      : x == limit ? EQUAL                                   \
                      : x > limit  ? GREATER                                 \
                                   : NAN_TOO;                                \
      int32_t next = at[at[MODE] & found ? YES : NO];                        \
      if (next <= node) return -1;                                           \
      node = next;                                                           \
    }                                                                        \
  }                                                                          \
                                                                             \
  static int32_t add_##type(const ops_request *call, const int32_t *leaf,    \
                            int32_t how, type *out) {                        \
    const ops_tensor *leaves = &call->tensors[LEAVES];                       \
    int64_t targets = ops_int(call, 0, 0), end = leaf[NO];                   \
    if (leaf[YES] < 0 || end > leaves->count) return 0;                      \
    for (int64_t i = leaf[YES]; i < end; ++i) {                              \
      int32_t to = ((const int32_t *)leaves->data)[i];                       \
      type weight = ((const type *)call->tensors[WEIGHTS].data)[i];          \
      if (to < 0 || to >= targets) return 0;                                 \
      type *total = out + to;                                                \
      if (how < MIN)                                                         \
        *total += weight;                                                    \
      else if (*total != *total || (how == MIN) == (weight < *total))        \
        *total = weight;                                                     \
    }                                                                        \
    return 1;                                                                \
  }                                                                          \
                                                                             \
  static int32_t run_##type(ops_request *call) {                             \
    const ops_tensor *x = &call->tensors[X], *roots = &call->tensors[ROOTS]; \
    const type *row = (const type *)x->data;                                 \
    type *out = (type *)ops_output(call, 0)->data;                           \
    int64_t targets = ops_int(call, 0, 0);                                   \
    int32_t how = (int32_t)ops_int(call, 1, 0);                              \
    for (int32_t r = 0; r < x->shape[0]; ++r, row += x->shape[1]) {          \
      for (int64_t i = 0; i < targets; ++i)                                  \
        out[i] = how < MIN ? 0 : (type)__builtin_nan("");                    \
      for (int32_t t = 0; t < roots->count; ++t) {                           \
        int32_t root = ((const int32_t *)roots->data)[t];                    \
        int32_t leaf = leaf_##type(call, row, root);                         \
        const int32_t *nodes = (const int32_t *)call->tensors[NODES].data;   \
        if (leaf < 0 || !add_##type(call, nodes + leaf * FIELDS, how, out))  \
          return fail(call, leaf < 0 ? root : leaf);                         \
      }                                                                      \
      for (int64_t i = 0; i < targets; ++i, ++out)                           \
        if (how == AVERAGE)                                                  \
          *out /= (type)roots->count;                                        \
        else if (*out != *out && how >= MIN)                                 \
          *out = 0;                                                          \
    }                                                                        \
    return OPS_OK;                                                           \
  }

DEFINE(float)
DEFINE(double)

static int32_t run(ops_request *call) {
  return call->tensors[X].itemsize == sizeof(float) ? run_float(call)
                                                    : run_double(call);
}

const ops_collapse ops_collapse_tree_ensemble = {shape, run, 0};
