/* abi.c: the operators by index and name. Apart from call.c: whoever links this
 * file links every kernel. */
#include "call.h"

/* Longer names are not looked up: none in the table comes near. */
#define MAX_NAME 128

uint32_t ops_count(void) { return ops_table_count; }

static const ops_operator *at(uint32_t index, const char *function) {
  if (index < ops_table_count) return ops_table[index];
  ops_fail(0, OPS_ERROR_OPERATOR,
           "%s: no operator %l; there are %l, use ops_find", function,
           (int64_t)index, (int64_t)ops_table_count);
  return 0;
}

const char *ops_name(uint32_t index) {
  const ops_operator *op = at(index, "ops_name");
  return op ? op->name : 0;
}

const char *ops_signature(uint32_t index) {
  const ops_operator *op = at(index, "ops_signature");
  return op ? ops_operator_signature(op) : 0;
}

int32_t ops_infer(uint32_t index, const TVMFFIAny *args, int32_t n) {
  const ops_operator *op = at(index, "ops_infer");
  return op ? ops_infer_operator(op, args, n) : OPS_ERROR_OPERATOR;
}

int32_t ops_call(uint32_t index, const TVMFFIAny *args, int32_t n) {
  const ops_operator *op = at(index, "ops_call");
  return op ? ops_call_operator(op, args, n) : OPS_ERROR_OPERATOR;
}

static int32_t compare(const char *a, const char *b) {
  while (*a && *a == *b) ++a, ++b;
  return (uint8_t)*a - (uint8_t)*b;
}

/* Whether a text ends inside memory, within MAX_NAME bytes. */
static int32_t is_name(const char *name) {
  uint64_t end = (uint64_t)__builtin_wasm_memory_size(0) << 16;
  uint64_t start = (uint32_t)(uintptr_t)name;
  for (uint64_t i = start; i < end && i < start + MAX_NAME; ++i)
    if (!name[i - start]) return 1;
  return 0;
}

/* `next` is where the name would stand. */
static int32_t fail_find(const char *name, uint32_t next) {
  uint32_t last = ops_table_count - 1;
  const char *before = "", *after = "";
  if (ops_table_count) {
    before = ops_table[next ? next - 1 : 0]->name;
    after = ops_table[next < last ? next : last]->name;
  }
  return ops_fail(0, -1,
                  "ops_find: no operator \"%s\"; nearest are \"%s\" and "
                  "\"%s\" of %d, see ops_name",
                  name, before, after, (int32_t)ops_table_count);
}

int32_t ops_find(const char *name) {
  uint32_t low = 0, high = ops_table_count;
  if (!name) return ops_fail(0, -1, "ops_find: the name is null");
  if (!is_name(name))
    return ops_fail(0, -1,
                    "ops_find: the name at %l has no end within %d bytes or is "
                    "outside memory",
                    (int64_t)(uintptr_t)name, MAX_NAME);
  while (low < high) {
    uint32_t middle = (low + high) / 2;
    int32_t order = compare(name, ops_table[middle]->name);
    if (!order) return (int32_t)middle;
    if (order < 0)
      high = middle;
    else
      low = middle + 1;
  }
  return fail_find(name, low);
}
