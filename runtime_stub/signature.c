/* signature.c: an operator's description as text, which hosts parse:
 *
 *   softmax_float32(x: float32) -> (out: float32); axis: int = -1
 *
 * `b?` may be absent, `x...` is one tensor per unit, `int[2]` a list of 2
 * values per unit, `int{constant=0,reflect=1}` has names for its values;
 * ` >= 0` and ` <= 1` are bounds; without ` = ` an attribute is required.
 */
#include "check.h"
#include "text.h"

/* By the flags of a parameter that a signature shows. */
enum { SHOWN = OPS_PARAM_OPTIONAL | OPS_PARAM_VARIADIC };
static const char marks[][4] = {"", "?", "...", "..."};
_Static_assert(sizeof marks / sizeof *marks == SHOWN + 1,
               "a mark for each set of flags");

const char *ops_operator_signature(const ops_operator *op) {
  const ops_family *family = op->family;
  ops_text_start(ops_room_text, ops_room_size.text);
  ops_put(op->name);
  ops_put("(");
  for (int32_t i = 0; i < family->inputs + family->outputs; ++i) {
    const ops_param *param = &family->params[i];
    ops_put(i == family->inputs ? ") -> (" : i ? ", " : 0);
    ops_put(param->name);
    ops_put(marks[param->flags & SHOWN]);
    ops_put(": ");
    ops_put_dtype(&ops_dtypes[op->dtypes[i]]);
  }
  ops_put(")");
  for (int32_t i = 0; i < family->attribute_count; ++i) {
    ops_put("; ");
    ops_put_attribute(&family->attributes[i]);
  }
  ops_text_end();
  return ops_room_text;
}
