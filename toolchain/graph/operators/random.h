/* random.h: numbers that look random, by their places.
 *
 * Number i of a seed is the finalizer of SplitMix64 (Steele, Lea and Flood,
 * 2014) over seed + (i + 1) * 0x9e3779b97f4a7c15. So a number depends on
 * nothing but the seed and its place.
 */
#ifndef OPS_RANDOM_H_
#define OPS_RANDOM_H_

#include "walk.h"

static inline uint64_t ops_random_bits(uint64_t seed, uint64_t i) {
  uint64_t z = seed + (i + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
  z = (z ^ z >> 27) * 0x94d049bb133111ebu;
  return z ^ z >> 31;
}

/* The upper 53 bits as a number in [0, 1). */
static inline double ops_random_double(uint64_t seed, uint64_t i) {
  return (double)(ops_random_bits(seed, i) >> 11) * 0x1p-53;
}

/* The shape that the attribute `a` lists. */
static inline int32_t ops_random_shape(ops_request *call, int32_t a) {
  int64_t shape[OPS_MAX_RANK];
  for (int32_t i = 0; i < call->length[a]; ++i) shape[i] = ops_int(call, a, i);
  return ops_set_shape(call, ops_output(call, 0), call->length[a], shape);
}

#endif /* OPS_RANDOM_H_ */
