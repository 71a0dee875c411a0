/* bytes.c: memcpy, memmove and memset, which clang and TVM's kernels may call.
 *
 * Weak: a program's libc wins. Without bulk memory they move 8 bytes at a time.
 */
#include <stddef.h>
#include <stdint.h>

#define WEAK __attribute__((weak))

#ifdef __wasm_bulk_memory__

WEAK void *memcpy(void *restrict to, const void *restrict from, size_t n) {
  return __builtin_memcpy(to, from, n);
}

WEAK void *memmove(void *to, const void *from, size_t n) {
  return __builtin_memmove(to, from, n);
}

WEAK void *memset(void *to, int value, size_t n) {
  return __builtin_memset(to, value, n);
}

#else

/* Eight bytes at any address: wasm has no alignment traps. */
typedef uint64_t __attribute__((aligned(1), may_alias)) word;

WEAK void *memcpy(void *restrict to, const void *restrict from, size_t n) {
  uint8_t *d = to;
  const uint8_t *s = from;
  for (; n >= 8; n -= 8, d += 8, s += 8) *(word *)d = *(const word *)s;
  for (; n; --n) *d++ = *s++;
  return to;
}

WEAK void *memmove(void *to, const void *from, size_t n) {
  uint8_t *d = to;
  const uint8_t *s = from;
  if ((uintptr_t)d - (uintptr_t)s >= n) return memcpy(to, from, n);
  for (; n >= 8; n -= 8) *(word *)(d + n - 8) = *(const word *)(s + n - 8);
  for (; n; --n) d[n - 1] = s[n - 1];
  return to;
}

WEAK void *memset(void *to, int value, size_t n) {
  uint8_t *d = to;
  uint64_t eight = (uint8_t)value * 0x0101010101010101u;
  for (; n >= 8; n -= 8, d += 8) *(word *)d = eight;
  for (; n; --n) *d++ = (uint8_t)value;
  return to;
}

#endif
