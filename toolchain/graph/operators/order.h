/* order.h: elements as unsigned numbers in their order, and a heap of numbers.
 *
 * An element and its place become one number, so that one comparison orders
 * elements and, among equal ones, puts the first before the others.
 */
#ifndef OPS_ORDER_H_
#define OPS_ORDER_H_

#include <stdint.h>

/* NaN is above all others, -0 equals 0. */
static inline uint32_t order_float32(float x) {
  uint32_t bits;
  if (x != x) return UINT32_MAX;
  x += 0.0f;
  __builtin_memcpy(&bits, &x, sizeof bits);
  return bits ^ (bits >> 31 ? UINT32_MAX : 0x80000000u);
}
static inline uint32_t order_int32(int32_t x) {
  return (uint32_t)x ^ 0x80000000u;
}
static inline uint32_t order_int8(int8_t x) { return order_int32(x); }
static inline uint32_t order_uint8(uint8_t x) { return x; }
static inline uint64_t order_int64(int64_t x) {
  return (uint64_t)x ^ 0x8000000000000000u;
}

typedef unsigned __int128 wide;

/* heap[at] and what is below it: the least at the top. sort puts the largest
 * first. */
#define DEFINE_HEAP(number)                                                 \
  static inline void sink_##number(number *heap, int32_t at, int32_t size,  \
                                   number value) {                          \
    for (int32_t child; (child = 2 * at + 1) < size; at = child) {          \
      if (child + 1 < size && heap[child + 1] < heap[child]) ++child;       \
      if (heap[child] >= value) break;                                      \
      heap[at] = heap[child];                                               \
    }                                                                       \
    heap[at] = value;                                                       \
  }                                                                         \
  static inline void heapify_##number(number *heap, int32_t size) {         \
    for (int32_t i = size / 2; i--;) sink_##number(heap, i, size, heap[i]); \
  }                                                                         \
  static inline void sort_##number(number *heap, int32_t size) {            \
    for (int32_t last = size - 1; last > 0; --last) {                       \
      number value = heap[last];                                            \
      heap[last] = heap[0];                                                 \
      sink_##number(heap, 0, last, value);                                  \
    }                                                                       \
  }
DEFINE_HEAP(uint64_t)
DEFINE_HEAP(wide)

#endif /* OPS_ORDER_H_ */
