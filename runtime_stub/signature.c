/* signature.c: an operator's description as text, which hosts parse:
 *
 *   softmax_float32(x: float32) -> (out: float32); axis: int = -1
 *
 * `b?` may be absent, `x...` is one tensor per unit, `int[2]` a list of 2 values
 * per unit, `int{constant=0,reflect=1}` has names for its values; ` >= 0` and
 * ` <= 1` are bounds; without ` = ` an attribute is required.
 */
#include "call.h"
#include "text.h"

/* Twice the longest so far. */
static char signature[1024];

static void print_params(ops_text *out, const ops_operator *op, int32_t from,
                         int32_t to) {
  for (int32_t i = from; i < to; ++i) {
    const ops_param *param = &op->family->params[i];
    const char *mark = param->flags & OPS_PARAM_VARIADIC   ? "..."
                       : param->flags & OPS_PARAM_OPTIONAL ? "?"
                                                           : "";
    ops_print(out, "%s%s%s: %s", i == from ? "" : ", ", param->name, mark,
              ops_dtype_names[op->dtypes[i]]);
  }
}

static void print_attribute(ops_text *out, const ops_attribute *attribute) {
  ops_print(out, "; %s: %s", attribute->name,
            attribute->kind == OPS_ATTR_FLOAT ? "float" : "int");
  if (attribute->per_unit) ops_print(out, "[%d]", (int32_t)attribute->per_unit);
  if (attribute->choices) {
    for (int32_t i = 0; attribute->choices[i]; ++i)
      ops_print(out, "%s%s=%d", i ? "," : "{", attribute->choices[i], i);
    ops_print(out, "}");
  }
  if (!(attribute->flags & OPS_ATTR_REQUIRED))
    ops_print(out, " = %g", attribute->preset);
  if (attribute->choices || attribute->flags & OPS_ATTR_RAW) return;
  double low = attribute->minimum, high = attribute->maximum;
  if (low - low == 0) ops_print(out, " >= %g", low);
  if (high - high == 0) ops_print(out, " <= %g", high);
}

const char *ops_operator_signature(const ops_operator *op) {
  const ops_family *family = op->family;
  int32_t inputs = family->inputs;
  ops_text out = {signature, sizeof signature, 0};
  ops_print(&out, "%s(", op->name);
  print_params(&out, op, 0, inputs);
  ops_print(&out, ") -> (");
  print_params(&out, op, inputs, inputs + family->outputs);
  ops_print(&out, ")");
  for (int32_t i = 0; i < family->attribute_count; ++i)
    print_attribute(&out, &family->attributes[i]);
  return ops_text_end(&out);
}
