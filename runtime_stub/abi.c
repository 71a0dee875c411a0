/* abi.c: the operators by index and name. Apart from call.c: whoever links this
 * file links every kernel. */
#include "call.h"

uint32_t ops_count(void) { return ops_table_count; }

static const ops_operator *at(uint32_t index) {
  if (index < ops_table_count) return ops_table[index];
  ops_fail_with(0, OPS_ERROR_OPERATOR,
                "%s%sno operator %l; there are %l, see ops_find", 0, 0, index,
                ops_table_count);
  return 0;
}

const char *ops_name(uint32_t index) {
  const ops_operator *op = at(index);
  return op ? op->name : 0;
}

const char *ops_signature(uint32_t index) {
  const ops_operator *op = at(index);
  return op ? ops_operator_signature(op) : 0;
}

int32_t ops_infer(uint32_t index, const TVMFFIAny *args, int32_t n) {
  const ops_operator *op = at(index);
  return op ? ops_infer_operator(op, args, n) : OPS_ERROR_OPERATOR;
}

int32_t ops_call(uint32_t index, const TVMFFIAny *args, int32_t n) {
  const ops_operator *op = at(index);
  return op ? ops_call_operator(op, args, n) : OPS_ERROR_OPERATOR;
}

/* Whether two texts are equal; reads no further than they are. */
static int32_t same(const char *a, const char *b) {
  while (*a && *a == *b) ++a, ++b;
  return *a == *b;
}

/* Whether a text ends inside memory, within OPS_MAX_NAME bytes; null has none.
 * Longer names are not looked up: toolchain/codegen/descriptor.py makes none.
 */
static int32_t is_name(const char *name) {
  const char *end = name + OPS_MAX_NAME;
  for (; name && name != end; ++name) {
    if ((uintptr_t)name >> 16 >= __builtin_wasm_memory_size(0)) break;
    if (!*name) return 1;
  }
  return 0;
}

int32_t ops_find(const char *name) {
  if (!is_name(name)) name = "(no text)";
  for (uint32_t i = 0; i < ops_table_count; ++i)
    if (same(name, ops_table[i]->name)) return (int32_t)i;
  return ops_fail_with(0, -1,
                       "ops_find: no operator \"%s\"%s; ops_name has all %l",
                       name, 0, ops_table_count, 0);
}
