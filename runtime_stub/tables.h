/* tables.h: written by `doit tables` from toolchain/; do not edit. */
#ifndef OPS_TABLES_H_
#define OPS_TABLES_H_

/* X(name, NAME, DLPack's code, bits, type of an element) for each dtype. */
#define OPS_EACH_DTYPE(X)           \
  X(float32, FLOAT32, 2, 32, float) \
  X(int32, INT32, 0, 32, int32_t)   \
  X(int8, INT8, 0, 8, int8_t)       \
  X(uint8, UINT8, 1, 8, uint8_t)    \
  X(int64, INT64, 0, 64, int64_t)   \
  X(bool, BOOL, 6, 8, uint8_t)
/* The same, of dtypes that models alone have. */
#define OPS_EACH_MODEL_DTYPE(X)        \
  X(float16, FLOAT16, 2, 16, uint16_t) \
  X(float64, FLOAT64, 2, 64, double)

/* ops_family.rule, for each collapse. */
enum {
  OPS_ELEMENTWISE_BROADCAST = 0,
  OPS_ROWS_AXIS = 0,
  OPS_ROWS_REDUCE_AXIS = 1,
  OPS_ROWS_REDUCE_AXES = 2,
  OPS_ROWS_TRAILING = 3,
  OPS_ROWS_SPATIAL = 4,
  OPS_EXACT_PLAIN = 0,
  OPS_EXACT_LIFT = 1,
  OPS_EXACT_PAD_LEFT = 2,
  OPS_EXACT_LIFT_PAD_LEFT = 3,
  OPS_EXACT_FLAT = 4,
  OPS_MATMUL_PLAIN = 0,
  OPS_MATMUL_ZERO_POINTS = 1,
  OPS_MATMUL_PACKED = 2,
  OPS_CHANNELS_SECOND = 0,
  OPS_CHANNELS_AXIS = 1,
  OPS_VIEW_TRANSPOSE = 0,
  OPS_VIEW_SLICE = 1,
  OPS_VIEW_EXPAND = 2,
  OPS_VIEW_TILE = 3,
  OPS_VIEW_SPLIT = 4,
  OPS_VIEW_RESHAPE = 5,
  OPS_GATHER_AXIS = 0,
  OPS_CONCAT_AXIS = 0,
  OPS_PAD_AXES = 0,
  OPS_OWN_PLAIN = 0,
};

#endif /* OPS_TABLES_H_ */
